"""The guard at work: what is decided, what the answer then is, and that without it nothing changes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from copersona.runtime.bundle.guard import Guard, add_guard
from copersona.runtime.bundle.opened import Bundle
from copersona.runtime.chat.ask import Message
from copersona.runtime.common.errors import BundleError, ModelError, ModelRefused
from copersona.runtime.engine.engine import quantize
from copersona.runtime.engine.sampling import Sampling
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.people.known import Known
from copersona.runtime.prompt.settings import GUARD_MODES, GuardMode
from copersona.runtime.session.answers import Answer, Asked
from copersona.runtime.session.conversing import converse
from copersona.runtime.session.guarding import Verdict
from copersona.runtime.session.session import Session

from ...conftest import DEMO
from ...random_models import qwen2, random_bundle
from ...small_bundle import random_guard

REQUESTS = [f"Write a review.\nTitle: {title}" for title in ("good strings", "an amp", "a cable", "a stand")]
SAMPLING = Sampling(1.0, 0.98, 10, 3)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with a q8_0 model of random weights and no guard."""
    folder = tmp_path_factory.mktemp("plain")
    quantize(qwen2(folder / "f32.gguf"), folder / "q8.gguf", "q8_0")
    return random_bundle(DEMO, folder / "q8.gguf", folder / "bundle")


def people(session: Session) -> list[Known]:
    return [
        session.know([Interaction("p", f"{n}: {word} strings, really {word}!", REQUESTS[0]) for n in range(3)])
        for word in ("bright", "dull", "warm")
    ]


def guarded_by(plain: Path, folder: Path, **changed: object) -> Path:
    shutil.copytree(plain, folder)
    add_guard(folder, random_guard(folder, **changed))
    return folder


@pytest.fixture(scope="module")
def middle(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose guard removes some answers here and keeps others."""
    folder = guarded_by(plain, tmp_path_factory.mktemp("middle") / "bundle", gamma=3.0)
    with Session(Bundle(folder), threads=1, guard="S") as session:
        asked = [(request, known) for request in REQUESTS for known in people(session)]
        found = [session.answer(request, known, SAMPLING).finish().receipt.guard for request, known in asked]
    tau = float(np.median([one.probability for one in found if one is not None and one.probability is not None]))
    add_guard(folder, random_guard(folder, gamma=3.0, tau=tau))
    return folder


@pytest.fixture
def session(middle: Path) -> Iterator[Session]:
    with Session(Bundle(middle), threads=1, guard="regenerate", sequences=8) as opened:
        yield opened


def text(answer: Answer) -> str:
    return answer.finish().text


# What is decided


def guard_of(random: np.random.Generator, tau: float, gamma: float) -> Guard:
    mean, weights, vector = random.normal(0, 1, (3, 8)).astype(np.float32)
    return Guard("b", 2, 0, mean, np.ones(8, np.float32), weights, vector, 0.0, gamma, tau, None)  # type: ignore[arg-type]


@given(st.integers(0, 2**32 - 1), st.sampled_from(GUARD_MODES[1:]), st.floats(0, 1), st.floats(0, 10))
def test_every_mode_decides_as_the_paper_says(seed: int, mode: GuardMode, tau: float, gamma: float) -> None:
    random = np.random.default_rng(seed)
    guard, state = guard_of(random, tau, gamma), random.normal(0, 1, 8).astype(np.float32)
    verdict = Verdict(guard, mode, None)
    act, p = verdict.decide(state), guard.probability(state)
    hard, soft = {"S": (None, True), "H": ("hold", False), "M": ("hold", True), "regenerate": ("instead", False)}[mode]
    if hard is not None and p >= tau:
        assert (act.kind, act.shift) == (hard, None)
        assert verdict.found.decision == ("removed" if mode == "regenerate" else "held")
    elif soft:
        assert act.kind == "shift"
        assert act.shift == pytest.approx(gamma * (p - 0.5) * guard.vector.astype(np.float64), rel=1e-5, abs=1e-6)
        assert verdict.found.decision == "steered"
    else:
        assert (act.kind, act.shift, verdict.found.decision) == ("leave", None, "kept")
    assert verdict.found.probability == pytest.approx(p, abs=1e-4)


def test_a_layer_that_is_not_finite_is_refused() -> None:
    guard = guard_of(np.random.default_rng(0), 0.5, 1.0)
    with pytest.raises(ModelRefused, match="layer 0 is not finite"):
        Verdict(guard, "M", None).decide(np.full(8, np.nan, np.float32))


# What the answer is


def test_off_is_a_session_without_a_guard(plain: Path, middle: Path, session: Session) -> None:
    with Session(Bundle(plain), threads=1) as bare, Session(Bundle(middle), threads=1) as off:
        assert off.engine.layers is None
        for ours in (off, session):
            for one, other in zip(people(bare), people(ours), strict=True):
                answer = ours.answer(REQUESTS[0], other, SAMPLING, guard="off")
                assert text(answer) == text(bare.answer(REQUESTS[0], one, SAMPLING))
                assert answer.receipt.guard is None
                prompt = ours.prompt(REQUESTS[0], other).tokens
                expected = bare.engine.logits(one.soft, bare.prompt(REQUESTS[0], one).tokens)
                assert (ours.engine.logits(other.soft, prompt) == expected).all()


def test_regenerate_removes_the_persona_exactly_or_leaves_it_exactly(session: Session) -> None:
    decisions = set()
    for known in people(session):
        for request in REQUESTS:
            answer = session.answer(request, known, SAMPLING)
            found = text(answer)
            guard = answer.receipt.guard
            assert guard is not None
            assert guard.mode == "regenerate"
            decisions.add(guard.decision)
            as_whom = None if guard.decision == "removed" else known
            assert found == text(session.answer(request, as_whom, SAMPLING, guard="off"))
            said = json.loads(answer.receipt.to_json())
            assert (said["retrieved"] == []) == (guard.decision == "removed")
    assert decisions == {"kept", "removed"}, "it would be no test"


def test_without_strength_steering_changes_nothing_and_with_it_answers_change(plain: Path, tmp_path: Path) -> None:
    changed = set()
    for gamma in (0.0, 10.0):
        folder = guarded_by(plain, tmp_path / f"{gamma}", gamma=gamma)
        with Session(Bundle(folder), threads=1, guard="S") as session:
            for known in people(session):
                off = text(session.answer(REQUESTS[0], known, SAMPLING, guard="off"))
                changed.add((gamma, text(session.answer(REQUESTS[0], known, SAMPLING)) != off))
    assert changed >= {(0.0, False), (10.0, True)}
    assert (0.0, True) not in changed


def test_nobody_is_not_guarded(session: Session) -> None:
    answer = session.answer(REQUESTS[0], None, SAMPLING)
    assert text(answer) == text(session.answer(REQUESTS[0], None, SAMPLING, guard="off"))
    assert answer.receipt.guard is None


def test_mixed_decisions_in_a_batch_of_eight_are_what_each_is_alone(session: Session) -> None:
    known = [*people(session), None]
    sampling = [replace(SAMPLING, seed=n, max_tokens=6 + n % 5) for n in range(20)]
    asked = [
        Asked(f"{n}", REQUESTS[n % 4], known[n % len(known)], sampling[n], None, mode)
        for n, mode in enumerate(GUARD_MODES * 4)
    ]
    found = {one.id: answer for one, answer in session.answer_many(asked)}
    decisions = set()
    for one in asked:
        together = found[one.id]
        assert not isinstance(together, ModelRefused)
        alone = session.answer(one.request, one.known, one.sampling, guard=one.guard).finish()
        assert together.text == alone.text
        assert together.receipt == alone.receipt
        decisions.add(alone.receipt.guard and alone.receipt.guard.decision)
    assert decisions == {None, "kept", "steered", "held", "removed"}, "it would be no test"


def test_a_conversation_that_is_removed_is_nobodys_conversation(session: Session) -> None:
    messages = [Message("user", "Hello."), Message("assistant", "Hi there."), Message("user", REQUESTS[0])]
    decisions = set()
    for known in people(session):
        turned = converse(session, messages, known, SAMPLING)
        found = [piece.token for piece in session.engine.answer(turned.wanted)]
        guard = turned.receipt().guard
        assert guard is not None
        decisions.add(guard.decision)
        as_whom = None if guard.decision == "removed" else known
        other = converse(session, messages, as_whom, SAMPLING, guard="off")
        assert found == [piece.token for piece in session.engine.answer(other.wanted)]
    assert decisions <= {"kept", "removed"}


# What is refused


def test_a_bundle_without_a_guard_is_not_opened_with_one(plain: Path) -> None:
    with pytest.raises(BundleError, match="has no guard, M cannot be had"):
        Session(Bundle(plain), guard="M")


def test_a_session_whose_guard_is_off_refuses_a_request_for_it_alone(middle: Path) -> None:
    with Session(Bundle(middle), threads=1) as session:
        with pytest.raises(ModelRefused, match="off here"):
            session.answer(REQUESTS[0], people(session)[0], SAMPLING, guard="M")
        assert text(session.answer(REQUESTS[0], people(session)[0], SAMPLING))


def test_in_a_batch_such_a_request_is_refused_and_the_others_are_answered(middle: Path) -> None:
    with Session(Bundle(middle), threads=1, sequences=2) as session:
        modes: list[GuardMode | None] = [None, "M", "off"]
        known = people(session)[0]
        asked = [Asked(str(mode), REQUESTS[0], known, SAMPLING, None, mode) for mode in modes]
        found = {one.id: isinstance(answer, ModelRefused) for one, answer in session.answer_many(asked)}
    assert found == {"None": False, "M": True, "off": False}


def test_a_model_whose_layers_cannot_be_read_is_refused_by_one_line(
    middle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("copersona.runtime.engine.layers.CONVENTION", "another_name")
    said = "no guard can be used with this model: layer 0 cannot be read"
    with Session(Bundle(middle), threads=1, guard="M") as session, pytest.raises(ModelError, match=said):
        session.prompt(REQUESTS[0], None)
