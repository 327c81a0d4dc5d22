"""Which names are close to one that nobody has, in bounded time."""

from __future__ import annotations

import difflib
import heapq
import sqlite3
from collections.abc import Iterable, Iterator

AMONG = 20_000  # people of whom all names are looked at; of more, those near it in the alphabet
LOOKED_AT = 64  # characters of a name
LIKELIEST = 50  # names that are compared letter by letter
MOST, CUTOFF = 5, 0.6  # as difflib has them

BEHIND = "SELECT name FROM people WHERE name >= ? ORDER BY name LIMIT ?"
BEFORE = "SELECT name FROM people WHERE name < ? ORDER BY name DESC LIMIT ?"


def nearby_names(db: sqlite3.Connection, name: str, people: int) -> Iterator[str]:
    """All names of a store of so many people, or those that stand around the name, written in several ways."""
    if people <= AMONG:
        yield from (found for (found,) in db.execute("SELECT name FROM people ORDER BY name"))
        return
    spelt = list(dict.fromkeys((name, name.lower(), name.title(), name.upper())))
    for one in spelt:
        for query in (BEHIND, BEFORE):
            yield from (found for (found,) in db.execute(query, (one, AMONG // (2 * len(spelt)))))


def close_names(name: str, among: Iterable[str]) -> list[str]:
    """Up to five of the names that are most like this one, the closest first."""
    matcher: difflib.SequenceMatcher[str] = difflib.SequenceMatcher(b=name[:LOOKED_AT])

    def likely() -> Iterator[tuple[float, str]]:
        for other in dict.fromkeys(among):
            matcher.set_seq1(other[:LOOKED_AT])
            if matcher.real_quick_ratio() >= CUTOFF and (ratio := matcher.quick_ratio()) >= CUTOFF:
                yield ratio, other

    def exact() -> Iterator[tuple[float, str]]:
        for _, other in heapq.nlargest(LIKELIEST, likely()):
            matcher.set_seq1(other[:LOOKED_AT])
            if (ratio := matcher.ratio()) >= CUTOFF:
                yield ratio, other

    return [other for _, other in heapq.nlargest(MOST, exact())]
