"""X (Twitter): the scripts of an archive, each an array that a variable is set to."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from copersona.runtime.common.errors import HistoryError
from copersona.runtime.history.markup import plain
from copersona.runtime.importing.json_files import first_text, script_values, text_at, time_of, value_at
from copersona.runtime.importing.records import (
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

TWEETS = re.compile(r"(?:^|/)tweets?(?:-part\d+)?\.js$")
NOTES = re.compile(r"(?:^|/)note-tweet(?:-part\d+)?\.js$")
ADDRESSED = re.compile(r"^(?:@\w{1,30}\s+)+")
START = 80  # characters that a long post and its short copy begin with
SHORTENED = "a shortened copy of a long post"


def files(source: Source) -> list[str]:
    """Long posts first, then posts."""
    tweets = [name for name in source.names if TWEETS.search(name) and re.search(rb"=\s*\[", source.head(name))]
    return [*(name for name in source.names if NOTES.search(name)), *tweets] if tweets else []


def who(source: Source, files: Sequence[str], given: Given) -> Who:
    """The account's name, from account.js."""
    name = None
    for place in source.names:
        if re.search(r"(?:^|/)account\.js$", place):
            try:
                name = next((text_at(one, "account", "username") for one in script_values(source, place)), None)
            except HistoryError:  # it names the person and nothing else
                continue
    return Who(Counter(), frozenset({"account"}), name)


def read(source: Source, files: Sequence[str], given: Given) -> Iterator[Record]:
    """Each post is a record."""
    long: set[str] = set()
    for name in files:
        for one in script_values(source, name):
            record = _note(one) if NOTES.search(name) else _tweet(one)
            if isinstance(record, Own):
                start = record.text[:START]
                if NOTES.search(name):
                    long.add(start)
                elif start in long:
                    record = Left(SHORTENED, record.text)
            yield record


def _note(one: Any) -> Record:
    text = (first_text(value_at(one, "noteTweet", "core"), ("text",)) or "").strip()
    time = _time(value_at(one, "noteTweet", "createdAt"))
    return Own(_plain(text), "Write a post for a social network.", time) if text else Left(EMPTY)


def _tweet(one: Any) -> Record:
    tweet = value_at(one, "tweet") or one
    text = first_text(tweet, ("full_text", "text"))
    if text is None:
        return Left(EMPTY if isinstance(tweet, dict) else UNREADABLE)
    if text.startswith("RT @") or value_at(tweet, "retweeted_status") is not None:
        return Left(FORWARD, text)
    reply = any(value_at(tweet, name) for name in ("in_reply_to_status_id", "in_reply_to_status_id_str"))
    kind = "reply" if reply else "post"
    return Own(_plain(text), f"Write a {kind} for a social network.", _time(value_at(tweet, "created_at")))


def _plain(text: str) -> str:
    """Without entities, and the names that a reply begins with."""
    return ADDRESSED.sub("", plain(text)).strip()


def _time(value: Any) -> float | None:
    if isinstance(value, str):
        try:
            return datetime.strptime(value, "%a %b %d %H:%M:%S %z %Y").timestamp()
        except (ValueError, OverflowError):
            return time_of(value)
    return None


X = Format(
    name="x",
    title="X (Twitter)",
    get="the zip of Your account, Download an archive of your data",
    own="your posts, long ones and replies; what they answer is not in the export",
    left="reposts, links, short copies of long posts, what you deleted",
    files=files,
    read=read,
    who=who,
)
