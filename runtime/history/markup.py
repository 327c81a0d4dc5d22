"""HTML in texts that were taken from web pages, as the plain text that a reader of the page saw.

Only breaks and entities: whatever else looks like a tag may be what the person wrote.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from html import unescape
from html.entities import html5
from typing import Any

from copersona.runtime.history.interactions import Interaction

BREAK = re.compile(r"(?:(?<![ \t])[ \t]+)?<(?:br\s*/?|/?p)\s*>[ \t]*", re.IGNORECASE)
ENTITY = re.compile(r"&(?:#(?:\d{1,7}|[xX][0-9a-fA-F]{1,6})|[A-Za-z][A-Za-z0-9]{1,30});")
PASSES = 2  # some sources escape what was escaped: &amp;#34;


def plain(text: str) -> str:
    """The text with its breaks as line ends and its entities as what they stand for; `&B;` and the like stay."""
    if "<" in text:
        text = BREAK.sub("\n", text)
    for _ in range(PASSES):
        if "&" not in text:
            break
        text = ENTITY.sub(lambda found: _character(found[0]), text)
    return text


def _character(entity: str) -> str:
    if entity[1] != "#" and entity[1:] not in html5:
        return entity
    return unescape(entity).replace("\xa0", " ")


def without_markup(
    reader: Callable[[Mapping[str, Any]], Iterable[Interaction]],
) -> Callable[[Mapping[str, Any]], Iterator[Interaction]]:
    """The reader of a format whose texts and titles come from web pages, with those as plain text."""

    def read(fields: Mapping[str, Any]) -> Iterator[Interaction]:
        for one in reader(fields):
            given, title = (None if text is None else plain(text) for text in (one.input, one.title))
            yield replace(one, output=plain(one.output), input=given, title=title)

    return read
