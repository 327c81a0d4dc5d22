"""Turns from a chat template: chats of marked texts are rendered, and what stands between the marks is how turns open
and close.

What is found is tried on other chats: if the turns, written one after another by `Turns.conversation`, are not what the
template writes, it is tried as one whose roles must alternate, and refused if that does not hold either. Only chats as
our prompts have them count: a system turn first, where there is one, and a user's turn last, with the answer opened
behind it; so a default system turn never appears.

Control tokens become ids; text between them is tokenised by itself.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from copersona.runtime.common.errors import CoPersonaError, ModelError
from copersona.runtime.engine.template_render import Chat, Rendered, render
from copersona.runtime.engine.turns import MOST, Tokens, Turn, Turns, TurnTokens, chatml

ROLES = {"s": "system", "u": "user", "a": "assistant"}
FREE = ("su", "suu", "sau", "suau", "saau", "saaauu", "suuaauau", "saaaaaaaau")
"""Chats by the first letters of their roles: what every template must write turn by turn whose roles are free. The
first, and the one before it that leaves the answer unopened, are what turns are read from."""
LATER = ("susu", "sausau", "saasu")
ALTERNATING = ("su", "suau", "suauau", "suauauau")


class Unit(NamedTuple):
    """A control token, or one character of text."""

    text: str
    control: bool


Gap = tuple[Unit, ...]


class _Inseparable(Exception):
    """Why a template's turns cannot be told apart."""


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """A chat template with what it prints and is read by: `special` are texts by name, such as `bos_token`, `control`
    the ids of control tokens by text."""

    text: str
    special: Mapping[str, str]
    control: Mapping[str, int]


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
    if tokens.template is not None:
        return derive_turns(tokens.template, tokens)
    try:
        return chatml(tokens)
    except CoPersonaError:
        raise ModelError("has no chat template, and no ChatML tokens to do without; use a model for chats") from None


def derive_turns(template: ChatTemplate, tokens: Tokens) -> TurnTokens:
    """The template's turns as token ids.

    Raises:
        ModelError: the template fails, takes too long, or its turns cannot be told apart; says why.
    """
    chats = _Chats(template)
    try:
        found = _free(chats)
    except _Inseparable as free:
        try:
            found = _alternating(chats, "s")
        except _Inseparable:
            try:
                found = _alternating(chats, "")
            except _Inseparable as why:
                raise ModelError(
                    f"the chat template cannot be separated into turns: {why if _refuses(chats) else free}; "
                    "use a model with another template"
                ) from None
    return _as_tokens(_answered(found), template, tokens)


def _refuses(chats: _Chats) -> bool:
    """Whether the template refuses chats with a system turn, so that what it makes of those without tells more."""
    return chats.rendered["su"].error is not None


# Chats and what stands between their texts


class _Chats:
    """All chats that are looked at, rendered at once; `gaps` are the pieces before, between and behind the marks."""

    def __init__(self, template: ChatTemplate) -> None:
        chats = [*FREE, *LATER, *ALTERNATING, *(c.removeprefix("s") for c in ALTERNATING)]
        self._names = list(dict.fromkeys([*chats, "su|", "u|"]))  # "|": the answer's turn is not opened
        asked = [Chat(_messages(name), not name.endswith("|")) for name in self._names]
        self.rendered = dict(zip(self._names, render(template.text, template.special, asked), strict=True))
        self._template = template

    def gaps(self, name: str) -> list[Gap]:
        """One more than turns. Raises _Inseparable where a text is not there exactly once, whole and in its place."""
        found: Rendered = self.rendered[name]
        said = f"a chat of {_spelt(name)}"
        if found.error is not None:
            raise _Inseparable(f"it refuses {said} ({found.error})")
        rest, gaps = found.text, []
        for _, mark in _messages(name):
            if found.text.count(mark) != 1:
                raise _Inseparable(f"in {said} a text is left out, changed or there twice")
            before, seen, rest = rest.partition(mark)
            if not seen:
                raise _Inseparable(f"in {said} texts are not in their order")
            gaps.append(before)
        return [self._units(gap) for gap in (*gaps, rest)]

    def _units(self, text: str) -> Gap:
        return tuple(units(text, self._template.control))


def _messages(name: str) -> tuple[tuple[str, str], ...]:
    """(role, marked text); each of another length, with signs that a template might escape and a line end that it might
    take out."""
    roles = [ROLES[letter] for letter in name.rstrip("|")]
    marks = (f'Mark{place}of{len(roles)} "<&\'>" {{x}}\n\n[é]' + "." * 7 * place for place in range(len(roles)))
    return tuple(zip(roles, (f"{mark} end" for mark in marks), strict=True))


def _spelt(name: str) -> str:
    return ", ".join(ROLES[letter] for letter in name.rstrip("|"))


def units(text: str, control: Mapping[str, int]) -> Iterator[Unit]:
    """The text as control tokens, the longest first, and characters."""
    if not control:
        yield from (Unit(c, False) for c in text)
        return
    pattern = "|".join(re.escape(token) for token in sorted(control, key=len, reverse=True))
    for place, part in enumerate(re.split(f"({pattern})", text)):
        if place % 2:
            yield Unit(part, True)
        else:
            yield from (Unit(c, False) for c in part)


# Turns from the gaps


def _free(chats: _Chats) -> Turns[Unit]:
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
    except _Inseparable:
        return turns
    return with_later


def _alternating(chats: _Chats, system: str) -> Turns[Unit]:
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
    _try(chats, turns, [name if system else name.removeprefix("s") for name in ALTERNATING])
    return turns


def _answered(turns: Turns[Unit]) -> Turns[Unit]:
    """An answer is opened as an earlier one was where the template does not do it; a blank is left to the model."""
    if turns.answer or all(unit.text.isspace() for unit in turns.assistant.open):
        return turns
    return replace(turns, answer=turns.assistant.open)


def _try(chats: _Chats, turns: Turns[Unit], names: Sequence[str]) -> None:
    """Raises _Inseparable where the template does not write a chat as the turns do."""
    for name in names:
        gaps = chats.gaps(name)
        marks = [(role, tuple(Unit(c, False) for c in mark)) for role, mark in _messages(name)]
        written = list(gaps[0])
        for (_, mark), gap in zip(marks, gaps[1:], strict=True):
            written += [*mark, *gap]
        if turns.conversation(marks, ()) != written:
            raise _Inseparable(f"in a chat of {_spelt(name)} a turn reads otherwise than in a shorter one")


def _without_start(gap: Gap, start: Gap) -> Gap:
    if gap[: len(start)] != start:
        raise _Inseparable("a user's turn closes in different ways")
    return gap[len(start) :]


def _common_end(gap: Gap, other: Gap) -> Gap:
    """The longest end of both."""
    size = 0
    while size < min(len(gap), len(other)) and gap[-size - 1] == other[-size - 1]:
        size += 1
    return gap[len(gap) - size :]


def _without_end(gap: Gap, end: Gap) -> Gap:
    if gap[len(gap) - len(end) :] != end:
        raise _Inseparable("a user's turn opens in different ways")
    return gap[: len(gap) - len(end)]


def _end(close: Gap) -> Unit:
    """The control token that ends an answer: the first thing behind its text, blanks aside."""
    for unit in close:
        if unit.control:
            return unit
        if not unit.text.isspace():
            break
    raise _Inseparable("no control token ends an answer")


# From units to token ids


def _as_tokens(turns: Turns[Unit], template: ChatTemplate, tokens: Tokens) -> TurnTokens:
    joins = _adds_space(tokens)

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
            yield from tokens.tokenize(unicodedata.normalize("NFC", run))


def _adds_space(tokens: Tokens) -> bool:
    """Whether the tokenizer puts a space in front of every text: then two texts are read as parted by one."""
    return any(tokens.tokenize(f"{a} {b}") == [*tokens.tokenize(a), *tokens.tokenize(b)] for a, b in ("ab", "ov", "13"))
