"""What was made of people and is kept with them: replies of a language model, vectors, personas, soft prompts, and
states of prompts in files beside the store.

Everything here can be made again, belongs to one person, and goes with them. Whoever keeps something may say at which
`revision` of the person it was made; it is not kept where that is not their last any more.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from copersona.runtime.common.errors import PersonError, UnknownPerson
from copersona.runtime.history.checks import check_person
from copersona.runtime.people.close_names import close_names, nearby_names
from copersona.runtime.people.listing import PeopleList
from copersona.runtime.people.prefix_files import PrefixFiles
from copersona.runtime.people.replies import PersonReplies
from copersona.runtime.people.tables import KEEP_PERSONA, KEEP_REPLY, KEEP_SOFT, KEEP_VECTOR, KeptPersona, KeptSoft

SHOWN = 60  # characters of a name that cannot be one


class KeptWithPeople(PeopleList):
    """The part of the people store that holds what was made of them."""

    prefixes: PrefixFiles

    def knows(self, person: str) -> bool:
        """Whether someone of that name is in the store. Raises PersonError where it cannot be a name."""
        name = self._name(person)
        with self._reading():
            return self._knows(name)

    def find(self, person: str) -> str:
        """The name as it is kept here.

        Raises:
            PersonError: nobody of that name is here; the message lists close names.
        """
        name = self._name(person)
        with self._reading():
            if not self._knows(name):
                raise self._unknown(name)
        return name

    def replies(self, person: str, revision: int | None = None) -> PersonReplies:
        """The memory of what a language model answered about this person."""
        return PersonReplies(self, self._name(person), revision)

    def reply(self, person: str, key: str) -> str | None:
        """What `keep_reply` kept under this key."""
        with self._reading():
            query = "SELECT reply FROM replies WHERE person = ? AND key = ?"
            found = self._db.execute(query, (person, key)).fetchone()
        return None if found is None else str(found[0])

    def keep_reply(self, person: str, key: str, reply: str, revision: int | None = None) -> None:
        """Keep a reply with the person. Raises PersonError where they are not in the store."""
        with self._transaction():
            if not self._knows(person):
                raise self._unknown(person)
            self._db.execute(KEEP_REPLY, (key, reply, person, revision))

    def vectors(self, person: str, encoder: str) -> dict[str, bytes]:
        """What `keep_vectors` kept of the person's texts for this encoder, by the hash of the text."""
        query = "SELECT text, vector FROM vectors WHERE person = ? AND encoder = ?"
        with self._reading():
            return dict(self._db.execute(query, (self._name(person), encoder)).fetchall())

    def keep_vectors(
        self, person: str, encoder: str, vectors: Mapping[str, bytes], revision: int | None = None
    ) -> None:
        """Keep vectors by the hash of their text, until the person is forgotten; of someone unknown, keep nothing."""
        name = self._name(person)
        with self._transaction():
            self._db.executemany(KEEP_VECTOR, [(encoder, *row, name, revision) for row in vectors.items()])

    def persona(self, person: str, population: str) -> KeptPersona | None:
        """What `keep_persona` kept of the person for this population."""
        query = "SELECT key, sha256, texts, arrays FROM personas WHERE person = ? AND population = ?"
        with self._reading():
            found = self._db.execute(query, (self._name(person), population)).fetchone()
        return None if found is None else KeptPersona(*found)

    def keep_persona(self, person: str, population: str, kept: KeptPersona, revision: int | None = None) -> None:
        """Keep what was computed of the person for a population, in the place of what there was; of someone unknown,
        nothing."""
        with self._transaction():
            self._db.execute(KEEP_PERSONA, (population, *kept, self._name(person), revision))

    def soft_prompt(self, person: str, personalizer: str) -> KeptSoft | None:
        """What `keep_soft_prompt` kept of the person for the personalizer with this hash."""
        query = "SELECT key, sha256, soft FROM soft_prompts WHERE person = ? AND personalizer = ?"
        with self._reading():
            found = self._db.execute(query, (self._name(person), personalizer)).fetchone()
        return None if found is None else KeptSoft(*found)

    def keep_soft_prompt(self, person: str, personalizer: str, kept: KeptSoft, revision: int | None = None) -> None:
        """Keep the person's soft prompt for a personalizer, in the place of what there was; of someone unknown,
        nothing."""
        with self._transaction():
            self._db.execute(KEEP_SOFT, (personalizer, *kept, self._name(person), revision))

    # -- inside -----------------------------------------------------------------------------------------------------

    def _name(self, person: str) -> str:
        try:
            return check_person(person)
        except ValueError as error:
            raise PersonError(f"{person[:SHOWN]!r}: {error}") from None

    @contextlib.contextmanager
    def _files(self) -> Iterator[None]:
        """Errors of the files beside the store as PersonError."""
        try:
            yield
        except OSError as error:
            raise PersonError(f"{error.filename or self.prefixes.folder}: {error.strerror or error}") from None

    def _unmake(self, name: str, *, replies: bool = True) -> tuple[str, ...]:
        """Remove what was made of all that the person wrote; vectors are of single texts and stay. What was left beside
        the store, a line each. Within a transaction, so that a kill leaves a person without and not the reverse."""
        for table in ("personas", "soft_prompts", *(("replies",) if replies else ())):
            self._db.execute(f"DELETE FROM {table} WHERE person = ?", (name,))
        with self._files():
            return self.prefixes.forget(name)

    def _knows(self, name: str) -> bool:
        return self._db.execute("SELECT 1 FROM people WHERE name = ?", (name,)).fetchone() is not None

    def _unknown(self, name: str) -> UnknownPerson:
        people = self.count()
        close = close_names(name, nearby_names(self._db, name, people))
        hint = f"; did you mean {', '.join(close)}?" if close else f"; {self.path} holds {people:,} people"
        return UnknownPerson(f"nobody here is called {name!r}{hint}")
