"""Whether a request has to do with a person."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from copersona.runtime.common.arrays import F32
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.prompt.relevance import TO_KNOW, TO_WRITE, WRITING, Examples, is_latin, own_words

HISTORY = [Interaction("ana", f"The strings of my banjo, no. {n}.", time=float(n)) for n in range(3)]


def unit(angle: float) -> F32:
    return np.array([math.cos(angle), math.sin(angle)], np.float32)


BETWEEN = math.acos((WRITING - 0.05) / math.sqrt(2)) - math.pi / 4  # a little nearer to knowing
ANGLES = {"letter": 0.3, "sum": 1.5, "shorter": BETWEEN}


def encode(text: str) -> F32:
    """Writing lies to the right, knowing above, whatever else at the angle that it names."""
    if text in TO_WRITE or text in TO_KNOW:
        return unit(0.0 if text in TO_WRITE else math.pi / 2)
    return unit(ANGLES[text.split()[0]])


def examples() -> Examples:
    return Examples(encode)


def test_a_request_is_as_near_to_writing_as_its_vector() -> None:
    found = examples().relevance("letter", HISTORY)
    assert found.writing == pytest.approx(math.cos(0.3) - math.sin(0.3), abs=1e-6)
    assert (found.relevant, found.own_words) == (True, None)
    far = examples().relevance("sum", HISTORY)
    assert far.relevant is False
    assert far.own_words == 0.0


def test_words_of_the_person_s_own_make_a_question_theirs() -> None:
    assert examples().relevance("sum of my banjo strings", HISTORY).relevant is True
    assert examples().relevance("sum of president mozambique", HISTORY).relevant is False


def test_a_request_that_goes_on_with_another_has_to_do_with_whom_that_one_had() -> None:
    assert examples().relevance("shorter", HISTORY).relevant is False
    assert examples().relevance("shorter", HISTORY, "letter").relevant is True
    assert examples().relevance("shorter", HISTORY, "sum").relevant is False
    assert examples().relevance("sum", HISTORY, "letter").relevant is False


def test_in_other_letters_the_person_is_recalled() -> None:
    found = examples().relevance("フランスの首都はどこですか", HISTORY)
    assert (found.relevant, found.writing) == (True, None)
    assert is_latin("Où est la gare ? 12")
    assert is_latin("12 + 30")
    assert not is_latin("Где вокзал")


def test_the_share_of_own_words_by_hand() -> None:
    history = [Interaction("ana", "red blue"), Interaction("ana", "red", title="green")]
    assert own_words("the Red of a BLUE, or pink?", history) == 2 / 3
    assert own_words("green", history) == 1.0
    assert own_words("what is it", history) == own_words("", history) == own_words("red", []) == 0.0


@given(st.text(max_size=60), st.lists(st.text(max_size=40), max_size=5))
def test_the_share_is_a_share_for_any_text(text: str, wrote: list[str]) -> None:
    history = [Interaction("ana", one) for one in wrote]
    assert 0.0 <= own_words(text, history) <= 1.0
