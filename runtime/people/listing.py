"""Who is in the people store: how many, and a list that may be long, by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from copersona.runtime.people.store_file import StoreFile
from copersona.runtime.people.tables import LISTED, PEOPLE

PAGE = 1000  # people that are read at once


@dataclass(frozen=True, slots=True)
class PersonRow:
    """A person in the list of people; times are None where no interaction has one."""

    name: str
    interactions: int
    first: float | None
    last: float | None


@dataclass(frozen=True, slots=True)
class Listed:
    """A person as `people list` has them: how many interactions, and their pseudonym where they are enrolled."""

    name: str
    interactions: int
    peer: str | None


class PeopleList(StoreFile):
    """The part of the people store that says who is there."""

    def people(self, *, after: str = "", limit: int | None = None) -> list[PersonRow]:
        """Everyone in this store, by name; or of those behind a name, so many at most."""
        with self._reading():
            rows = self._db.execute(PEOPLE, (after, -1 if limit is None else limit))
            return [PersonRow(*found) for found in rows]

    def listed(self, *, after: str = "", population: str = "") -> Iterator[Listed]:
        """The same as a stream, with pseudonyms in a population (its id) instead of times: no text is read for it, and
        no more than a page of people is held."""
        while True:
            with self._reading():
                rows = self._db.execute(LISTED, (population, after, PAGE)).fetchall()
            yield from (Listed(*found) for found in rows)
            if len(rows) < PAGE:
                return
            after = rows[-1][0]

    def count(self) -> int:
        """How many people are in this store."""
        with self._reading():
            return int(self._db.execute("SELECT count(*) FROM people").fetchone()[0])
