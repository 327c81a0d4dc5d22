"""The types that formats and the rest of the package share: a record, what the person says of themselves, a format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import NamedTuple

from copersona.runtime.importing.source import Source


class Own(NamedTuple):
    """A text that the person wrote, with what it answered or the kind of text that it is (`given`; empty for a review,
    whose request is made of item, title and rating). `product` is the item's name.

    `typed` to an assistant: it says what they asked, not how they write.
    """

    text: str
    given: str
    time: float | None = None
    item: str | None = None
    title: str | None = None
    rating: float | None = None
    product: str | None = None
    typed: bool = False


class Left(NamedTuple):
    """A record that gives no text, and why; `text` is what stands in it, for an example."""

    reason: str
    text: str = ""


Record = Own | Left

OTHERS = "written by others"
ASSISTANTS = "written by an assistant"
BOTS = "written by a bot or the program"
FORWARD = "forwarded or shared, not written"
ATTACHMENT = "an attachment without text"
EMPTY = "without text"
DELETED = "deleted"
UNREADABLE = "cannot be read"


@dataclass(frozen=True, slots=True)
class Given:
    """What the person said on the command line. `me` are their names and addresses, as `key` has them.

    `day_first` is the order of dates of figures alone, None to infer it; `zone` that of times that name none;
    `without` are folders that hold nothing of their own.
    """

    me: frozenset[str] = frozenset()
    day_first: bool | None = None
    zone: tzinfo = UTC
    without: tuple[str, ...] = ()

    def is_me(self, *names: str | None) -> bool:
        """Whether any of these is a name of the person."""
        return any(name is not None and key(name) in self.me for name in names)


def key(name: str) -> str:
    """A name or address as it is compared: no case, no blanks around it, no @ or + before it, one blank for many."""
    shown = "".join(c for c in name if c not in "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2068\u2069\ufeff")
    return " ".join(shown.split()).casefold().removeprefix("@").removeprefix("~").strip()


@dataclass(frozen=True, slots=True)
class Who:
    """Who wrote in an export: how many texts by name; `me` where the export itself says it, `name` a name for it."""

    texts: Counter[str]
    me: frozenset[str] = frozenset()
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Format:
    """One program's export. `title`, `get`, `own` and `left` are the sentences of docs/importers.md.

    `files` gives those files of a source that are this export's, none where it is none; `read` their records.
    `who` says who wrote; None where an export holds only its owner's texts, or says itself which those are.
    """

    name: str
    title: str
    get: str
    own: str
    left: str
    files: Callable[[Source], Sequence[str]]
    read: Callable[[Source, Sequence[str], Given], Iterator[Record]]
    who: Callable[[Source, Sequence[str], Given], Who] | None = None
