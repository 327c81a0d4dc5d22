"""Discord: the messages of a data package, which are the account's own, a folder a channel."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from copersona.runtime.importing.json_files import name_in, text_at, time_of, value_at, values
from copersona.runtime.importing.records import (
    ATTACHMENT,
    EMPTY,
    UNREADABLE,
    Format,
    Given,
    Left,
    Own,
    Record,
    Who,
)
from copersona.runtime.importing.source import Source
from copersona.runtime.importing.tables import columns, rows

NAME = re.compile(r"(?:^|/)c?\d{5,25}/messages\.(json|csv)$", re.IGNORECASE)
ACCOUNT = re.compile(r"(?:^|/)account/user\.json$", re.IGNORECASE)
KEYS = ("ID", "Timestamp", "Contents")
MARKUP = re.compile(r"<(?:@[!&]?|#)\d+>|<a?(:\w+:)\d+>|<t:\d+(?::\w)?>|</[\w -]+:\d+>")
KIND = "Write a chat message."


def files(source: Source) -> list[str]:
    """Each channel's messages."""
    return [name for name in source.names if NAME.search(name) and _fits(source, name)]


def _fits(source: Source, name: str) -> bool:
    if name.lower().endswith(".csv"):
        return columns(source, name) >= frozenset(KEYS)
    start = source.head(name)
    return start.strip() in (b"[]", b"\xef\xbb\xbf[]") or b'"Contents"' in start


def who(source: Source, files: Sequence[str], given: Given) -> Who:
    """The account's name, from account/user.json."""
    found = (name_in(source, place, "username") for place in source.names if ACCOUNT.search(place))
    name = next((one for one in found if one), None)
    return Who(Counter(), frozenset({"account"}), name)


def read(source: Source, files: Sequence[str], given: Given) -> Iterator[Record]:
    """Each message is a record."""
    for name in files:
        if name.lower().endswith(".csv"):
            yield from map(_record, rows(source, name))
        else:
            for path, value in values(source, name):
                if path:
                    yield _record(value)


def _record(message: Any) -> Record:
    text, time = text_at(message, "Contents"), time_of(value_at(message, "Timestamp"))
    if text is None or time is None:
        return Left(UNREADABLE, str(message)[:200])
    text = MARKUP.sub(lambda found: found[1] or "", text).strip()
    if not text:
        return Left(ATTACHMENT if value_at(message, "Attachments") else EMPTY)
    return Own(text, KIND, time)


DISCORD = Format(
    name="discord",
    title="Discord",
    get="the zip of Settings, Data & Privacy, Request all of my data",
    own="your messages; those of others are not in the export",
    left="attachments, code, links, quoted lines, marks for people and channels",
    files=files,
    read=read,
    who=who,
)
