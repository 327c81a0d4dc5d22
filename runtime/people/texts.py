"""A person's own texts one by one: found, listed, and taken over from an answer that the person edited.

A text is known by its digest; the first few digits do where no other text of the person begins with them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from copersona.runtime.common.composed import composed
from copersona.runtime.common.errors import BadRevision, UnknownText
from copersona.runtime.common.terminal import one_line
from copersona.runtime.history.checks import check_interaction
from copersona.runtime.history.interactions import History, Interaction, same_text
from copersona.runtime.people import revision_tables as tables
from copersona.runtime.people.close_names import close_names
from copersona.runtime.people.conversations import KeptConversations
from copersona.runtime.people.tables import INSERT, THESE, from_row, row

LEAST_DIGITS = 8  # of a digest that stand for it
SHOWN_DIGITS = 12
MOST_DIGITS = 18  # of a row's number, which SQLite can hold
_DIGEST = re.compile(r"[0-9a-f]{1,64}")


@dataclass(frozen=True, slots=True)
class OwnText:
    """A text in a list. `adopted`: it was an answer that the person edited and took over. `place` is where the list
    goes on behind it."""

    digest: str
    time: float | None
    title: str | None
    text: str
    adopted: bool
    place: str


class KeptTexts(KeptConversations):
    """The part of the people store that holds single texts."""

    def own_texts(
        self, person: str, words: str = "", *, before: str | None = None, limit: int | None = None
    ) -> list[OwnText]:
        """What a person wrote, the latest first; or what comes behind the `place` of one. With words, those texts alone
        in which (or in whose title) all of them stand, in any case. Raises UnknownPerson, UnknownText."""
        name, wanted, found = self.find(person), composed(words).casefold().split(), list[OwnText]()
        with self._reading():
            for seq, digest, time, title, text, adopted in self._db.execute(*_behind(name, before)):
                if len(found) == limit:
                    break
                folded = composed(f"{title or ''}\n{text}").casefold() if wanted else ""
                if all(word in folded for word in wanted):
                    place = f"{'' if time is None else repr(time)}_{seq}"
                    found.append(OwnText(digest, time, title, text, bool(adopted), place))
        return found

    def these(self, person: str, digests: Collection[str]) -> History:
        """The person's texts of these digests, in this order; those that are not there are left out."""
        name = self._name(person)
        if not digests:
            return ()
        with self._reading():
            rows = self._db.execute(THESE, (name, json.dumps(list(digests))))
            found = {digest: from_row(name, tuple(values)) for digest, *values in rows}
        return tuple(found[digest] for digest in digests if digest in found)

    def adopted(self, person: str) -> int:
        """How many of the person's texts were answers."""
        query = "SELECT count(*) FROM interactions WHERE person = ? AND adopted"
        with self._reading():
            return int(self._db.execute(query, (self._name(person),)).fetchone()[0])

    def find_text(self, person: str, digest: str) -> str:
        """The whole digest of a person's text. Raises UnknownPerson, UnknownText."""
        name = self.find(person)
        with self._reading():
            return self._digest(name, digest)

    def adopt(self, text: Interaction, answer: str) -> OwnText:
        """Keep an answer that the person edited as a text of their own, marked as such.

        Raises:
            UnknownPerson: there is nobody of that name.
            BadRevision: the text is the answer as it was, or cannot be kept.
        """
        name = self.find(text.person)
        if " ".join(same_text(text.output).split()) == " ".join(same_text(answer).split()):
            raise BadRevision("the text is the answer as it was; only what you have edited becomes your own writing")
        try:
            kept = check_interaction(text)
        except ValueError as error:
            raise BadRevision(f"the text cannot be kept: {error}") from None
        with self._transaction():
            if not self._knows(name):
                raise self._unknown(name)
            if self._db.execute(INSERT, row(kept)).rowcount:
                self._db.execute(tables.ADOPT, (name, kept.digest))
            with self._files():
                self.prefixes.forget(name)
        return OwnText(kept.digest, kept.time, kept.title, kept.output, True, "")

    # -- inside -----------------------------------------------------------------------------------------------------

    def _digest(self, name: str, given: str) -> str:
        digest = given.strip().lower()
        rows: list[tuple[str]] = []
        if _DIGEST.fullmatch(digest) and len(digest) >= LEAST_DIGITS:
            rows = self._db.execute(tables.DIGESTS_LIKE, (name, digest, f"{digest}g")).fetchall()
        if len(rows) == 1:
            return rows[0][0]
        what = f"{one_line(given, SHOWN_DIGITS + 3)!r}"
        if rows:
            raise UnknownText(f"two texts of {name!r} begin with {what}; give more digits")
        digests = self._db.execute("SELECT digest FROM interactions WHERE person = ?", (name,))
        close = close_names(digest[:SHOWN_DIGITS], (one[:SHOWN_DIGITS] for (one,) in digests))
        hint = f"did you mean {', '.join(close)}?" if close else "copersona people texts lists them"
        raise UnknownText(f"no text {what} of {name!r} ({LEAST_DIGITS} digits or more of its digest); {hint}")


def _behind(name: str, before: str | None) -> tuple[str, Iterable[Any]]:
    """The statement that reads the texts behind this place, and its values. Raises UnknownText."""
    if before is None:
        return tables.LATEST_TEXTS, (name,)
    time, _, seq = before.partition("_")
    try:
        if len(seq) > MOST_DIGITS:
            raise ValueError
        if not time:
            return tables.UNTIMED_BEFORE, (name, int(seq))
        return tables.TEXTS_BEFORE, (name, float(time), float(time), int(seq))
    except ValueError:
        raise UnknownText(f"{one_line(before, 40)!r} is no place in a list of texts") from None
