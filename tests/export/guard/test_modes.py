"""What a mode makes of cases, and the scores, by hand; replies that outlive a kill."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from copersona.export.guard.answers import Replies, reply_key
from copersona.export.guard.asking import Outcome
from copersona.export.guard.cases import Case, Kind
from copersona.export.guard.counted import LEAST, obstacles, tallies
from copersona.export.guard.modes import Cases, Steered, best_threshold, compare, modes
from copersona.export.guard.people import Group

pytestmark = pytest.mark.export


def outcome(kind: Kind, plain: bool, persona: bool, number: int = 0, group: Group = "test") -> Outcome:
    """A case of which both answers are right or wrong as wanted."""
    case = Case(f"p{number % 5}", group, kind, "fact" if kind == "fact" else "which", f"q{number}", ("yes",), ("no",))
    return Outcome(case, "yes" if plain else "x", "yes" if persona else "no yes")


def test_what_the_persona_did_has_four_names() -> None:
    found = [outcome("fact", plain, persona).did for plain in (True, False) for persona in (True, False)]
    assert found == ["right both", "degraded", "beneficial", "wrong both"]


def test_scores_of_three_facts_and_two_personal_questions_by_hand() -> None:
    rows = [
        outcome("fact", True, False), outcome("fact", True, True), outcome("fact", True, False),
        outcome("fact", False, True), outcome("personal", False, True), outcome("personal", False, False),
    ]  # fmt: skip
    cases = Cases.of(rows)
    assert len(cases.outcomes) == 5  # a fact that nobody knows cannot be spoilt
    risk = np.array([0.9, 0.8, 0.2, 0.6, 0.1])
    steered = Steered(*(np.array(row, bool) for row in ([1, 0, 0, 1, 1], [0, 1, 1, 1, 0], [0, 0, 0, 0, 0])))
    found = modes(cases, risk >= 0.7, risk >= 0.85, steered)
    scores = {name: cases.score(right) for name, right in found.items()}
    third = pytest.approx(1 / 3)
    assert (scores["off"].p, scores["off"].f) == (0.5, third)
    assert (scores["always nobody"].p, scores["always nobody"].f) == (0.0, 1.0)
    assert (scores["regenerate"].p, scores["regenerate"].f) == (0.5, pytest.approx(2 / 3))
    assert scores["regenerate"].overall == pytest.approx((0.5 + 2 / 3) / 2)
    alone = scores["regenerate, by the request alone"]
    assert (alone.p, alone.f) == (0.5, pytest.approx(2 / 3))
    assert (scores["H"].p, scores["H"].f) == (0.5, third)
    assert (scores["S"].p, scores["S"].f) == (0.5, pytest.approx(2 / 3))
    assert (scores["M"].p, scores["M"].f) == (0.5, pytest.approx(2 / 3))
    compared = compare(cases, found)
    assert compared["always nobody"].p_lost.mean == 0.5
    assert compared["regenerate"].gained.mean == pytest.approx(1 / 6)
    assert compared["off"].behind.mean == pytest.approx(1 / 6)
    assert found["regenerate, random probe"].sum() <= cases.plain.sum() + cases.persona.sum()


def test_the_threshold_is_the_middle_of_those_that_do_best() -> None:
    cases = Cases.of([outcome("fact", True, False), outcome("personal", False, True)])
    assert best_threshold(cases, np.array([0.8, 0.4])) == pytest.approx(0.61, abs=0.011)


def test_a_set_is_not_evaluable_with_few_degraded_facts_or_a_persona_that_does_not_help() -> None:
    def some(kind: Kind, plain: bool, persona: bool, counts: dict[Group, int]) -> list[Outcome]:
        return [outcome(kind, plain, persona, i, group) for group, count in counts.items() for i in range(count)]

    spoilt, helped = some("fact", True, False, LEAST), some("personal", False, True, LEAST)
    assert obstacles([*spoilt, *helped]) == []
    few = some("fact", True, False, {"training": 99, "validation": 9, "test": 99})
    assert [line.split()[0] for line in obstacles([*few, *helped])] == ["99", "9", "99"]
    why = obstacles([*spoilt, *some("personal", True, True, LEAST)])
    assert len(why) == 4
    assert "does not help" in why[-1]
    row = next(row for row in tallies(spoilt) if row.group == "training" and row.form == "fact")
    assert (row.cases, row.people, row.did["degraded"]) == (100, 5, 100)


def test_replies_go_on_behind_what_a_kill_left(tmp_path: Path) -> None:
    path, keys = tmp_path / "replies.jsonl", [reply_key("q", name) for name in ("a", "b", None)]
    assert len({*keys, reply_key("q", "a", "S"), reply_key("r", "a")}) == 5
    with Replies(path) as replies:
        for key in keys[:2]:
            replies.add(key, f"ä {key}")
    whole = path.read_bytes()
    for cut in (len(whole) - 1, len(whole) - 20, len(whole) // 2 + 3, 1, 0):
        path.write_bytes(whole[:cut])
        with Replies(path) as replies:
            kept = [key for key in keys if key in replies]
            assert kept == keys[: whole[:cut].count(b"\n")]
            replies.add(keys[2], "c")
        with Replies(path) as replies:
            assert replies[keys[2]] == "c"
            assert all(replies[key] == f"ä {key}" for key in kept)
