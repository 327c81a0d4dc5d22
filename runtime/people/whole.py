"""A person taken out of the store as a whole, and put into one: what they wrote, said and asked, and who they are in
populations. What was made of them can be made again and stays behind.
"""

from __future__ import annotations

from dataclasses import dataclass

from copersona.runtime.common.errors import PersonThere
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.people import revision_tables as tables
from copersona.runtime.people.conversations import Conversation, KeptMessage
from copersona.runtime.people.erasing import Erasing
from copersona.runtime.people.tables import INSERT, from_row, row
from copersona.runtime.people.wishes import Revision

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class WholePerson:
    """A person: when they were added, their texts in the order in which they were added (and which of them were
    answers, by digest), revisions with the last number that was given, conversations, and their pseudonyms by the id of
    a population, or of a bundle that was not opened since populations have ids."""

    name: str
    added: str
    texts: tuple[Interaction, ...]
    adopted: frozenset[str]
    revisions: tuple[Revision, ...]
    last_revision: int
    conversations: tuple[tuple[Conversation, tuple[KeptMessage, ...]], ...]
    enrolments: Pairs
    bundle_enrolments: Pairs


class KeptWhole(Erasing):
    """The part of the people store that gives and takes people as a whole."""

    def whole(self, person: str) -> WholePerson:
        """A person as they are at one moment. Raises UnknownPerson."""
        name = self.find(person)
        with self._transaction():
            rows = self._db.execute(tables.WHOLE_TEXTS, (name,)).fetchall()
            added, last = self._db.execute("SELECT added, last_revision FROM people WHERE name = ?", (name,)).fetchone()
            enrolled, bundles = (
                tuple(self._db.execute(f"SELECT {of}, peer FROM {table} WHERE person = ? ORDER BY {of}", (name,)))
                for of, table in (("population", "enrolments"), ("bundle", "bundle_enrolments"))
            )
            return WholePerson(
                name=name,
                added=added,
                texts=tuple(from_row(name, found) for _, _, *found in rows),
                adopted=frozenset(digest for digest, adopted, *_ in rows if adopted),
                revisions=self._revisions(name),
                last_revision=last,
                conversations=tuple(self.conversation(name, one.id) for one in reversed(self.conversations(name))),
                enrolments=enrolled,
                bundle_enrolments=bundles,
            )

    def restore(self, one: WholePerson) -> None:
        """Keep a person as they were, all or nothing. Raises PersonThere where somebody of that name is here."""
        name = self._name(one.name)
        with self._transaction():
            if self._knows(name):
                raise PersonThere(f"{name!r} is here already; restore puts back whom nobody here is called like")
            values = (name, one.added, one.last_revision)
            self._db.execute("INSERT INTO people (name, added, last_revision) VALUES (?, ?, ?)", values)
            self._db.executemany(INSERT, map(row, one.texts))
            self._db.executemany(tables.ADOPT, [(name, digest) for digest in one.adopted])
            for revision in one.revisions:
                self._insert_revision(name, revision)
            self._take_conversations(name, one.conversations)
            for of, table, pairs in (
                ("population", "enrolments", one.enrolments),
                ("bundle", "bundle_enrolments", one.bundle_enrolments),
            ):
                query = f"INSERT OR REPLACE INTO {table} (person, {of}, peer) VALUES (?, ?, ?)"
                self._db.executemany(query, [(name, *pair) for pair in pairs])
