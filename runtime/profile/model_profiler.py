"""History to facet profiles by a language model, checked claim by claim (paper, section 3.1).

The model sees a person's latest interactions; `claims.py` says what it is asked and what of its answer counts.
What is measured (z, support, the features in a vector) stays as `profiler.py` has it, so both kinds of profile live in
one graph.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from copersona.runtime.chat.ledger import Ledger, Replies
from copersona.runtime.common.arrays import F32
from copersona.runtime.common.errors import ModelError, ModelRefused, ModelSilent
from copersona.runtime.common.progress import note, track
from copersona.runtime.history.interactions import clean_text
from copersona.runtime.profile.claims import PROMPT, Claim, check_claim, make_ask, read_claims
from copersona.runtime.profile.facets import PLACEHOLDER, FacetProfile, FacetSchema, Profile
from copersona.runtime.profile.profiler import (
    RECENT,
    Encode,
    assemble,
    bearing_sentences,
    evidence_text,
    facet_vector,
    measure,
    profile_history,
    standardise,
    support,
)

LATEST = 6  # interactions that the model sees of a person
TEXT_CHARACTERS = 1_500  # of each
ATTEMPTS = 3  # asks for one person before the statistical profiler takes over
REFUSALS = 5  # asks refused before any was answered: then it is not the asks


@dataclass(slots=True)
class Counts:
    """What became of the model's claims. `invented` are quotes that do not stand in the person's own texts."""

    people: int = 0
    by_statistics: int = 0
    asked_again: int = 0
    quotes: int = 0
    invented: int = 0
    lowered: int = 0


class ModelProfiler:
    """Profiles by the ledger's model; a person of whom it gives no valid answer is profiled by statistics and counted.

    Safe to share between threads as far as the model is.
    """

    def __init__(self, ledger: Ledger, *, people_per_call: int = 4, workers: int = 1) -> None:
        self._ledger, self._people, self._workers = ledger, people_per_call, workers
        self._lock, self._refused, self._answered = threading.Lock(), 0, 0
        self.why = ""  # the last fault of an answer, for people; of a model that answers well, none
        self._hopeless = ""  # why no more is asked: calls already waiting in the pool see it and stop
        self.counts = Counts()

    @property
    def by(self) -> str:
        """What made these profiles, for manifests and receipts."""
        return f"{self._ledger.name}, {PROMPT}"

    def remembering(self, replies: Replies) -> ModelProfiler:
        """The same profiler with another memory of answers."""
        return ModelProfiler(self._ledger.remembering(replies), people_per_call=self._people, workers=self._workers)

    def profile(
        self, texts: Sequence[str], schema: FacetSchema, encode: Encode, left_out: Collection[str] = ()
    ) -> Profile:
        """As `profiler.profile_history`, by the model. Raises ModelError where it cannot be reached."""
        return self._batch([texts], schema, encode, left_out)[0]

    def profile_many(
        self, histories: Sequence[Sequence[str]], schema: FacetSchema, encode: Encode, groups: Sequence[int] = ()
    ) -> list[Profile]:
        """Profiles of several people, several a call, in order; `encode` is called from `workers` threads.

        Histories of different `groups` never share a call: what one of them holds may be the future of another.

        Raises:
            ModelError: the model cannot be reached, `max_calls` is too low, or no single answer is valid.
        """
        batches = _batches(groups or [0] * len(histories), self._people)
        shown = ([texts for i in batch if (texts := _shown(histories[i]))] for batch in batches)
        asks = [make_ask(people, schema) for people in shown if people]
        note(self._ledger.estimate(asks, "profiles").line("profiles", self._ledger.name))
        done: dict[int, Profile] = {}
        pool = ThreadPoolExecutor(self._workers)
        try:
            work = pool.map(lambda batch: self._batch([histories[i] for i in batch], schema, encode), batches)
            for batch, profiles in zip(batches, track(work, "profiling", total=len(batches)), strict=True):
                done.update(zip(batch, profiles, strict=True))
        finally:
            pool.shutdown(cancel_futures=True)
        if self.counts.people and self.counts.by_statistics == self.counts.people:
            raise ModelError(
                f"{self._ledger.name} gave no valid answer for any of {self.counts.people} people ({self.why}); such "
                "answers are not kept: see to the model and give the same command, or have profiles made by statistics"
            )
        return [done[i] for i in range(len(histories))]

    def _batch(
        self, histories: Sequence[Sequence[str]], schema: FacetSchema, encode: Encode, left_out: Collection[str] = ()
    ) -> list[Profile]:
        shown = [_shown(texts) for texts in histories]
        asked = [i for i, texts in enumerate(shown) if texts]
        claims = dict(zip(asked, self._claims([shown[i] for i in asked], schema), strict=True))
        profiles = []
        for i, texts in enumerate(histories):
            found = claims.get(i)
            self._count(people=int(i in claims), by_statistics=int(i in claims and found is None))
            if found is None:
                profiles.append(profile_history(texts, schema, encode, left_out))
            else:
                checked = [self._check(_without(claim, left_out), shown[i]) for claim in found]
                profiles.append(make_profile(texts, checked, schema, encode, self.by, left_out))
        return profiles

    def _claims(self, people: Sequence[Sequence[str]], schema: FacetSchema) -> list[tuple[Claim, ...] | None]:
        """Valid claims about each person; whose are not is asked about again, None after ATTEMPTS."""
        found: list[tuple[Claim, ...] | None] = [None] * len(people)
        faults: dict[int, str] = dict.fromkeys(range(len(people)), "")
        for attempt in range(ATTEMPTS):
            if not faults:
                break
            self._count(asked_again=len(faults) if attempt else 0)
            ask = make_ask([people[i] for i in faults], schema, attempt, sorted(set(faults.values()) - {""}))
            if self._hopeless:
                raise ModelError(self._hopeless)
            try:
                reply = self._ledger.complete(ask, partial(_counts, people=len(faults), schema=schema))
            except ModelSilent as error:
                self._refuse(error)
                faults = dict.fromkeys(faults, "there was no text")
                continue
            except ModelRefused as error:
                self._refuse(error)
                return found if len(people) == 1 else self._alone(people, found, schema)
            self._answered += 1
            read = read_claims(reply.text, len(faults), schema)
            for i, claims in zip(tuple(faults), read, strict=True):
                if isinstance(claims, str):
                    faults[i] = self.why = claims
                else:
                    found[i] = claims
                    del faults[i]
        return found

    def _alone(
        self, people: Sequence[Sequence[str]], found: Sequence[tuple[Claim, ...] | None], schema: FacetSchema
    ) -> list[tuple[Claim, ...] | None]:
        """Those without claims again, one by one: together they may have been too much for the model."""
        return [
            self._claims([texts], schema)[0] if claims is None else claims
            for texts, claims in zip(people, found, strict=True)
        ]

    def _refuse(self, error: ModelRefused) -> None:
        with self._lock:
            self.why = str(error)
            self._refused += 1
            if not self._answered and self._refused >= REFUSALS:
                self._hopeless = f"{error}; {self._refused} different requests were refused and none was answered"
        if self._hopeless:
            raise ModelError(self._hopeless)

    def _check(self, claim: Claim, texts: Sequence[str]) -> Claim:
        checked = check_claim(claim, texts)
        self._count(
            quotes=len(claim.quotes),
            invented=sum(not any(clean_text(quote) in text for text in texts) for quote in claim.quotes),
            lowered=int(checked.reliability < claim.reliability),
        )
        return checked

    def _count(self, **more: int) -> None:
        with self._lock:
            for name, number in more.items():
                setattr(self.counts, name, getattr(self.counts, name) + number)


def _counts(text: str, people: int, schema: FacetSchema) -> bool:
    """Whether an answer holds valid claims about anybody."""
    return any(not isinstance(claims, str) for claims in read_claims(text, people, schema))


def _shown(texts: Sequence[str]) -> tuple[str, ...]:
    """A person's latest texts as the model sees them, oldest first."""
    clean = [t for t in map(clean_text, texts[-RECENT:]) if t]
    return tuple(text[:TEXT_CHARACTERS].rstrip() for text in clean[-LATEST:])


def _batches(groups: Sequence[int], size: int) -> list[list[int]]:
    """Places of each group, `size` at a time."""
    by_group: dict[int, list[int]] = {}
    for place, group in enumerate(groups):
        by_group.setdefault(group, []).append(place)
    return [rows[start : start + size] for rows in by_group.values() for start in range(0, len(rows), size)]


def _without(claim: Claim, left_out: Collection[str]) -> Claim:
    """The claim without quotes that hold one of these."""
    return replace(claim, quotes=tuple(q for q in claim.quotes if not any(left in q for left in left_out)))


def make_profile(
    texts: Sequence[str], claims: Sequence[Claim], schema: FacetSchema, encode: Encode, by: str,
    left_out: Collection[str] = (),
) -> Profile:  # fmt: skip
    """The profile of checked claims: what the model says of a facet beside what is measured of it."""
    clean = [t for t in map(clean_text, texts[-RECENT:]) if t]
    evidence = measure(clean, schema)
    z = standardise(evidence.values, schema)
    rows: list[tuple[FacetProfile, F32 | None]] = []
    for facet, claim in zip(schema.facets, claims, strict=True):
        figure = support(facet, evidence, schema)
        if not claim.reliability.observed:
            rows.append((FacetProfile(facet.name, PLACEHOLDER, (), claim.reliability, figure), None))
            continue
        summary = f"{facet.name}: {claim.value}" + (f" ({claim.note})" if claim.note else "")
        bearing = bearing_sentences(facet, clean, z, schema, left_out)
        sentences = [*claim.quotes, *(s for s in bearing if s not in claim.quotes)]
        vector = facet_vector(facet, z, encode(evidence_text(summary, sentences)), schema)
        rows.append((FacetProfile(facet.name, summary, claim.quotes, claim.reliability, figure), vector))
    return assemble(rows, z, schema, encode, by)
