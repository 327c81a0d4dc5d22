"""Mastodon: outbox.json of an archive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from copersona.runtime.importing.json_files import name_in, text_at, time_of, value_at, values
from copersona.runtime.importing.prose import shown
from copersona.runtime.importing.records import (
    ATTACHMENT,
    EMPTY,
    FORWARD,
    UNREADABLE,
    Format,
    Given,
    Left,
    Own,
    Record,
    Who,
)
from copersona.runtime.importing.source import Source

ITEMS = "orderedItems"
KINDS = {"Note": "post", "Question": "poll", "Article": "post"}


def files(source: Source) -> list[str]:
    """The outbox."""
    named = [name for name in source.names if name.rsplit("/", 1)[-1] == "outbox.json"]
    return [name for name in named if b'"orderedItems"' in source.head(name)]


def who(source: Source, files: Sequence[str], given: Given) -> Who:
    """The account's name, from the archive's actor.json."""
    place = files[0].rpartition("/")[0]
    actor = f"{place}/actor.json" if place else "actor.json"
    name = name_in(source, actor, "preferredUsername") if actor in source.names else None
    return Who(Counter(), frozenset({"actor"}), name)


def read(source: Source, files: Sequence[str], given: Given) -> Iterator[Record]:
    """What the account did, each a record."""
    for name in files:
        for path, value in values(source, name, frozenset(("", ITEMS))):
            if path == f"{ITEMS}[]":
                yield _record(value)


def _record(did: Any) -> Record:
    kind, said = text_at(did, "type"), value_at(did, "object")
    if kind == "Announce":
        return Left(FORWARD, said if isinstance(said, str) else "")
    if kind != "Create" or not isinstance(said, dict):
        return Left(UNREADABLE if kind is None else f"of the kind {kind[:40]}")
    text = shown(text_at(said, "content") or "")
    if not text:
        return Left(ATTACHMENT if said.get("attachment") else EMPTY)
    time = time_of(said.get("published")) or time_of(value_at(did, "published"))
    what = "reply" if said.get("inReplyTo") else KINDS.get(text_at(said, "type") or "", "post")
    return Own(text, f"Write a {what} for a social network.", time)


MASTODON = Format(
    name="mastodon",
    title="Mastodon",
    get="the zip of Preferences, Import and export, Data export",
    own="your posts and replies; what they answer is not in the export",
    left="boosts, links, pictures without text",
    files=files,
    read=read,
    who=who,
)
