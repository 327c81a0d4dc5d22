"""Where each part of a prompt stands: in a turn of its own, or inside the first user turn.

The form that chat models know for someone's earlier words is their own turns. Where a template has roles alternate, or
has no system turn, that cannot be written: then everything stands in the first user turn, before the request, each text
under a line that says what it is.
"""

from __future__ import annotations

from dataclasses import dataclass

from copersona.runtime.engine.turns import Tokens, Turn, TurnTokens

WROTE = "Written earlier:\n"
ANSWERED = "Asked earlier:\n"
BLANK = "\n\n"


@dataclass(frozen=True, slots=True)
class Frames:
    """Tokens before and behind the parts of a prompt.

    system: the instruction, and BOS before it. profile: facets and peers where they stand apart. input and output: of
    an earlier interaction. request: behind it the answer is open. `end` ends the answer.
    """

    system: Turn[int]
    profile: Turn[int]
    input: Turn[int]
    output: Turn[int]
    request: Turn[int]
    end: int


def frames_of(turns: TurnTokens, tokens: Tokens) -> Frames:
    """The frames for a model of these turns; every prompt that copersona writes stands in them."""
    asked = (*turns.user.close, *turns.answer)
    if not turns.alternates:
        request = Turn(turns.user.open, asked)
        return Frames(turns.first, turns.turn("system"), turns.user, turns.assistant, request, turns.end)
    blank, wrote, answered = (tuple(tokens.tokenize(text)) for text in (BLANK, WROTE, ANSWERED))
    system = turns.first if turns.system_role else Turn(turns.first.open, blank)
    return Frames(
        system, Turn((), blank), Turn(answered, blank), Turn(wrote, blank), Turn((), asked), turns.end
    )  # fmt: skip
