"""The people on this device and what they wrote, in one SQLite file that only this user can read.

* Forgotten means gone: deleted bytes are overwritten and the file is rewritten.
* An import is idempotent: an interaction is known by its digest.

`store_file.py` keeps the file through kills and damage. Knows nothing of bundles but ids: of their populations, which
say who a person's peer is, and those of bundles that people were enrolled under before populations had ids.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from copersona.runtime.common.errors import PersonError
from copersona.runtime.common.places import data_home
from copersona.runtime.history.checks import check_interaction, check_person
from copersona.runtime.history.interactions import History, Interaction
from copersona.runtime.people.prefix_files import PrefixFiles
from copersona.runtime.people.replies import PersonReplies
from copersona.runtime.people.store_file import StoreFile
from copersona.runtime.people.tables import (
    CARRY_OVER,
    HISTORY,
    INSERT,
    KEEP_PERSONA,
    KEEP_SOFT,
    KEEP_VECTOR,
    PEOPLE,
    KeptPersona,
    KeptSoft,
    from_row,
    row,
)

CLOSE_AMONG = 20_000  # names looked through for close ones


@dataclass(frozen=True, slots=True)
class Added:
    """What one `add` did: people in it, interactions that were new, interactions that were there already."""

    people: int
    new: int
    known: int


@dataclass(frozen=True, slots=True)
class PersonRow:
    """A person in the list of people; times are None where no interaction has one."""

    name: str
    interactions: int
    first: float | None
    last: float | None


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What a `forget` removed; not `compacted` where another process kept the file from being rewritten.

    The person's rows are gone and overwritten in both cases; rewriting also drops what SQLite moved inside the file.
    """

    interactions: int
    compacted: bool


def store_path() -> Path:
    """Where the people of this device are kept by default."""
    return data_home() / "people.sqlite"


class PeopleStore(StoreFile):
    """The people of one store file. Safe to share between threads; close it, or use it in a `with`.

    Every method raises PersonError where the file cannot be read or written; the message names the file.
    """

    def __init__(self, path: Path | str | None = None, *, busy_seconds: float = 10.0) -> None:
        """Open the store, creating it (folder 0700, file 0600) where there is none.

        Raises:
            PersonError: the file is no store, damaged, of a newer version, or in a folder that cannot be written.
        """
        super().__init__(store_path() if path is None else Path(path), busy_seconds=busy_seconds)
        self.prefixes = PrefixFiles(self.path)

    def add(self, interactions: Iterable[Interaction]) -> Added:
        """Keep these interactions, all or none; those that are known already are counted and left as they are.

        Raises:
            PersonError: an interaction that cannot be kept (blank output, bad name, number that is not finite).
        """
        people: set[str] = set()
        changed: set[str] = set()
        new = total = 0
        with self._transaction():
            for interaction in interactions:
                kept = self._checked(interaction)
                if kept.person not in people:
                    people.add(kept.person)
                    self._db.execute(
                        "INSERT INTO people (name) VALUES (?) ON CONFLICT (name) DO NOTHING", (kept.person,)
                    )
                if self._db.execute(INSERT, row(kept)).rowcount:
                    changed.add(kept.person)
                    new += 1
                total += 1
        with self._files():
            for person in changed:  # what their prompts began with until now
                self.prefixes.forget(person)
        return Added(len(people), new, total - new)

    def history(self, person: str) -> History:
        """What the person wrote, oldest first; without a time first; of one time, in the order they were added.

        Raises:
            PersonError: nobody of that name is here; the message lists close names.
        """
        name = self._name(person)
        with self._reading():
            rows = self._db.execute(HISTORY, (name,)).fetchall()
            if not rows and not self._knows(name):
                raise self._unknown(name)
        return tuple(from_row(name, found) for found in rows)

    def people(self) -> list[PersonRow]:
        """Everyone in this store, by name."""
        with self._reading():
            return [PersonRow(*found) for found in self._db.execute(PEOPLE)]

    def forget(self, person: str) -> Forgotten:
        """Delete everything about the person, so that no byte of it stays in the file or beside it.

        Raises:
            PersonError: nobody of that name is here, neither with a history nor enrolled.
        """
        name = self._name(person)
        with self._transaction():
            count = self._db.execute("SELECT count(*) FROM interactions WHERE person = ?", (name,)).fetchone()[0]
            gone = self._db.execute("DELETE FROM people WHERE name = ?", (name,)).rowcount
            for table in ("enrolments", "bundle_enrolments"):
                gone += self._db.execute(f"DELETE FROM {table} WHERE person = ?", (name,)).rowcount
            if not gone:
                raise self._unknown(name)
            with self._files():  # before the commit, so that a kill leaves a person without states, not the reverse
                self.prefixes.forget(name)
        with self._files():  # what another process wrote meanwhile
            self.prefixes.sweep([found.name for found in self.people()])
        return Forgotten(int(count), self.compact())

    def enrol(self, population: str, peers: Mapping[str, str]) -> None:
        """Remember the pseudonyms of people who are part of a population (its id): nobody is their own neighbour."""
        rows = [(population, self._name(person), peer) for person, peer in peers.items()]
        with self._transaction():
            self._db.executemany("INSERT OR REPLACE INTO enrolments (population, person, peer) VALUES (?, ?, ?)", rows)

    def carry_over(self, bundle_id: str, population: str) -> None:
        """Have those who were enrolled under a bundle's id, before populations had ids, enrolled under its population.

        To be called whenever a bundle meets a store, before it is asked who is enrolled; all or nothing, and nothing
        where nobody was. Who is enrolled under the population already keeps that pseudonym, which is the later one.
        """
        with self._reading():
            query = "SELECT 1 FROM bundle_enrolments WHERE bundle = ? LIMIT 1"
            if self._db.execute(query, (bundle_id,)).fetchone() is None:
                return
        with self._transaction():
            self._db.execute(CARRY_OVER, (population, bundle_id))
            self._db.execute("DELETE FROM bundle_enrolments WHERE bundle = ?", (bundle_id,))

    def peer_of(self, population: str, person: str) -> str | None:
        """The person's pseudonym in that population, or None for someone who is no part of it."""
        query = "SELECT peer FROM enrolments WHERE population = ? AND person = ?"
        with self._reading():
            found = self._db.execute(query, (population, self._name(person))).fetchone()
        return None if found is None else str(found[0])

    def enrolled(self, population: str) -> dict[str, str]:
        """The pseudonyms in that population of everyone who is part of it."""
        with self._reading():
            return dict(self._db.execute("SELECT person, peer FROM enrolments WHERE population = ?", (population,)))

    def replies(self, person: str) -> PersonReplies:
        """The memory of what a language model answered about this person."""
        return PersonReplies(self, self._name(person))

    def reply(self, person: str, key: str) -> str | None:
        """What `keep_reply` kept under this key."""
        with self._reading():
            query = "SELECT reply FROM replies WHERE person = ? AND key = ?"
            found = self._db.execute(query, (person, key)).fetchone()
        return None if found is None else str(found[0])

    def keep_reply(self, person: str, key: str, reply: str) -> None:
        """Keep a reply with the person. Raises PersonError where they are not in the store."""
        with self._transaction():
            if not self._knows(person):
                raise self._unknown(person)
            self._db.execute(
                "INSERT OR REPLACE INTO replies (person, key, reply) VALUES (?, ?, ?)", (person, key, reply)
            )

    def vectors(self, person: str, encoder: str) -> dict[str, bytes]:
        """What `keep_vectors` kept of the person's texts for this encoder, by the hash of the text."""
        query = "SELECT text, vector FROM vectors WHERE person = ? AND encoder = ?"
        with self._reading():
            return dict(self._db.execute(query, (self._name(person), encoder)).fetchall())

    def keep_vectors(self, person: str, encoder: str, vectors: Mapping[str, bytes]) -> None:
        """Keep vectors by the hash of their text, until the person is forgotten; of someone unknown, keep nothing."""
        name = self._name(person)
        with self._transaction():
            self._db.executemany(KEEP_VECTOR, [(encoder, text, vector, name) for text, vector in vectors.items()])

    def persona(self, person: str, population: str) -> KeptPersona | None:
        """What `keep_persona` kept of the person for this population."""
        query = "SELECT key, sha256, texts, arrays FROM personas WHERE person = ? AND population = ?"
        with self._reading():
            found = self._db.execute(query, (self._name(person), population)).fetchone()
        return None if found is None else KeptPersona(*found)

    def keep_persona(self, person: str, population: str, kept: KeptPersona) -> None:
        """Keep what was computed of the person for a population, in the place of what there was; of someone unknown,
        nothing."""
        with self._transaction():
            self._db.execute(KEEP_PERSONA, (population, *kept, self._name(person)))

    def soft_prompt(self, person: str, personalizer: str) -> KeptSoft | None:
        """What `keep_soft_prompt` kept of the person for the personalizer with this hash."""
        query = "SELECT key, sha256, soft FROM soft_prompts WHERE person = ? AND personalizer = ?"
        with self._reading():
            found = self._db.execute(query, (self._name(person), personalizer)).fetchone()
        return None if found is None else KeptSoft(*found)

    def keep_soft_prompt(self, person: str, personalizer: str, kept: KeptSoft) -> None:
        """Keep the person's soft prompt for a personalizer, in the place of what there was; of someone unknown,
        nothing."""
        with self._transaction():
            self._db.execute(KEEP_SOFT, (personalizer, *kept, self._name(person)))

    # -- inside -----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _files(self) -> Iterator[None]:
        """Errors of the files beside the store as PersonError."""
        try:
            yield
        except OSError as error:
            raise PersonError(f"{error.filename or self.prefixes.folder}: {error.strerror or error}") from None

    def _checked(self, interaction: Interaction) -> Interaction:
        try:
            return check_interaction(interaction)
        except ValueError as error:
            raise PersonError(f"an interaction of {interaction.person!r} cannot be kept: {error}") from None

    def _name(self, person: str) -> str:
        try:
            return check_person(person)
        except ValueError as error:
            raise PersonError(f"{person!r}: {error}") from None

    def _knows(self, name: str) -> bool:
        return self._db.execute("SELECT 1 FROM people WHERE name = ?", (name,)).fetchone() is not None

    def _unknown(self, name: str) -> PersonError:
        names = [
            found[0] for found in self._db.execute("SELECT name FROM people ORDER BY name LIMIT ?", (CLOSE_AMONG,))
        ]
        close = difflib.get_close_matches(name, names, n=5)
        hint = f"; did you mean {', '.join(close)}?" if close else f"; {self.path} holds {len(names):,} people"
        return PersonError(f"nobody here is called {name!r}{hint}")
