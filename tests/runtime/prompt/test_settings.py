"""Settings of the context: what is refused, what is written and read back."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

from copersona.runtime.common.errors import ModelError
from copersona.runtime.prompt.settings import ContextSettings, changed, check_room, read_context


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"recent": -1}, "recent is -1, expected a whole number from 0"),
        ({"matched": True}, "matched is True"),
        ({"budget": 1.5}, "budget is 1.5"),
        ({"peers": "3"}, "peers is '3'"),
        ({"matcher": "bm52"}, "matcher is 'bm52', expected one of bm25, dense, blend"),
        ({"show": "all"}, "show is 'all', expected one of outputs, inputs, both"),
        ({"place": None}, "place is None, expected one of first, middle, last"),
        ({"place": []}, "place is"),
        ({"brake": -0.1}, "brake is -0.1, expected a number from 0 to 100"),
        ({"brake": True}, "brake is True"),
        ({"confidence": 1.5}, "confidence is 1.5, expected a number from 0 to 1"),
        ({"served": "peers"}, "served is 'peers', expected one of facets, texts"),
    ],
)
def test_what_is_out_of_range_is_refused_by_name(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ContextSettings(**given)
    with pytest.raises(ValueError, match=message):
        read_context(given)


def test_an_unknown_setting_is_refused_and_the_known_ones_named() -> None:
    with pytest.raises(ValueError, match=r"recnet: no context settings; known are budget, .*recent"):
        changed(ContextSettings(), {"recnet": 2})


def test_what_is_written_is_read_back() -> None:
    for settings in (
        ContextSettings(),
        ContextSettings(7, 6, 5, 4, 3, 2, 1, 0, "blend", "inputs", "last", "texts", 4.0, 0.6),
    ):
        assert read_context(json.loads(json.dumps(asdict(settings)))) == settings


def test_a_prompt_must_leave_room_for_an_answer() -> None:
    settings = ContextSettings(budget=512, request_tokens=256)
    check_room(settings, 20, 789)
    with pytest.raises(ModelError, match=r"788 tokens \(20 soft, 512 .* trained on 788: .* lower the budget"):
        check_room(settings, 20, 788)


def test_vectors_are_needed_only_to_match_by_them() -> None:
    assert not ContextSettings(matched=3).encodes
    assert not ContextSettings(matched=0, matcher="dense").encodes
    assert ContextSettings(matched=1, matcher="dense").encodes
    assert ContextSettings(matched=1, matcher="blend").encodes
