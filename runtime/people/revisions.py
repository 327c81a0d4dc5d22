"""What people say about what is known of them, kept as revisions: they are added, never changed, and removed only by
forgetting.

A revision names the last one that its writer saw. Where its target was revised since, it is refused: of two who edit
the same facet, the second one is told. What was made of the person until then is removed in the same transaction.
"""

from __future__ import annotations

import time
from collections.abc import Collection

from copersona.runtime.common.errors import BadRevision, RevisedMeanwhile, UnknownFacet
from copersona.runtime.common.terminal import one_line
from copersona.runtime.history.interactions import clean_text
from copersona.runtime.people import revision_tables as tables
from copersona.runtime.people.close_names import close_names
from copersona.runtime.people.conversations import NUMBERS
from copersona.runtime.people.texts import SHOWN_DIGITS, KeptTexts
from copersona.runtime.people.wishes import (
    LONGEST_QUOTE,
    NO_WISHES,
    Kind,
    Revision,
    Target,
    Wishes,
    check_words,
    holding,
    undone,
    wishes_of,
)


class KeptRevisions(KeptTexts):
    """The part of the people store that holds revisions. Of all that change something, `base` is the number of the last
    revision that the writer saw; None is whichever is the last."""

    def correct(self, person: str, facet: str, words: str, base: int | None = None) -> Revision:
        """Say a facet in the person's own words. Raises UnknownPerson, BadRevision, RevisedMeanwhile."""
        try:
            kept = check_words(words)
        except ValueError as error:
            raise BadRevision(f"the facet {facet!r} cannot be corrected so: {error}") from None
        return self._revise(person, "correct", Target("facet", facet), base, kept)

    def pin(self, person: str, digest: str, base: int | None = None) -> Revision:
        """Have a text come first in prompts. Raises UnknownPerson, UnknownText, RevisedMeanwhile."""
        return self._revise(person, "pin", Target("digest", self.find_text(person, digest)), base)

    def leave_out(self, person: str, target: Target, base: int | None = None) -> Revision:
        """Leave out a facet, a text or a quote. Raises UnknownPerson, UnknownText, BadRevision, RevisedMeanwhile."""
        if target.about == "digest":
            target = Target("digest", self.find_text(person, target.name))
        if target.about == "quote":
            target = Target("quote", self._quote(person, target.name))
        return self._revise(person, "leave_out", target, base)

    def undo(self, person: str, number: int, base: int | None = None) -> Revision:
        """Take back a revision, which may be an undo. Raises UnknownPerson, BadRevision, RevisedMeanwhile."""
        found = {one.number: one for one in self.revisions(person)}
        if number not in found:
            last = f"the last is {max(found)}" if found else "there are none yet"
            raise BadRevision(f"{self.find(person)!r} has no revision {number}; {last}")
        return self._revise(person, "undo", found[number].target, base, undoes=number)

    def revisions(self, person: str) -> tuple[Revision, ...]:
        """All revisions of a person by number. Raises UnknownPerson."""
        name = self.find(person)
        with self._reading():
            return self._revisions(name)

    def wishes(self, person: str) -> tuple[int, Wishes]:
        """The last number that a revision of the person was given, and what holds now; of someone unknown, 0 and
        nothing."""
        name = self._name(person)
        with self._reading():  # the number first: what comes meanwhile is later
            last = self._db.execute(tables.LAST, (name,)).fetchone()
            return (int(last[0]), wishes_of(self._revisions(name))) if last else (0, NO_WISHES)

    # -- inside -----------------------------------------------------------------------------------------------------

    def _revisions(self, name: str) -> tuple[Revision, ...]:
        rows = self._db.execute(tables.REVISIONS, (name,))
        return tuple(Revision(n, at, kind, Target(about, target), *more) for n, at, kind, about, target, *more in rows)

    def _revise(
        self, person: str, kind: Kind, target: Target, base: int | None, words: str = "", undoes: int | None = None
    ) -> Revision:
        """Keep one revision; where it says what holds already, that one is given and nothing is kept."""
        name = self._name(person)
        with self._transaction():
            if not self._knows(name):
                raise self._unknown(name)
            given = (name, *target, NUMBERS if base is None else min(base, NUMBERS))
            if since := self._db.execute(tables.SINCE, given).fetchone()[0]:
                raise RevisedMeanwhile(
                    f"{_shown(target)} of {name!r} was revised since you looked (revision {since}, you saw {base}); "
                    "look again, then say it once more"
                )
            rows = self._revisions(name)
            if undoes in undone(rows):
                raise BadRevision(f"revision {undoes} of {name!r} is undone already")
            holds = holding(rows).get(target)
            if undoes is None and holds is not None and (holds.kind, holds.words) == (kind, words):
                return holds
            made = self._append(name, kind, target, words, undoes)
            self._forget_vectors(name, target)
            self._unmake(name, replies=kind != "pin")
        return made

    def _append(self, name: str, kind: Kind, target: Target, words: str = "", undoes: int | None = None) -> Revision:
        self._db.execute(tables.NEXT, (name,))
        number = int(self._db.execute(tables.LAST, (name,)).fetchone()[0])
        one = Revision(number, time.time(), kind, target, words, undoes)
        self._insert_revision(name, one)
        return one

    def _insert_revision(self, name: str, one: Revision) -> None:
        values = (name, one.number, one.time, one.kind, *one.target, one.words, one.undoes)
        self._db.execute(tables.INSERT_REVISION, values)

    def _forget_vectors(self, name: str, target: Target) -> int:
        """Remove the vectors of a text that is the target."""
        if target.about != "digest":
            return 0
        from copersona.runtime.people.vectors import vector_keys  # here: a store that lists people needs no numpy

        keys = [(name, key) for text in self.these(name, (target.name,)) for key in vector_keys(text)]
        return int(self._db.executemany("DELETE FROM vectors WHERE person = ? AND text = ?", keys).rowcount)

    def _quote(self, person: str, quote: str) -> str:
        """The quote as it is kept: it stands in a text of the person's. Raises UnknownPerson, BadRevision."""
        name, kept = self.find(person), clean_text(quote[: 4 * LONGEST_QUOTE])
        if not 1 <= len(kept) <= LONGEST_QUOTE:
            raise BadRevision(f"the quote has {len(kept):,} characters, expected 1 to {LONGEST_QUOTE}")
        with self._reading():
            rows = self._db.execute("SELECT output FROM interactions WHERE person = ?", (name,))
            if any(kept in clean_text(output) for (output,) in rows):
                return kept
        raise BadRevision(f"the quote {one_line(kept, 60)!r} stands in no text of {name!r}; give it as it is shown")


def known_facet(name: str, names: Collection[str]) -> str:
    """The name of a facet that there is. Raises UnknownFacet."""
    if name in names:
        return name
    close = close_names(name, names)
    hint = f"did you mean {', '.join(close)}?" if close else f"there are {', '.join(names)}"
    raise UnknownFacet(f"no facet is called {one_line(name, 60)!r}; {hint}")


def _shown(target: Target) -> str:
    if target.about == "quote":
        return "the quote"
    return f"the facet {target.name!r}" if target.about == "facet" else f"the text {target.name[:SHOWN_DIGITS]}"
