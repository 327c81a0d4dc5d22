"""Reddit: comments.csv and posts.csv of a data request. The column `ip` is never read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from copersona.runtime.importing.json_files import time_of
from copersona.runtime.importing.records import DELETED, EMPTY, UNREADABLE, Format, Given, Left, Own, Record
from copersona.runtime.importing.source import Source
from copersona.runtime.importing.tables import columns, rows

NAME = re.compile(r"(?:^|/)(comments|posts)\.csv$")
NEEDED = frozenset(("id", "date", "subreddit", "body"))  # YouTube's comments.csv has others
GONE = frozenset(("[deleted]", "[removed]"))


def files(source: Source) -> list[str]:
    """Comments and posts, told by their columns."""
    return [name for name in source.names if NAME.search(name) and columns(source, name) >= NEEDED]


def read(source: Source, files: Sequence[str], given: Given) -> Iterator[Record]:
    """Each row is a comment or a post."""
    for name in files:
        post = name.endswith("posts.csv")
        for row in rows(source, name):
            body, title = row.get("body", "").strip(), row.get("title", "").strip() if post else ""
            place, time = row.get("subreddit", "").strip(), time_of(row.get("date", ""))
            text = f"{title}\n\n{body}".strip()
            if body in GONE or (title in GONE and not body):
                yield Left(DELETED)
            elif not text:
                yield Left(EMPTY)
            elif time is None:
                yield Left(UNREADABLE, f"date {row.get('date', '')!r}")
            else:
                kind = "a post" if post else "a comment"
                yield Own(text, f"Write {kind} in r/{place.removeprefix('r/')}." if place else f"Write {kind}.", time)


REDDIT = Format(
    name="reddit",
    title="Reddit",
    get="the zip of a data request, or its comments.csv and posts.csv",
    own="your comments and posts; what they answer is not in the export",
    left="what was deleted, links, quotes",
    files=files,
    read=read,
)
