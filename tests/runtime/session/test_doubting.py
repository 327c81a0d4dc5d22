"""Answers that may say that they are not sure: by which numbers, and that without it nothing changes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from copersona.runtime.bundle.guard import add_guard
from copersona.runtime.bundle.opened import Bundle
from copersona.runtime.common.errors import BundleError
from copersona.runtime.engine.sampling import Sampling
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.people.known import Known
from copersona.runtime.session.doubting import UNSURE
from copersona.runtime.session.session import Session

from ...small_bundle import random_guard

REQUEST, SAMPLING = "Write a review.", Sampling(1.0, 0.98, 10, 3)
Opened = Callable[[float | None], Session]


@pytest.fixture
def opened(random_bundle: Path, tmp_path: Path) -> Iterator[Opened]:
    """A session by the threshold of its bundle's guard."""
    folder, sessions = shutil.copytree(random_bundle, tmp_path / "bundle"), list[Session]()

    def open_(abstain: float | None) -> Session:
        add_guard(folder, random_guard(folder, abstain=abstain))
        sessions.append(Session(Bundle(folder), threads=1))
        return sessions[-1]

    yield open_
    for session in sessions:
        session.close()


def someone(session: Session) -> Known:
    return session.know([Interaction("p", f"{n}: bright strings, really bright!", REQUEST) for n in range(3)])


def test_confidence_is_the_mean_log_probability_of_the_tokens_as_a_score_has_it(opened: Opened) -> None:
    session = opened(-1e6)
    known = someone(session)
    wanted = session.wanted(session.prompt(REQUEST, known), known, SAMPLING)
    pieces = list(session.engine.answer(wanted._replace(weighed=True)))
    assert {piece.log for piece in session.engine.answer(wanted)} == {None}
    expected = session.engine.score(wanted.soft, wanted.tokens, [piece.token for piece in pieces])
    np.testing.assert_allclose([piece.log for piece in pieces], expected, atol=1e-2)
    found = session.answer(REQUEST, known, SAMPLING, abstain=True).finish().receipt.confidence
    assert found is not None
    assert found.answer == pytest.approx(np.mean([piece.log for piece in pieces]), abs=1e-4)


def test_a_confident_answer_is_the_one_without_it_and_nobody_is_not_asked(opened: Opened) -> None:
    session = opened(-1e6)
    for known in (someone(session), None):
        answer = session.answer(REQUEST, known, SAMPLING, abstain=True).finish()
        plain = session.answer(REQUEST, known, SAMPLING).finish()
        assert answer.text == plain.text != UNSURE
        assert answer.receipt.confidence is not None
        assert answer.receipt.confidence.plain is None
        assert not answer.receipt.confidence.abstained
        assert plain.receipt.confidence is None


def test_an_answer_abstains_where_neither_the_persons_nor_nobodys_is_confident(opened: Opened) -> None:
    session = opened(0.0)  # no token is certain
    answer = session.answer(REQUEST, someone(session), SAMPLING, abstain=True).finish()
    assert answer.text == UNSURE
    first = answer.receipt.confidence
    assert first is not None
    assert first.abstained
    alone = session.answer(REQUEST, None, SAMPLING, abstain=True).finish()
    assert alone.text == UNSURE
    assert alone.receipt.confidence is not None
    assert first.plain == alone.receipt.confidence.answer


def test_nobodys_confidence_is_enough(opened: Opened) -> None:
    found = opened(0.0)
    first = found.answer(REQUEST, someone(found), SAMPLING, abstain=True).finish().receipt.confidence
    assert first is not None
    assert first.plain is not None
    low, high = sorted((first.answer, first.plain))
    session = opened((low + high) / 2)
    answer = session.answer(REQUEST, someone(session), SAMPLING, abstain=True).finish()
    assert answer.text == session.answer(REQUEST, someone(session), SAMPLING).finish().text


def test_without_a_threshold_it_is_one_line(opened: Opened) -> None:
    session = opened(None)
    with pytest.raises(BundleError, match="no guard with a threshold"):
        session.answer(REQUEST, None, SAMPLING, abstain=True)


@pytest.mark.parametrize("abstain", [0.1, float("nan"), -1e7])
def test_a_threshold_out_of_range_is_refused(opened: Opened, abstain: float) -> None:
    with pytest.raises(BundleError, match="guard's abstain is"):
        opened(abstain)
