"""What the demo shows, as plain data: invented people in a store of their own, answers, why, and how a persona moves.

The store is a scratch folder that goes when the demo is closed; the user's own store is never opened. Knows nothing of
screens: `screen.py` draws what is made here.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from copersona.runtime.common.arrays import F32
from copersona.runtime.common.closing import Closing
from copersona.runtime.common.errors import BundleError, PersonError
from copersona.runtime.engine.engine import Sampling
from copersona.runtime.history.checks import check_person
from copersona.runtime.history.importers import load_history
from copersona.runtime.history.interactions import History, Interaction, render_input
from copersona.runtime.people.known import Known
from copersona.runtime.people.store import PeopleStore
from copersona.runtime.session.answers import Answer
from copersona.runtime.session.portrait import FacetMove, FacetShown, facet_moves, facet_shown, neighbors
from copersona.runtime.session.receipt import Receipt
from copersona.runtime.session.session import Session

YOU = "you"  # whoever sits at the keyboard; without a text, nobody
REQUEST = render_input(item="acoustic guitar", rating=4, title="My new guitar")


def demo_folder() -> Path:
    """The folder of the demo's people and, where there is one, its bundle."""
    from copersona import assets as package

    return Path(next(iter(package.__path__))) / "demo"


def demo_bundle(given: Path | None) -> Path:
    """The bundle to show. Raises BundleError where none was given and none came with the package."""
    folder = given or demo_folder() / "bundle"
    if given is None and not (folder / "manifest.json").is_file():
        raise BundleError(
            f"{folder}: no bundle came with this copy; make one with `copersona export run` (docs/guide.md) and name "
            "it: copersona demo --bundle RUN/bundle"
        )
    return folder


@dataclass(frozen=True, slots=True)
class Recalled:
    """An own text in the prompt: what found it, when it was written, its title, how it begins."""

    by: str
    time: float | None
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Shown:
    """One answer and why it reads so; `person` None is nobody."""

    person: str | None
    answer: str
    facets: tuple[FacetShown, ...]
    recalled: tuple[Recalled, ...]
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Move:
    """What one more text did to a persona. `distance` is how far the soft prompt went; `apart` is the mean distance
    between two of the demo's people."""

    person: str
    texts: int
    facets: tuple[FacetMove, ...]
    stayed: tuple[str, ...]
    came: tuple[str, ...]
    went: tuple[str, ...]
    distance: float
    apart: float


class Demo(Closing):
    """An opened bundle and the demo's people; close it, or use it in a `with`: then the scratch store goes.

    `latest` cuts everyone's history to their latest texts, to see what peers lend to someone of whom little is known.

    Raises:
        HistoryError: the file of people cannot be read.
    """

    def __init__(self, session: Session, people: Path | None = None, *, latest: int | None = None) -> None:
        self.session, self.latest = session, latest
        loaded = load_history([people or demo_folder() / "people.jsonl"])
        self._scratch = tempfile.TemporaryDirectory(prefix="copersona-demo-")
        try:
            self._store = PeopleStore(Path(self._scratch.name) / "people.sqlite")
            session.add(self._store, loaded.interactions)
        except BaseException:
            self._scratch.cleanup()
            raise
        self.people: list[str] = list(dict.fromkeys(one.person for one in loaded.interactions))
        self._invented = tuple(self.people)

    def close(self) -> None:
        """Remove the scratch store with everything that was added to it."""
        self._store.close()
        self._scratch.cleanup()

    @property
    def invented(self) -> tuple[str, ...]:
        """The people that came with the demo."""
        return self._invented

    def history(self, person: str) -> History:
        """What the person wrote, oldest first, as much as `latest` leaves. Raises PersonError."""
        if person == YOU and person not in self.people:
            return ()
        history = self._store.history(person)
        return history if self.latest is None else history[-self.latest :]

    def find(self, name: str) -> str:
        """The person meant, whatever the capitals. Raises PersonError."""
        here = dict.fromkeys((*self.people, YOU))
        for person in here:
            if person.casefold() == name.casefold():
                return person
        raise PersonError(f"nobody here is called {name!r}; here are {', '.join(here)}")

    def answer(self, request: str, person: str | None, sampling: Sampling) -> Answer:
        """Begin the answer of a person, or of nobody. Raises ModelError, PersonError."""
        known = None if person is None else self._known(person)
        if known is not None:
            self.session.personas.recall(self._store, known)
        return self.session.answer(request, known, sampling, person=person)

    def shown(self, answer: Answer) -> Shown:
        """An answer that has ended, with why."""
        receipt = answer.receipt
        person = receipt.person
        recalled: tuple[Recalled, ...] = ()
        if person is not None:
            texts = {one.digest: one for one in self.history(person)}
            recalled = tuple(
                Recalled(row.by, row.time, texts[row.digest].title or "", texts[row.digest].output)
                for row in receipt.retrieved
                if row.digest in texts
            )
        return Shown(
            person, answer.text, tuple(facet_shown(self.session, used) for used in receipt.facets), recalled, receipt
        )

    def add(self, person: str, text: str) -> Move:
        """Keep one more text of a person in the scratch store, and say what it did to their persona.

        Raises:
            PersonError: the text is blank or too long, or the name cannot be kept.
        """
        person = check_person(person)
        before = self._known(person)
        self._store.add([Interaction(person, text, time=time.time())])
        if person not in self.people:
            self.people.append(person)
        return self._move(person, before, self._known(person))

    def _known(self, person: str) -> Known:
        return self.session.know(self.history(person))

    def _move(self, person: str, before: Known, after: Known) -> Move:
        old, new = neighbors(self.session, before), neighbors(self.session, after)
        return Move(
            person=person,
            texts=len(after.history),
            facets=facet_moves(self.session, before, after),
            stayed=tuple(peer for peer in new if peer in old),
            came=tuple(peer for peer in new if peer not in old),
            went=tuple(peer for peer in old if peer not in new),
            distance=distance(before.soft, after.soft),
            apart=self._apart(),
        )

    def _apart(self) -> float:
        soft = [self._known(person).soft for person in self._invented]
        return mean_distance(soft)


def distance(one: F32, other: F32) -> float:
    """Root mean square difference of two soft prompts (L, H); 0 of two that are empty."""
    if not one.size:
        return 0.0
    return float(np.sqrt(np.mean((one.astype(np.float64) - other) ** 2)))


def mean_distance(soft: Sequence[F32]) -> float:
    """Mean `distance` over all pairs; 0 where there is no pair."""
    pairs = [distance(one, other) for one, other in combinations(soft, 2)]
    return sum(pairs) / len(pairs) if pairs else 0.0
