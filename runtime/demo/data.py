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
from copersona.runtime.profile.facets import PLACEHOLDER, Facet
from copersona.runtime.profile.profiler import facet_score
from copersona.runtime.session.answers import Answer
from copersona.runtime.session.receipt import FacetUsed, Receipt
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
class Lent:
    """A peer's facet: their number, how similar they are, what their facet says, whether it is in the prompt."""

    peer: str
    similarity: float
    says: str
    in_prompt: bool


@dataclass(frozen=True, slots=True)
class FacetShown:
    """One facet of a person. `own` is the gate: this share is theirs, the rest is the similar people's; None where
    nothing is trained. `lacking`: the person's own texts say too little."""

    facet: str
    says: str
    reliability: str
    own: float | None
    lacking: bool
    lent: tuple[Lent, ...]


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
class FacetMove:
    """One facet before and after; scores are standard deviations from the population's mean, None where it has none."""

    facet: str
    before: FacetShown
    after: FacetShown
    score_before: float | None
    score_after: float | None


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
        return Shown(person, answer.text, tuple(map(self._facet, receipt.facets)), recalled, receipt)

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

    def _facet(self, used: FacetUsed) -> FacetShown:
        graph, names = self.session.graph, self.session.schema.names
        lent = []
        for peer in used.borrowed:
            theirs = graph.profile(graph.row(peer.peer))[names.index(used.facet)]
            lent.append(Lent(peer.peer, peer.similarity, _says(used.facet, theirs.summary), peer.shown))
        lacking = used.summary == PLACEHOLDER
        says = "" if lacking else _says(used.facet, used.summary)
        return FacetShown(used.facet, says, used.reliability, used.gate, lacking, tuple(lent))

    def _facets(self, known: Known) -> tuple[FacetShown, ...]:
        """Facets of a person whose prompt nobody asks for."""
        gate = self.session.bundle.gate
        return tuple(
            self._facet(FacetUsed(f.facet, f.reliability.label, f.summary, (), gate(f.reliability), ()))
            for f in known.persona.profile.facets
        )

    def _move(self, person: str, before: Known, after: Known) -> Move:
        rows = zip(self.session.schema.facets, self._facets(before), self._facets(after), strict=True)
        old, new = self._neighbors(before), self._neighbors(after)
        return Move(
            person=person,
            texts=len(after.history),
            facets=tuple(
                FacetMove(facet.name, was, now, self._score(facet, before), self._score(facet, after))
                for facet, was, now in rows
            ),
            stayed=tuple(peer for peer in new if peer in old),
            came=tuple(peer for peer in new if peer not in old),
            went=tuple(peer for peer in old if peer not in new),
            distance=distance(before.soft, after.soft),
            apart=self._apart(),
        )

    def _neighbors(self, known: Known) -> tuple[str, ...]:
        names = self.session.graph.pseudonyms
        return tuple(names[row] for row in known.persona.placement.shared.index[0].tolist() if row >= 0)

    def _score(self, facet: Facet, known: Known) -> float | None:
        if facet.kind == "categorical" or not known.history:
            return None
        return facet_score(facet, known.persona.profile.z, self.session.schema)

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


def _says(facet: str, summary: str) -> str:
    """A facet's summary without its name in front."""
    return summary.removeprefix(f"{facet}: ")
