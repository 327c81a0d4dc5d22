"""A conversation behind a persona: nothing before it moves, oldest turns leave whole, one turn alone is a request."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copersona.runtime.chat.ask import Message
from copersona.runtime.engine.turns import Turn, Turns, chatml
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.prompt.conversation import TooLong, conversation
from copersona.runtime.prompt.layout import Layout
from copersona.runtime.prompt.settings import ContextSettings


class Letters:
    """A tokenizer of which each character is a token, and control tokens are negative."""

    def tokenize(self, text: str) -> list[int]:
        return [ord(c) for c in text]

    def control(self, token: str) -> int:
        return {"<|im_start|>": -1, "<|im_end|>": -2}[token]


def read(tokens: tuple[int, ...]) -> str:
    return "".join({-1: "<", -2: ">", -3: "{", -4: "}"}.get(token) or chr(token) for token in tokens)


LETTERS = Letters()
ALTERNATING: Turns[int] = Turns(
    Turn((-3,), ()), None, Turn((-3,), (-4,)), Turn((), (-2,)), (), -2, system_role=False, alternates=True
)
KINDS = {"chatml": chatml(LETTERS), "alternating": ALTERNATING}
HISTORY = [Interaction("ana", f"I wrote this, no. {n}.", time=float(n)) for n in range(3)]


def layout(kind: str, **settings: object) -> Layout:
    return Layout(LETTERS, ContextSettings(**settings), KINDS[kind])  # type: ignore[arg-type]


def user(text: str) -> Message:
    return Message("user", text)


def model(text: str) -> Message:
    return Message("assistant", text)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_one_turn_alone_is_laid_out_as_a_request_is(kind: str, place: str) -> None:
    made = layout(kind, place=place, matched=2)
    fixed = made.fixed(recent=HISTORY[:1], places=2)
    expected = made.complete(fixed, "Hello there", HISTORY[1:])
    found = conversation(made, fixed, [user("Hello there")], HISTORY[1:], 10_000)
    assert found.left_out == 0
    assert found.prompt == expected


def test_turns_stand_in_order_behind_the_prefix_each_in_its_role() -> None:
    made = layout("chatml")
    fixed = made.fixed(recent=HISTORY)
    said = [Message("system", "Be brief."), user("one"), model("two"), user("three")]
    found = conversation(made, fixed, said, (), 10_000).prompt
    prefix = read(found.prefix)
    assert prefix == read(made.complete(fixed, "").prefix)
    assert read(tuple(found.tokens)).removeprefix(prefix) == (
        "<system\nBe brief.>\n<user\none>\n<assistant\ntwo>\n<user\nthree>\n<assistant\n"
    )


def test_where_roles_alternate_instructions_join_the_turn_that_is_open_and_a_greeting_goes() -> None:
    made = layout("alternating")
    fixed = made.fixed()
    said = [Message("system", "Be brief."), model("Welcome!"), user("one"), model("two"), user("three")]
    found = conversation(made, fixed, said, (), 10_000)
    assert found.left_out == 1
    rest = read(tuple(found.prompt.tokens)).removeprefix(read(found.prompt.prefix))
    assert rest == "Be brief.\n\none}two>{three}"


LINES = st.text("abc ", min_size=1, max_size=30).map(str.strip).filter(bool)


@given(
    st.sampled_from(sorted(KINDS)),
    st.lists(st.tuples(LINES, LINES), max_size=8),
    LINES,
    st.integers(0, 500),
)
def test_within_any_room_the_latest_turns_are_kept_whole(
    kind: str, earlier: list[tuple[str, str]], last: str, more: int
) -> None:
    made = layout(kind)
    fixed = made.fixed(recent=HISTORY)
    said = [Message("system", "S")]
    for n, (asked, answered) in enumerate(earlier):
        said += [user(f"{n}?{asked}"), model(f"{n}!{answered}")]
    said.append(user(f"last?{last}"))
    least = len(conversation(made, fixed, [said[0], said[-1]], (), 10_000).prompt.tokens) + 20
    found = conversation(made, fixed, said, (), least + more)
    text = read(tuple(found.prompt.tokens))
    assert len(found.prompt.tokens) <= least + more
    assert text.startswith(read(made.complete(fixed, "").prefix))
    kept = [n for n in range(len(earlier)) if f"{n}?{earlier[n][0]}" in text]
    assert kept == list(range(len(earlier) - len(kept), len(earlier)))  # the latest, without a gap
    assert [n for n in range(len(earlier)) if f"{n}!" in text] == kept  # an answer goes with its turn
    assert found.left_out == 2 * (len(earlier) - len(kept))
    assert f"last?{last}" in text


def test_what_must_stand_and_does_not_fit_is_said() -> None:
    made = layout("chatml")
    fixed = made.fixed()
    with pytest.raises(TooLong, match=r"the last turn of the conversation: .* tokens more than fit"):
        conversation(made, fixed, [user("x" * 5_000)], (), 1_000)
    with pytest.raises(TooLong, match="the instructions"):
        conversation(made, fixed, [Message("system", "x" * 5_000_000), user("y")], (), 1_000)
    with pytest.raises(ValueError, match="ends with a user's turn"):
        conversation(made, fixed, [model("x")], (), 1_000)
