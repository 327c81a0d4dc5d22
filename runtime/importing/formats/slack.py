"""Slack: users.json, and a folder a channel with a file a day."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from copersona.runtime.history.markup import plain
from copersona.runtime.importing.json_files import text_at, time_of, values
from copersona.runtime.importing.records import (
    ATTACHMENT,
    BOTS,
    DELETED,
    EMPTY,
    OTHERS,
    UNREADABLE,
    Format,
    Given,
    Left,
    Own,
    Record,
    Who,
)
from copersona.runtime.importing.source import Source
from copersona.runtime.importing.talk import Talk

DAY = re.compile(r"(?:^|/)[^/]+/\d{4}-\d\d-\d\d\.json$")
USERS = re.compile(r"(?:^|/)(?:org_)?users\.json$")
WRITTEN = frozenset((None, "", "thread_broadcast", "me_message", "file_share", "reply_broadcast"))
PERSON = re.compile(r"<@(\w{1,40})(?:\|([^>]{0,200}))?>")
CHANNEL = re.compile(r"<#\w{1,40}\|([^>]{0,200})>|<!(\w{1,40})[^>]{0,200}>")
NAMED_LINK = re.compile(r"<(?:https?|ftp|mailto|tel):[^|>]{0,2000}\|([^>]{0,2000})>")
BARE_LINK = re.compile(r"<(?:https?|ftp|mailto|tel):[^|>]{0,2000}>")

Names = Mapping[str, tuple[str, ...]]
"""Of each user's id: the name that is shown, and others."""


def files(source: Source) -> list[str]:
    """The days of all channels, a channel after the other."""
    days = [name for name in source.names if DAY.search(name)]
    return days if days and any(USERS.search(name) for name in source.names) else []


def who(source: Source, files: Sequence[str], given: Given) -> Who:
    """Names by their messages; an export does not say whose it is."""
    names = _names(source)
    texts: Counter[str] = Counter()
    known: set[str] = set()
    for name in files:
        for path, value in values(source, name):
            user = text_at(value, "user")
            if path and user and text_at(value, "subtype") in WRITTEN and "bot_id" not in value:
                texts[_shown(user, names)] += 1
                if given.is_me(user, *names.get(user, ())):
                    known |= given.me
    return Who(texts, frozenset(known))


def read(source: Source, files: Sequence[str], given: Given) -> Iterator[Record]:
    """The messages of every channel in the order of its days."""
    names, channel, talk = _names(source), "", Talk("")
    for name in files:
        if name.rpartition("/")[0] != channel:
            channel = name.rpartition("/")[0]
            talk = Talk("Write a chat message.")
        for path, value in values(source, name):
            if path:
                yield (
                    _record(value, given, names, talk)
                    if isinstance(value, dict)
                    else Left(UNREADABLE, str(value)[:200])
                )


def _record(message: Mapping[str, Any], given: Given, names: Names, talk: Talk) -> Record:
    user, kind = text_at(message, "user"), message.get("subtype")
    text, time = _plain(text_at(message, "text") or "", names), time_of(message.get("ts"))
    if kind is not None and not isinstance(kind, str):
        return Left(UNREADABLE, text)
    if kind == "tombstone":
        return Left(DELETED, text)
    if user is None or user == "USLACKBOT" or message.get("bot_id") is not None or kind not in WRITTEN:
        return Left(BOTS, text)
    thread = message.get("thread_ts")
    thread = thread if isinstance(thread, str) else None
    if isinstance(message.get("ts"), str):
        talk.remember(message["ts"], text)
    if not given.is_me(user, *names.get(user, ())):
        talk.heard(text, time)
        return Left(OTHERS, text)
    if not text:
        return Left(ATTACHMENT if message.get("files") else EMPTY)
    return Own(text, talk.answered(time, thread if thread != message.get("ts") else None), time)


def _names(source: Source) -> Names:
    found: dict[str, tuple[str, ...]] = {}
    for name in source.names:
        if USERS.search(name):
            for path, value in values(source, name):
                ident = text_at(value, "id")
                if path and ident:
                    ways = (("profile", "display_name"), ("real_name",), ("profile", "real_name"), ("name",),
                            ("profile", "email"))  # fmt: skip
                    found[ident] = tuple(said for way in ways if (said := text_at(value, *way)))
    return found


def _shown(user: str, names: Names) -> str:
    return next(iter(names.get(user, ())), user)


def _plain(text: str, names: Names) -> str:
    """What the marks stand for: people by name, links by their words."""
    text = PERSON.sub(lambda found: f"@{found[2] or _shown(found[1], names)}", text)
    text = CHANNEL.sub(lambda found: f"#{found[1]}" if found[1] else f"@{found[2]}", text)
    return plain(BARE_LINK.sub("", NAMED_LINK.sub(r"\1", text))).strip()


SLACK = Format(
    name="slack",
    title="Slack",
    get="the zip of a workspace's export",
    own="your messages; the thread's first, or what others wrote before, is what they answer",
    left="others' messages, bots, lines of the program, files, code, links, quoted lines",
    files=files,
    read=read,
    who=who,
)
