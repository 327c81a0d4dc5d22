"""Every mode of a guard on cases: which of two answers they choose, and what a steered layer answers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from copersona.export.guard.answers import Replies, Reply, reply_key
from copersona.export.guard.asking import Outcome
from copersona.export.guard.calibrate import Calibration, Work
from copersona.export.guard.modes import Bools, Cases, Compared, Steered, compare, modes
from copersona.export.guard.people import Group
from copersona.runtime.common.arrays import F32, F64
from copersona.runtime.common.progress import track

GAMMAS = (0.1, 0.3, 0.5, 1.0, 3.0)
MOST_TUNED = 80  # validation cases that γ is chosen by


@dataclass(frozen=True, slots=True)
class Risks:
    """Cases of a group, (N,), the prober's probability of each, and where both probes reach their thresholds."""

    cases: Cases
    risk: F64
    high: Bools
    high_alone: Bools

    @classmethod
    def of(cls, work: Work, found: Calibration, group: Group, most: int | None = None) -> Risks:
        """Of a group's cases, or of `most` of them spread over all."""
        outcomes = Cases.of(work.of(group)).outcomes
        cases = Cases.of(outcomes[:: max(len(outcomes) // most, 1)] if most else outcomes)
        risk, alone = (
            one.probe(work.states.of(cases.outcomes, persona=persona)[:, found.layer])
            for one, persona in ((found.probed, True), (found.alone, False))
        )
        return cls(cases, risk, risk >= found.probed.tau, alone >= found.alone.tau)


class Steering:
    """Answers of a model whose layer is shifted, each computed once."""

    def __init__(self, work: Work, found: Calibration, replies: Replies) -> None:
        self._work, self._found, self._replies = work, found, replies

    def gamma(self) -> float:
        """The γ of the best Overall of the soft rule on validation; of equal ones the smaller."""
        some = Risks.of(self._work, self._found, "validation", MOST_TUNED)
        scores = [some.cases.score(self._soft(some, g * self._found.vector)).overall for g in GAMMAS]
        return GAMMAS[int(np.argmax(np.round(scores, 6)))]

    def steered(self, test: Risks, gamma: float, seed: int = 0) -> Steered:
        """All that the modes need of steered answers."""
        vector = self._found.vector
        random = np.random.default_rng(seed).normal(size=len(vector))
        random *= np.linalg.norm(vector) / np.linalg.norm(random)
        hard = self._right(test.cases.outcomes, self._taken_out(test), test.high)
        soft = self._soft(test, gamma * vector)
        other = self._soft(test, gamma * random.astype(np.float32), ~test.high)
        return Steered(hard, soft, other)

    def _taken_out(self, risks: Risks) -> Iterable[F32]:
        """The persona's shift at the last token of the prompt, to be held through the answer with its sign changed."""
        layer, states = self._found.layer, self._work.states
        for one in risks.cases.outcomes:
            yield (states.of([one], persona=False) - states.of([one]))[0, layer]

    def _soft(self, risks: Risks, direction: F32, at: Bools | None = None) -> Bools:
        shifts = (np.float32(risk - 0.5) * direction for risk in risks.risk)
        return self._right(risks.cases.outcomes, shifts, np.ones(len(risks.risk), bool) if at is None else at)

    def _right(self, outcomes: Iterable[Outcome], shifts: Iterable[F32], at: Bools) -> Bools:
        rows = track(zip(outcomes, shifts, at, strict=True), "steered answers", total=len(at))
        return np.array([one.case.right(self._answer(one, shift)) if do else one.right for one, shift, do in rows])

    def _answer(self, one: Outcome, shift: F32) -> str:
        layer, request, person = self._found.layer, one.case.request, one.case.person
        mode = f"{layer} {hashlib.sha256(shift.astype(np.float16).tobytes()).hexdigest()}"
        key = reply_key(request, person, mode)
        if key not in self._replies:
            text = self._work.reader.shifted(request, self._work.asking.known(person), layer, shift)
            self._replies.add([(key, Reply(text, 0.0))])
        return self._replies[key].text


def evaluate(test: Risks, steered: Steered | None) -> dict[str, Compared]:
    """Every mode on test beside off."""
    return compare(test.cases, modes(test.cases, test.high, test.high_alone, steered))
