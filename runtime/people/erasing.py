"""What is forgotten is gone to the byte: a person, one of their texts, a facet, a conversation.

Deleted bytes are overwritten, and that the file is to be rewritten is committed with the deletion: where a kill or a
full disk comes between, the next one to open the store does it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from copersona.runtime.common.errors import PersonError
from copersona.runtime.history.interactions import clean_text
from copersona.runtime.people import revision_tables as tables
from copersona.runtime.people.receipts import Clean, cleaned, without_facet, without_text
from copersona.runtime.people.revisions import KeptRevisions, known_facet
from copersona.runtime.people.wishes import Target


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What forgetting removed; not `compacted` where the file could not be rewritten, and `pending` says why.

    The rows are gone and overwritten in both cases; rewriting also drops what SQLite moved inside the file. It is made
    up for when the store is next opened. `left` names, a line each, what stood among the files beside the store and was
    not ours to remove; `outputs` the files that `generate` wrote of the person and that are their owner's. Of a text or
    a facet, `receipts` of kept answers were cleaned of it; `elsewhere` counts other texts and messages of the person
    that hold the same words, and stay.
    """

    interactions: int
    compacted: bool
    pending: str = ""
    left: tuple[str, ...] = ()
    outputs: tuple[Path, ...] = ()
    chats: int = 0
    revisions: int = 0
    vectors: int = 0
    receipts: int = 0
    elsewhere: int = 0


class Erasing(KeptRevisions):
    """The part of the people store that forgets."""

    def forget(self, person: str) -> Forgotten:
        """Delete everything about the person, so that no byte of it stays in the file or beside it.

        Raises:
            PersonError: nobody of that name is here, neither with a history nor enrolled; or nothing could be deleted.
        """
        name = self._name(person)
        with self._transaction():
            counts = self._counts(name, "interactions", "conversations", "revisions", "vectors")
            outputs = self._outputs(name)
            gone = self._db.execute("DELETE FROM people WHERE name = ?", (name,)).rowcount
            for table in ("enrolments", "bundle_enrolments"):
                gone += self._db.execute(f"DELETE FROM {table} WHERE person = ?", (name,)).rowcount
            if not gone:
                raise self._unknown(name)
            self._db.execute("INSERT INTO pending DEFAULT VALUES")
            with self._files():  # before the commit, so that a kill leaves a person without states, not the reverse
                left = self.prefixes.forget(name)
        texts, chats, revisions, vectors = counts
        return self._forgotten(
            Forgotten(texts, False, left=left, outputs=outputs, chats=chats, revisions=revisions, vectors=vectors)
        )

    def forget_text(self, person: str, digest: str) -> Forgotten:
        """Delete one text of a person: itself, its vectors, all that was made of it, the revisions that name it or a
        quote that stands in no other text, and what receipts of kept answers hold of it.

        Raises:
            UnknownPerson, UnknownText.
            PersonError: nothing could be deleted.
        """
        name = self.find(person)
        with self._transaction():
            target = Target("digest", self._digest(name, digest))
            (text,) = self.these(name, (target.name,))
            vectors = self._forget_vectors(name, target)
            self._db.execute("DELETE FROM interactions WHERE person = ? AND digest = ?", (name, target.name))
            quotes, elsewhere = self._stands_elsewhere(name, clean_text(text.output))
            revisions = self._forget_revisions(name, [target, *quotes])
            receipts, left = self._clean(name, without_text(text)), self._forgot(name)
            outputs = self._outputs(name)
        found = Forgotten(1, False, left=left, outputs=outputs, revisions=revisions, vectors=vectors)
        return self._forgotten(replace(found, receipts=receipts, elsewhere=elsewhere))

    def forget_facet(self, person: str, facet: str) -> Forgotten:
        """Delete what was said of a facet of a person: corrections, other revisions of it, what was made of it, and
        what receipts of kept answers say of it. From then on it is left out; that alone stands in a new revision, whose
        undo has it measured anew.

        Raises:
            UnknownPerson: there is nobody of that name.
            UnknownFacet: what was made of the person has no such facet.
            PersonError: nothing could be deleted.
        """
        name, target = self.find(person), Target("facet", facet)
        with self._transaction():
            names = self._facets(name)
            if names:
                known_facet(facet, names)
            revisions = self._forget_revisions(name, [target])
            receipts, left = self._clean(name, without_facet(facet)), self._forgot(name)
            self._append(name, "leave_out", target)
            outputs = self._outputs(name)
        found = Forgotten(0, False, left=left, outputs=outputs, revisions=revisions, receipts=receipts)
        return self._forgotten(found)

    def delete_conversation(self, person: str, id_: str) -> str:
        """Delete one of a person's conversations, so that no byte of it stays in the file. Why the file is still to be
        rewritten; empty where that is done. Raises UnknownPerson, UnknownConversation."""
        name = self.find(person)
        with self._transaction():
            self._remove_conversation(name, id_)
            self._db.execute("INSERT INTO pending DEFAULT VALUES")
        return self._finish()[0]

    # -- inside -----------------------------------------------------------------------------------------------------

    def _counts(self, name: str, *tables_: str) -> list[int]:
        queries = [f"SELECT count(*) FROM {table} WHERE person = ?" for table in tables_]
        return [int(self._db.execute(query, (name,)).fetchone()[0]) for query in queries]

    def _outputs(self, name: str) -> tuple[Path, ...]:
        """Files that `generate` wrote of the person and that are still there."""
        rows = self._db.execute("SELECT path FROM outputs WHERE person = ? ORDER BY path", (name,)).fetchall()
        return tuple(path for (raw,) in rows if os.path.lexists(path := Path(os.fsdecode(raw))))

    def _facets(self, name: str) -> set[str]:
        """The facets of all that was made of the person, and of their revisions; nothing where nothing was made."""
        rows = self._db.execute("SELECT texts FROM personas WHERE person = ?", (name,)).fetchall()
        try:
            made = {str(facet["facet"]) for (texts,) in rows for facet in json.loads(texts)["facets"]}
        except (ValueError, KeyError, TypeError):  # a row that was changed hinders no forgetting
            made = set()
        said = {one.target.name for one in self._revisions(name) if one.target.about == "facet"}
        return made | said if made else made

    def _forget_revisions(self, name: str, targets: Iterable[Target]) -> int:
        return sum(self._db.execute(tables.FORGET_REVISIONS, (name, *target)).rowcount for target in targets)

    def _stands_elsewhere(self, name: str, words: str) -> tuple[set[Target], int]:
        """The quotes of revisions that stand in these words and in no text of the person's; and how many of their texts
        and messages hold all of the words."""
        quotes = {
            one.target for one in self._revisions(name) if one.target.about == "quote" and one.target.name in words
        }
        elsewhere = 0
        for output in self._column(tables.OUTPUTS, name):
            elsewhere += words in output
            quotes = {quote for quote in quotes if quote.name not in output}
        return quotes, elsewhere + sum(words in message for message in self._column(tables.MESSAGES, name))

    def _column(self, query: str, name: str) -> Iterator[str]:
        """The texts that a statement finds of the person, cleaned."""
        return (clean_text(text) for (text,) in self._db.execute(query, (name,)))

    def _clean(self, name: str, clean: Clean) -> int:
        """Take it out of the person's receipts; of how many."""
        count = 0
        for number, receipt in self._db.execute(tables.RECEIPTS, (name,)).fetchall():
            if (without := cleaned(receipt, clean)) is not None:
                count += 1
                self._db.execute("UPDATE messages SET receipt = ? WHERE number = ?", (without, number))
        return count

    def _forgot(self, name: str) -> tuple[str, ...]:
        """Remove what was made of the person, and have nothing kept that is being made of what was there."""
        self._db.execute(tables.FORGOT, (name,))
        self._db.execute("INSERT INTO pending DEFAULT VALUES")
        return self._unmake(name)

    def _forgotten(self, found: Forgotten) -> Forgotten:
        """The same once the file is rewritten, or with why it is not."""
        pending, swept = self._finish()
        left = tuple(dict.fromkeys(found.left + swept))
        return replace(found, compacted=not pending, pending=pending, left=left)

    def _finish(self) -> tuple[str, tuple[str, ...]]:
        """Sweep and rewrite what is marked as pending: why it goes on being so, empty where it does not, and what was
        left beside the store. Where nothing is marked, nothing is done."""
        with self._reading():
            last = self._db.execute("SELECT max(id) FROM pending").fetchone()[0]
        if last is None:
            return "", ()
        left: tuple[str, ...] = ()
        try:
            with self._files(), self._reading():  # what another process wrote meanwhile
                left = self.prefixes.sweep(name for (name,) in self._db.execute("SELECT name FROM people"))
            if not self.compact():
                return f"{self.path}: another process is using it", left
            with self._transaction():  # what was marked since then is another's
                self._db.execute("DELETE FROM pending WHERE id <= ?", (last,))
        except PersonError as error:
            return str(error), left
        return "", left
