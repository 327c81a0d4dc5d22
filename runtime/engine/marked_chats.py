"""Chats of marked texts, rendered by a chat template, and what stands between the marks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from copersona.runtime.engine.template_render import Chat, Rendered, render

ROLES = {"s": "system", "u": "user", "a": "assistant"}


class Unit(NamedTuple):
    """A control token, or one character of text."""

    text: str
    control: bool


Gap = tuple[Unit, ...]


class Inseparable(Exception):
    """Why a template's turns cannot be told apart."""


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """A chat template with what it prints and is read by: `special` are texts by name, such as `bos_token`, `control`
    the ids of control tokens by text."""

    text: str
    special: Mapping[str, str]
    control: Mapping[str, int]


class MarkedChats:
    """All chats that are looked at, rendered at once; `gaps` are the pieces before, between and behind the marks."""

    def __init__(self, template: ChatTemplate, names: Sequence[str]) -> None:
        names = list(dict.fromkeys(names))
        asked = [Chat(messages_of(name), not name.endswith("|")) for name in names]
        self.rendered = dict(zip(names, render(template.text, template.special, asked), strict=True))
        self._template = template

    def gaps(self, name: str) -> list[Gap]:
        """One more than turns. Raises Inseparable where a text is not there exactly once, whole and in its place."""
        found: Rendered = self.rendered[name]
        said = f"a chat of {spelt(name)}"
        if found.error is not None:
            raise Inseparable(f"it refuses {said} ({found.error})")
        rest, gaps = found.text, []
        for _, mark in messages_of(name):
            if found.text.count(mark) != 1:
                raise Inseparable(f"in {said} a text is left out, changed or there twice")
            before, seen, rest = rest.partition(mark)
            if not seen:
                raise Inseparable(f"in {said} texts are not in their order")
            gaps.append(before)
        return [self._units(gap) for gap in (*gaps, rest)]

    def _units(self, text: str) -> Gap:
        return tuple(units(text, self._template.control))


def messages_of(name: str) -> tuple[tuple[str, str], ...]:
    """(role, marked text) of a chat named by the first letters of its roles, "|" aside; each of another length, with
    signs that a template might escape and a line end that it might take out."""
    roles = [ROLES[letter] for letter in name.rstrip("|")]
    marks = (f'Mark{place}of{len(roles)} "<&\'>" {{x}}\n\n[é]' + "." * 7 * place for place in range(len(roles)))
    return tuple(zip(roles, (f"{mark} end" for mark in marks), strict=True))


def spelt(name: str) -> str:
    """The roles of such a chat, for people."""
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
