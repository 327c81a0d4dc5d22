"""The people on this device and what they wrote, in one SQLite file that only this user can read.

* Forgotten means gone: deleted bytes are overwritten and the file is rewritten.
* An import is idempotent: an interaction is known by its digest.

`store_file.py` keeps the file through kills and damage. Knows nothing of bundles but their ids.
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
    GIVE_WORDS,
    HISTORY,
    INSERT,
    KEEP_PERSONA,
    KEEP_VECTOR,
    PEOPLE,
    KeptPersona,
    from_row,
    row,
    words_row,
)

CLOSE_AMONG = 20_000  # names looked through for close ones


@dataclass(frozen=True, slots=True)
class Added:
    """What one `add` did: people in it, interactions that were new, interactions that were there already, and how many
    of these now have item words or a title that they had not."""

    people: int
    new: int
    known: int
    named: int = 0


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
        """Keep these interactions, all or none; those that are known already are counted and left as they are, but for
        their item's title or words where they had none, or words of other people only.

        Raises:
            PersonError: an interaction that cannot be kept (blank output, bad name, number that is not finite).
        """
        people: set[str] = set()
        changed: set[str] = set()
        new = total = named = 0
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
                elif kept.words and self._db.execute(GIVE_WORDS, words_row(kept)).rowcount:
                    changed.add(kept.person)
                    named += 1
                total += 1
        with self._files():
            for person in changed:  # what their prompts began with until now
                self.prefixes.forget(person)
        return Added(len(people), new, total - new, named)

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
            gone += self._db.execute("DELETE FROM enrolments WHERE person = ?", (name,)).rowcount
            if not gone:
                raise self._unknown(name)
            with self._files():  # before the commit, so that a kill leaves a person without states, not the reverse
                self.prefixes.forget(name)
        with self._files():  # what another process wrote meanwhile
            self.prefixes.sweep([found.name for found in self.people()])
        return Forgotten(int(count), self.compact())

    def enrol(self, bundle_id: str, peers: Mapping[str, str]) -> None:
        """Remember the pseudonyms of people who took part in a bundle's training: nobody is their own neighbour."""
        rows = [(bundle_id, self._name(person), peer) for person, peer in peers.items()]
        with self._transaction():
            self._db.executemany("INSERT OR REPLACE INTO enrolments (bundle, person, peer) VALUES (?, ?, ?)", rows)

    def peer_of(self, bundle_id: str, person: str) -> str | None:
        """The person's pseudonym in that bundle, or None for someone who took no part in it."""
        query = "SELECT peer FROM enrolments WHERE bundle = ? AND person = ?"
        with self._reading():
            found = self._db.execute(query, (bundle_id, self._name(person))).fetchone()
        return None if found is None else str(found[0])

    def enrolled(self, bundle_id: str) -> dict[str, str]:
        """The pseudonyms in that bundle of everyone who took part in it."""
        with self._reading():
            return dict(self._db.execute("SELECT person, peer FROM enrolments WHERE bundle = ?", (bundle_id,)))

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

    def persona(self, person: str, bundle_id: str) -> KeptPersona | None:
        """What `keep_persona` kept of the person for this bundle."""
        query = "SELECT key, sha256, texts, arrays FROM personas WHERE person = ? AND bundle = ?"
        with self._reading():
            found = self._db.execute(query, (self._name(person), bundle_id)).fetchone()
        return None if found is None else KeptPersona(*found)

    def keep_persona(self, person: str, bundle_id: str, kept: KeptPersona) -> None:
        """Keep what was computed of the person for a bundle, in the place of what there was; of someone unknown,
        nothing."""
        with self._transaction():
            self._db.execute(KEEP_PERSONA, (bundle_id, *kept, self._name(person)))

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
