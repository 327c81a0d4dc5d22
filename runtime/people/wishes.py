"""What a person said about what is known of them, and what of it holds now.

Their words are kept as revisions, which are only ever added. An undo takes back the one that it names, another undo
too. Of each facet, text and quote the last revision that is not undone holds.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from copersona.runtime.history.interactions import clean_text

Kind: TypeAlias = Literal["correct", "pin", "leave_out", "undo"]
About: TypeAlias = Literal["facet", "digest", "quote"]
LONGEST_WORDS = 300  # characters of a correction: it stands in the prompt beside other facets
LONGEST_QUOTE = 400  # characters


class Target(NamedTuple):
    """What a revision is about: a facet by its name, a text by its digest, or a quote as it is shown."""

    about: About
    name: str


@dataclass(frozen=True, slots=True)
class Revision:
    """One revision: its number, which no other of the person ever has, and its time in seconds since 1970. `words` are
    those of a correction; `undoes` is the number that an undo takes back, whose target it has."""

    number: int
    time: float
    kind: Kind
    target: Target
    words: str = ""
    undoes: int | None = None


@dataclass(frozen=True, slots=True)
class Wishes:
    """What holds now: facets in the person's own words, texts that come first (the last pinned first of all), and what
    is left out."""

    corrected: tuple[tuple[str, str], ...] = ()
    pinned: tuple[str, ...] = ()
    left_facets: tuple[str, ...] = ()
    left_texts: tuple[str, ...] = ()
    left_quotes: tuple[str, ...] = ()


NO_WISHES = Wishes()


def undone(revisions: Iterable[Revision]) -> frozenset[int]:
    """The numbers of those that are taken back. Revisions by rising number."""
    found = set[int]()
    for one in reversed(tuple(revisions)):
        if one.undoes is not None and one.number not in found:
            found.add(one.undoes)
    return frozenset(found)


def holding(revisions: Iterable[Revision]) -> dict[Target, Revision]:
    """What holds of each target, by rising number."""
    rows = tuple(revisions)
    back, found = undone(rows), dict[Target, Revision]()
    for one in rows:
        if one.kind != "undo" and one.number not in back:
            found.pop(one.target, None)
            found[one.target] = one
    return found


def wishes_of(revisions: Iterable[Revision]) -> Wishes:
    """What holds after these revisions, which come by rising number."""
    rows = tuple(holding(revisions).values())
    left = {
        about: tuple(one.target.name for one in rows if one.kind == "leave_out" and one.target.about == about)
        for about in ("facet", "digest", "quote")
    }
    return Wishes(
        corrected=tuple((one.target.name, one.words) for one in rows if one.kind == "correct"),
        pinned=tuple(one.target.name for one in reversed(rows) if one.kind == "pin"),
        left_facets=left["facet"],
        left_texts=left["digest"],
        left_quotes=left["quote"],
    )


def check_words(words: str) -> str:
    """The words of a correction as they are kept: cleaned, on one line. Raises ValueError."""
    if len(words) > 4 * LONGEST_WORDS:  # before anything that takes longer
        raise ValueError(f"the words have {len(words):,} characters, expected 1 to {LONGEST_WORDS}")
    kept = clean_text(words)
    if "\n" in kept:
        raise ValueError(f"the words have {kept.count(chr(10)) + 1} lines, expected one")
    kept = " ".join(kept.split())
    if not 1 <= len(kept) <= LONGEST_WORDS:
        raise ValueError(f"the words have {len(kept):,} characters, expected 1 to {LONGEST_WORDS}")
    if not any(unicodedata.category(c)[0] in "LNPS" for c in kept):
        raise ValueError("the words show nothing")
    return kept
