"""Turns as a manifest holds them: read as they were written, or refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copersona.runtime.engine.turns import MOST, Turn, Turns, TurnTokens, read_turns, turns_json

IDS = st.lists(st.integers(0, 99), max_size=6).map(tuple)
TURN = st.builds(Turn, IDS, IDS)
TURNS = st.builds(
    lambda first, system, user, own, answer, end, role, alternates: Turns(
        first, system, user, Turn(own.open, (*own.close, end)), (*answer, 5), end, role, alternates or not role
    ),
    TURN, st.none() | TURN, TURN, TURN, IDS, st.integers(0, 99), st.booleans(), st.booleans(),
)  # fmt: skip


@given(TURNS)
def test_what_is_written_is_read(turns: TurnTokens) -> None:
    assert read_turns(json.loads(json.dumps(turns_json(turns))), 100) == turns
    assert isinstance(hash(turns), int)


def good() -> dict[str, Any]:
    turn = {"open": [1, 7], "close": [2, 8]}
    return {
        "first": turn, "system": turn, "user": turn, "assistant": turn, "answer": [1, 7], "end": 2, "system_role": True,
        "alternates": False,
    }  # fmt: skip


WRONG: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a role missing": (lambda b: b.pop("user"), "turns have alternates, answer, "),
    "a role too many": (lambda b: b.update(tool=b["user"]), "tool, user, expected"),
    "no turn": (lambda b: b.update(user=[1]), "user has list"),
    "no first turn": (lambda b: b.update(first=None), "first has NoneType"),
    "half a turn": (lambda b: b.update(user={"open": [1]}), "user has open, expected open and close"),
    "a number": (lambda b: b.update(answer=1), "answer is no list"),
    "text": (lambda b: b.update(answer=["1"]), "answer has '1'"),
    "true": (lambda b: b.update(answer=[True]), "answer has True"),
    "a fraction": (lambda b: b.update(end=2.0), "end has 2.0"),
    "too large": (lambda b: b.update(answer=[100]), "answer has 100, the vocabulary has 100 tokens"),
    "below zero": (lambda b: b.update(user={"open": [-1], "close": []}), "user.open has -1"),
    "a book": (lambda b: b.update(answer=[1] * (MOST + 1)), f"up to {MOST}"),
    "no flag": (lambda b: b.update(alternates=0), "alternates is 0, expected true or false"),
    "no end": (lambda b: b.update(end=3), "ends with 3, but no assistant's turn does"),
    "no border": (lambda b: b.update(user={"open": [1], "close": []}, answer=[]), "nothing stands between"),
    "free without a system": (lambda b: b.update(system_role=False), "without a system turn must alternate"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_turns_is_refused(name: str) -> None:
    change, why = WRONG[name]
    body = json.loads(json.dumps(good()))
    assert read_turns(body, 100).end == 2
    change(body)
    with pytest.raises(ValueError, match=re.escape(why)) as caught:
        read_turns(body, 100)
    assert "\n" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(good())) | st.text(), inner),
)


@given(JSON, st.sampled_from(sorted(good())))
def test_whatever_a_manifest_holds_ends_in_one_error(body: object, place: str) -> None:
    for one in (body, {**good(), place: body}):
        try:
            found = read_turns(one, 100)
        except ValueError:
            continue
        assert turns_json(found) == one
