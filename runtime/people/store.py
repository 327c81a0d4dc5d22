"""The people on this device and what they wrote, in one SQLite file that only this user can read.

* Forgotten means gone: deleted bytes are overwritten and the file is rewritten.
* An import is idempotent: an interaction is known by its digest.

`store_file.py` keeps the file through kills and damage. Knows nothing of bundles but ids: of their populations, which
say who a person's peer is, and those of bundles that people were enrolled under before populations had ids.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from copersona.runtime.common.errors import PersonError
from copersona.runtime.common.places import data_home
from copersona.runtime.history.checks import check_interaction
from copersona.runtime.history.interactions import History, Interaction
from copersona.runtime.people.kept import SHOWN
from copersona.runtime.people.prefix_files import PrefixFiles
from copersona.runtime.people.sealed import Key, Passphrase
from copersona.runtime.people.tables import (
    CARRY_OVER,
    DIGESTS,
    GIVE_WORDS,
    HISTORY,
    INSERT,
    KEEP_OUTPUT,
    Written,
    from_row,
    row,
    words_row,
)
from copersona.runtime.people.whole import KeptWhole

CACHE = 64 * 1024  # KiB of pages that an import may hold: hashes are not written in the order of the file


@dataclass(frozen=True, slots=True)
class Added:
    """What one `add` did: people in it, interactions that were new, interactions that were there already, and how many
    of these now have item words or a title that they had not; of `Session.add`, people who were said to be enrolled."""

    people: int
    new: int
    repeated: int
    named: int = 0
    enrolled: int = 0


def store_path() -> Path:
    """Where the people of this device are kept by default."""
    return data_home() / "people.sqlite"


class PeopleStore(KeptWhole):
    """The people of one store file. Safe to share between threads; close it, or use it in a `with`.

    Every method raises PersonError where the file cannot be read or written; the message names the file.
    """

    def __init__(
        self,
        path: Path | str | None = None,
        *,
        busy_seconds: float = 10.0,
        passphrase: Passphrase | Key | None = None,
    ) -> None:
        """Open the store, creating it (folder 0700, file 0600) where there is none. What a `forget` could not finish is
        made up for.

        `passphrase` opens a sealed store: text, bytes, or a callable that is asked only if the store is sealed. A new
        store is sealed if text or bytes are given, and plain otherwise.

        Raises:
            PersonError: the file is no store, damaged, of a newer version, a link, or in a folder that cannot be
                written, or by others too; it is sealed and the passphrase is wrong or missing, or what a sealed store
                needs is not installed; it is plain and a passphrase was given.
        """
        path = store_path() if path is None else Path(path)
        super().__init__(path, busy_seconds=busy_seconds, passphrase=passphrase)
        try:
            self.prefixes = PrefixFiles(self.path, self.key)
            self.unfinished = self._finish()[0]
        except BaseException:
            self.close()
            raise

    def add(
        self, interactions: Iterable[Interaction], *, population: str = "", peers: Mapping[str, str] | None = None
    ) -> Added:
        """Keep these interactions as they are, all or none; those that are there already are counted and left as they
        are, but for their item's title or words where they had none, or words of other people only. A history is kept
        by `Session.add`, which gives words to items without a title.

        With them, or not at all, people are enrolled as `enrol` does; `peers` is read when all interactions were.

        Raises:
            PersonError: an interaction that cannot be kept (blank output, bad name, number that is not finite).
        """
        changed: dict[str, bool] = {}  # by person
        new = total = named = 0
        with self._reading(), self._much_cache(), self._transaction():
            for interaction in interactions:
                kept = self._checked(interaction)
                if kept.person not in changed:
                    changed[kept.person] = False
                    self._db.execute(
                        "INSERT INTO people (name) VALUES (?) ON CONFLICT (name) DO NOTHING", (kept.person,)
                    )
                if self._db.execute(INSERT, row(kept)).rowcount:
                    changed[kept.person] = True
                    new += 1
                elif kept.words and self._db.execute(GIVE_WORDS, words_row(kept)).rowcount:
                    changed[kept.person] = True
                    named += 1
                total += 1
            self._enrol(population, peers or {})
        with self._files():  # what their prompts began with until now
            self.prefixes.forget_all(person for person, anything in changed.items() if anything)
        return Added(len(changed), new, total - new, named)

    def history(self, person: str, latest: int | None = None, without: Sequence[str] = ()) -> History:
        """What the person wrote, oldest first; without a time first; of one time, in the order they were added. With
        `latest`, only so many of the last; those before are not read. `without` these digests.

        Raises:
            PersonError: nobody of that name is here; the message lists close names.
        """
        name = self._name(person)
        with self._reading():
            rows = self._db.execute(HISTORY, (name, json.dumps(without), -1 if latest is None else latest))
            found = [from_row(name, one) for one in rows]
            if not found and not self._knows(name):
                raise self._unknown(name)
        return tuple(reversed(found))

    def written(self, person: str, without: Sequence[str] = ()) -> Written:
        """How much the person wrote, and a hash of it, without these digests; of someone unknown, nothing."""
        count, digest = 0, hashlib.sha256()
        with self._reading():
            for (one,) in self._db.execute(DIGESTS, (self._name(person), json.dumps(without))):
                digest.update(one.encode("ascii"))
                count += 1
        return Written(count, digest.hexdigest())

    def keep_output(self, people: Iterable[str], path: Path) -> None:
        """Remember a file that was written of these people for its owner, so that `forget` can name it. Of someone
        unknown, nothing is remembered."""
        whole = os.fsencode(path.absolute())
        with self._transaction():
            self._db.executemany(KEEP_OUTPUT, [(whole, self._name(person)) for person in people])

    def enrol(self, population: str, peers: Mapping[str, str]) -> None:
        """Remember the pseudonyms of people who are part of a population (its id): nobody is their own neighbour."""
        with self._transaction():
            self._enrol(population, peers)

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

    # -- inside -----------------------------------------------------------------------------------------------------

    def _enrol(self, population: str, peers: Mapping[str, str]) -> None:
        rows = [(population, self._name(person), peer) for person, peer in peers.items()]
        self._db.executemany("INSERT OR REPLACE INTO enrolments (population, person, peer) VALUES (?, ?, ?)", rows)

    @contextlib.contextmanager
    def _much_cache(self) -> Iterator[None]:
        before = self._db.execute("PRAGMA cache_size").fetchone()[0]
        self._db.execute(f"PRAGMA cache_size=-{CACHE}")
        try:
            yield
        finally:
            self._db.execute(f"PRAGMA cache_size={before}")

    def _checked(self, interaction: Interaction) -> Interaction:
        try:
            return check_interaction(interaction)
        except ValueError as error:
            raise PersonError(f"an interaction of {interaction.person[:SHOWN]!r} cannot be kept: {error}") from None
