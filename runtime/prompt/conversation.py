"""A conversation of several turns behind a person's prefix, which is never pushed out.

Instructions of the conversation and its last turn stand whole or not at all. Of the turns between, the oldest leave
first, each with the answer that it got. One turn alone is laid out as a request is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from copersona.runtime.chat.ask import Message
from copersona.runtime.common.errors import ModelRefused
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.prompt.layout import Fixed, Layout, Prompt, Segment

Tokens = tuple[int, ...]
LONGEST_TOKEN = 256  # characters; a text of more than so many a token of room fits in none


class TooLong(ModelRefused):
    """What must stand in the prompt does not fit its room."""


class Conversation(NamedTuple):
    """The prompt, and how many earlier turns did not fit."""

    prompt: Prompt
    left_out: int


def conversation(
    layout: Layout,
    fixed: Fixed,
    messages: Sequence[Message],
    matched: Sequence[Interaction],
    room: int,
    begun: str = "",
) -> Conversation:
    """The prompt of a conversation that ends with a user's turn, within `room` tokens. `begun` is how the answer
    begins, where it is to be gone on with.

    Raises:
        TooLong: instructions and last turn do not fit beside the prefix.
        ValueError: the last turn is not a user's.
    """
    if not messages or messages[-1].role != "user":
        raise ValueError("a conversation ends with a user's turn")
    head = layout.complete(fixed, "", matched)
    before = head.segments[:-1]
    start = layout.text(begun)
    room -= sum(len(segment.tokens) for segment in before) + len(start)
    texts = _that_fit(layout, messages, room)
    rows: list[tuple[str, Tokens]] = [
        (m.role, text) for m, text in zip(messages, texts, strict=True) if text is not None
    ]
    if layout.turns.alternates or len(rows) < len(messages):
        rows = _from_a_user(rows)
    written = (*layout.turns.continued(rows, layout.blank), *start)
    name = "request" if len(rows) == 1 else "conversation"
    prompt = Prompt(
        segments=(*before, Segment(name, written, False)),
        pinned=head.pinned,
        recent=head.recent,
        matched=head.matched,
        peers=head.peers,
        cut=head.cut,
    )
    return Conversation(prompt, len(messages) - len(rows))


def _that_fit(layout: Layout, messages: Sequence[Message], room: int) -> list[Tokens | None]:
    """The tokens of each message, None for the oldest turns that do not fit."""
    texts: list[Tokens | None] = [None] * len(messages)
    room -= len(layout.turns.answer)
    must = {n for n, message in enumerate(messages) if message.role == "system" or n == len(messages) - 1}
    for n in sorted(must):
        texts[n], cost = _costs(layout, messages[n], room)
        room -= cost
        if room < 0:
            what = "the last turn" if n == len(messages) - 1 else "the instructions"
            raise TooLong(f"{what} of the conversation: {-room:,} tokens more than fit behind the persona")
    for n in reversed(range(len(messages) - 1)):
        if n not in must:
            text, cost = _costs(layout, messages[n], room)
            room -= cost
            if room < 0:
                break
            texts[n] = text
    return texts


def _costs(layout: Layout, message: Message, room: int) -> tuple[Tokens, int]:
    """A message's tokens, and how many it takes at most with what opens and closes it."""
    turn = layout.turns.turn(message.role)
    if len(message.content) > LONGEST_TOKEN * max(room, 1):
        return (), room + len(message.content) // LONGEST_TOKEN  # not worth tokenising
    text = layout.text(message.content)
    return text, len(turn.open) + len(text) + len(turn.close) + len(layout.blank)


def _from_a_user(rows: list[tuple[str, Tokens]]) -> list[tuple[str, Tokens]]:
    """Without answers to a turn that was left out, and without a greeting where roles must alternate."""
    while (first := next(n for n, (role, _) in enumerate(rows) if role != "system")) < len(rows) - 1:
        if rows[first][0] == "user":
            break
        del rows[first]
    return rows
