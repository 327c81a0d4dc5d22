"""Prompts of models whose roles alternate, or that know no system turn: everything stands in the first user turn."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copersona.runtime.engine.turns import Turn, Turns, TurnTokens
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.persona.peer_lines import PeerLine
from copersona.runtime.profile.facets import FacetProfile, Reliability
from copersona.runtime.prompt.layout import CAUTION, INSTRUCTION, Layout
from copersona.runtime.prompt.settings import NAMED, ContextSettings

BASE = 0x110000  # control tokens lie above every character
NAMES = dict(enumerate("^<>!", BASE))  # BOS, a turn's start, its end, the end of an answer


class Characters:
    def tokenize(self, text: str) -> list[int]:
        return [ord(c) for c in text]

    def control(self, token: str) -> int:
        raise ValueError(token)


def ids(text: str) -> tuple[int, ...]:
    back = {sign: i for i, sign in NAMES.items()}
    return tuple(back.get(c, ord(c)) for c in text)


def turn(opened: str, closed: str) -> Turn[int]:
    return Turn(ids(opened), ids(closed))


def text_of(tokens: list[int]) -> str:
    return "".join(NAMES.get(t) or chr(t) for t in tokens)


GEMMA: TurnTokens = Turns(
    turn("^<u\n", ""), None, turn("<u\n", ">\n"), turn("<m\n", "!\n"), ids("<m\n"), BASE + 3,
    system_role=False, alternates=True,
)  # fmt: skip
LLAMA2: TurnTokens = Turns(
    turn("^[I] <<S>>\n", "\n<</S>>\n\n"), None, turn("^[I] ", " [/I]"), turn(" ", " !"), (), BASE + 3,
    system_role=True, alternates=True,
)  # fmt: skip
LATE: TurnTokens = Turns(  # roles are free, but a system turn can only be the first
    turn("^<s\n", ">"), None, turn("<u\n", ">"), turn("<a\n", "!"), ids("<a\n"), BASE + 3,
    system_role=True, alternates=False,
)  # fmt: skip


def wrote(place: int, text: str) -> Interaction:
    return Interaction("ana", text, input="Say.", time=float(place))


PARTS: dict[str, Any] = {
    "facets": (FacetProfile("facet", "Long", (), Reliability.STRONG, 0.9),),
    "peers": (PeerLine("Peer is loud.", 7, 1, False),),
    "recent": (wrote(1, "older"), wrote(2, "newer")),
    "matched": (wrote(0, "best"),),
}
FACETS = f"Long.\n{CAUTION}\nPeer is loud."
TEXTS = "Written earlier:\nolder\n\nWritten earlier:\nnewer\n\n", "Written earlier:\nbest\n\n"
BOTH = "".join(f"Asked earlier:\nSay.\n\nWritten earlier:\n{text}\n\n" for text in ("older", "newer"))


@pytest.mark.parametrize(
    ("turns", "changes", "expected"),
    [
        (GEMMA, {}, "^<u\n{I}\n{F}\n\n" + "".join(TEXTS) + "Now?>\n<m\n"),
        (GEMMA, {"place": "middle"}, "^<u\n{I}\n\n" + TEXTS[0] + "{F}\n\n" + TEXTS[1] + "Now?>\n<m\n"),
        (GEMMA, {"place": "last"}, "^<u\n{I}\n\n" + "".join(TEXTS) + "{F}\n\nNow?>\n<m\n"),
        (LLAMA2, {}, "^[I] <<S>>\n{I}\n{F}\n<</S>>\n\n" + "".join(TEXTS) + "Now? [/I]"),
        (LLAMA2, {"place": "last"}, "^[I] <<S>>\n{I}\n<</S>>\n\n" + "".join(TEXTS) + "{F}\n\nNow? [/I]"),
        (LATE, {}, "^<s\n{I}\n{F}><a\nolder!<a\nnewer!<a\nbest!<u\nNow?><a\n"),
        (LATE, {"place": "middle"}, "^<s\n{I}><a\nolder!<a\nnewer!<u\n{F}><a\nbest!<u\nNow?><a\n"),
    ],
    ids=["gemma", "gemma middle", "gemma last", "llama 2", "llama 2 last", "late", "late middle"],
)
def test_everything_stands_in_its_place(turns: TurnTokens, changes: dict[str, Any], expected: str) -> None:
    layout = Layout(Characters(), ContextSettings(**changes), turns)
    prompt = layout.prompt("Now?", **PARTS)
    assert text_of(prompt.tokens) == expected.format(I=INSTRUCTION, F=FACETS)
    assert layout.answer("Yes.") == (*ids("Yes."), BASE + 3)
    assert layout.changed(show="both").turns == turns
    assert (prompt.history, prompt.peers) == ((*PARTS["recent"], *PARTS["matched"]), PARTS["peers"])


def test_what_was_asked_stands_before_what_was_written() -> None:
    prompt = Layout(Characters(), ContextSettings(show="both"), GEMMA).prompt("Now?", recent=PARTS["recent"])
    assert text_of(prompt.tokens) == f"^<u\n{INSTRUCTION}\n\n{BOTH}Now?>\n<m\n"


def test_nobodys_prompt_is_the_instruction_and_the_request_alone() -> None:
    for turns, expected in ((GEMMA, "^<u\n{I}\n\nNow?>\n<m\n"), (LLAMA2, "^[I] <<S>>\n{I}\n<</S>>\n\nNow? [/I]")):
        prompt = Layout(Characters(), ContextSettings(), turns).prompt("Now?")
        assert text_of(prompt.tokens) == expected.format(I=INSTRUCTION)
        assert prompt.prefix == prompt.segments[0].tokens


TEXT = st.text(st.sampled_from("ab \n^<>!é"), max_size=80)
SETTINGS = st.builds(
    ContextSettings,
    budget=st.integers(0, 500), profile_tokens=st.integers(0, 100), peer_tokens=st.integers(0, 100),
    item_tokens=st.integers(0, 200), request_tokens=st.integers(0, 100),
    **{name: st.sampled_from(NAMED[name]) for name in ("show", "place", "served")},
)  # fmt: skip


@settings(max_examples=200)
@given(SETTINGS, st.sampled_from([GEMMA, LLAMA2]), TEXT, st.lists(TEXT, max_size=4), st.lists(TEXT, max_size=5))
def test_the_budget_holds_and_there_is_one_user_turn(
    chosen: ContextSettings, turns: TurnTokens, request: str, facets: list[str], texts: list[str]
) -> None:
    parts: dict[str, Any] = {
        "facets": [FacetProfile("facet", text, (), Reliability.STRONG, 0.9) for text in facets],
        "peers": [PeerLine(text, 0, 0, False) for text in facets[::-1]],
        "recent": [wrote(i, text) for i, text in enumerate(texts)],
    }
    layout = Layout(Characters(), chosen, turns)
    nobody, prompt = layout.prompt(request), layout.prompt(request, **parts)
    assert len(prompt.tokens) - len(nobody.tokens) <= chosen.budget
    count = lambda tokens: [tokens.count(control) for control in NAMES]
    assert count(prompt.tokens) == count(nobody.tokens)
    assert [s.cacheable for s in prompt.segments] == sorted((s.cacheable for s in prompt.segments), reverse=True)
