"""Turns from a chat template: chats of marked texts are rendered, and what stands between the marks is how turns open
and close.

What is found is tried on other chats: if the turns, written one after another by `Turns.conversation`, are not what the
template writes, it is tried as one whose roles must alternate, and refused if that does not hold either. Only chats as
our prompts have them count: a system turn first, where there is one, and a user's turn last, with the answer opened
behind it; so a default system turn never appears.

Control tokens become ids; text between them is tokenised by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from copersona.runtime.common.composed import composed
from copersona.runtime.common.errors import CoPersonaError, ModelError
from copersona.runtime.engine.marked_chats import ChatTemplate, Gap, Inseparable, MarkedChats, Unit, messages_of, spelt
from copersona.runtime.engine.markup import adds_space
from copersona.runtime.engine.turns import MOST, Tokens, Turn, Turns, TurnTokens, chatml

FREE = ("su", "suu", "sau", "suau", "saau", "saaauu", "suuaauau", "saaaaaaaau")
"""Chats by the first letters of their roles, the answer opened behind them ("|": not opened): what a template whose
roles are free must write turn by turn."""
LATER = ("susu", "sausau", "saasu")
"""The same with later system turns, which not every template knows."""
ALTERNATING = ("su", "suau", "suauau", "suauauau")


class ModelTokens(Tokens, Protocol):
    """A tokenizer whose model may have a chat template."""

    @property
    def template(self) -> ChatTemplate | None:
        """The model's own template."""
        ...


def model_turns(tokens: ModelTokens) -> TurnTokens:
    """The turns of a model: by its chat template, or ChatML where it has none and the tokens for it.

    Raises:
        ModelError: the template cannot be separated into turns, or there is neither.
    """
    if (template := tokens.template) is not None:
        return derive_turns(template, tokens)
    try:
        return chatml(tokens)
    except CoPersonaError:
        raise ModelError("has no chat template, and no ChatML tokens to do without; use a model for chats") from None


def derive_turns(template: ChatTemplate, tokens: Tokens) -> TurnTokens:
    """The template's turns as token ids.

    Raises:
        ModelError: the template fails, takes too long, or its turns cannot be told apart; says why.
    """
    chats = MarkedChats(template, [*FREE, *LATER, *ALTERNATING, *_without_system(ALTERNATING), "su|", "u|"])
    try:
        found = _free(chats)
    except Inseparable as free:
        try:
            found = _alternating(chats, "s")
        except Inseparable:
            try:
                found = _alternating(chats, "")
            except Inseparable as why:
                raise ModelError(
                    f"the chat template cannot be separated into turns: {why if _refuses(chats) else free}; "
                    "use a model with another template"
                ) from None
    return _as_tokens(_answered(found), template, tokens)


def _without_system(names: Sequence[str]) -> list[str]:
    return [name.removeprefix("s") for name in names]


def _refuses(chats: MarkedChats) -> bool:
    """Whether the template refuses chats with a system turn, so that what it makes of those without tells more."""
    return chats.rendered["su"].error is not None


# Turns from the gaps


def _free(chats: MarkedChats) -> Turns[Unit]:
    """Turns of a template that lets roles follow each other in any order, a system turn first."""
    first, between, opened = chats.gaps("su")
    user_close = chats.gaps("su|")[2]
    user_open = _without_start(chats.gaps("suu")[2], user_close)
    assistant_gaps = chats.gaps("suau")
    assistant = Turn(_without_start(assistant_gaps[2], user_close), _without_end(assistant_gaps[3], user_open))
    turns = Turns(
        first=Turn(first, _without_end(between, user_open)), system=None, user=Turn(user_open, user_close),
        assistant=assistant, answer=_without_start(opened, user_close), end=_end(assistant.close),
        system_role=True, alternates=False,
    )  # fmt: skip
    _try(chats, turns, FREE)
    try:
        later = chats.gaps("susu")
        system = Turn(_without_start(later[2], user_close), _without_end(later[3], user_open))
        with_later = replace(turns, system=system)
        _try(chats, with_later, LATER)
    except Inseparable:
        return turns
    return with_later


def _alternating(chats: MarkedChats, system: str) -> Turns[Unit]:
    """Turns of a template whose roles must alternate; `system` is "s" with a system turn, "" without."""
    opened = chats.gaps(f"{system}u")[-1]
    user_close = chats.gaps(f"{system}u|")[-1]
    gaps = chats.gaps(f"{system}uau")
    end = _end(gaps[-2])
    behind = gaps[-2].index(end) + 1
    user_open = _common_end(gaps[-2][behind:], gaps[-4])  # of a later user's turn, as the first one opens too
    turns = Turns(
        first=Turn(gaps[0], gaps[1] if system else ()), system=None, user=Turn(user_open, user_close),
        assistant=Turn(_without_start(gaps[-3], user_close), _without_end(gaps[-2], user_open)),
        answer=_without_start(opened, user_close), end=end, system_role=bool(system), alternates=True,
    )  # fmt: skip
    _try(chats, turns, ALTERNATING if system else _without_system(ALTERNATING))
    return turns


def _answered(turns: Turns[Unit]) -> Turns[Unit]:
    """An answer is opened as an earlier one was where the template does not do it; a blank is left to the model."""
    if turns.answer or all(unit.text.isspace() for unit in turns.assistant.open):
        return turns
    return replace(turns, answer=turns.assistant.open)


def _try(chats: MarkedChats, turns: Turns[Unit], names: Sequence[str]) -> None:
    """Raises Inseparable where the template does not write a chat as the turns do."""
    for name in names:
        gaps = chats.gaps(name)
        marks = [(role, tuple(Unit(c, False) for c in mark)) for role, mark in messages_of(name)]
        written = list(gaps[0])
        for (_, mark), gap in zip(marks, gaps[1:], strict=True):
            written += [*mark, *gap]
        if turns.conversation(marks, ()) != written:
            raise Inseparable(f"in a chat of {spelt(name)} a turn reads otherwise than in a shorter one")


def _without_start(gap: Gap, start: Gap) -> Gap:
    if gap[: len(start)] != start:
        raise Inseparable("a user's turn closes in different ways")
    return gap[len(start) :]


def _common_end(gap: Gap, other: Gap) -> Gap:
    """The longest end of both."""
    size = 0
    while size < min(len(gap), len(other)) and gap[-size - 1] == other[-size - 1]:
        size += 1
    return gap[len(gap) - size :]


def _without_end(gap: Gap, end: Gap) -> Gap:
    if gap[len(gap) - len(end) :] != end:
        raise Inseparable("a user's turn opens in different ways")
    return gap[: len(gap) - len(end)]


def _end(close: Gap) -> Unit:
    """The control token that ends an answer: the first thing behind its text, blanks aside."""
    for unit in close:
        if unit.control:
            return unit
        if not unit.text.isspace():
            break
    raise Inseparable("no control token ends an answer")


# From units to token ids


def _as_tokens(turns: Turns[Unit], template: ChatTemplate, tokens: Tokens) -> TurnTokens:
    joins = adds_space(tokens.tokenize)

    def ids(gap: Gap, *, before_text: bool, behind_text: bool) -> tuple[int, ...]:
        found = tuple(_ids(gap, template.control, tokens, joins, before_text, behind_text))
        if len(found) > MOST:
            raise ModelError(f"the chat template opens or closes a turn with {len(found)} tokens, more than {MOST}")
        return found

    def turn(one: Turn[Unit], *, leads: bool = False) -> Turn[int]:
        opened = ids(one.open, before_text=True, behind_text=False)
        return Turn(opened, ids(one.close, before_text=leads, behind_text=True))

    return Turns(
        first=turn(turns.first, leads=turns.alternates and turns.system_role),
        system=None if turns.system is None else turn(turns.system),
        user=turn(turns.user),
        assistant=turn(turns.assistant),
        answer=ids(turns.answer, before_text=True, behind_text=False),
        end=template.control[turns.end.text],
        system_role=turns.system_role,
        alternates=turns.alternates,
    )


def _ids(
    gap: Gap, control: Mapping[str, int], tokens: Tokens, joins: bool, before_text: bool, behind_text: bool
) -> Iterator[int]:
    """Ids of control tokens, and those of each run of text by itself.

    A tokenizer that puts a space in front of every text writes one of the template's own spaces: in front of a run,
    and in front of the turn's text that follows.
    """
    runs: list[str] = [""]
    for unit in gap:
        runs[-1:] = [runs[-1], unit.text, ""] if unit.control else [runs[-1] + unit.text]
    for place, run in enumerate(runs):
        if place % 2:
            yield control[run]
            continue
        if joins:
            run = run.removeprefix(" ")
            run = run.removesuffix(" ") if before_text and place == len(runs) - 1 else run
        if run:
            yield from tokens.tokenize(composed(run))
