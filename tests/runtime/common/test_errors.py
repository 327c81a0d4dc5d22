"""What is raised on purpose is one line, whatever stood in what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copersona.runtime.common.errors import BundleError, CoPersonaError, HistoryError, ModelBusy, UnknownPerson


@given(st.text(), st.sampled_from([CoPersonaError, BundleError, HistoryError, UnknownPerson, ModelBusy]))
def test_a_message_is_one_line_whatever_it_repeats(text: str, kind: type[CoPersonaError]) -> None:
    assert "\n" not in str(kind(text))


def test_a_message_of_one_line_stays_as_it_is() -> None:
    assert str(BundleError("a\tb: 'ü' \x1b")) == "a\tb: 'ü' \x1b"
    busy = ModelBusy("later\nor never", 2.0)
    assert (str(busy), busy.after) == ("later␊or never", 2.0)
    with pytest.raises(CoPersonaError, match="one␊two"):
        raise HistoryError("one\ntwo")
