"""Every mode of a guard on cases: which of two answers they choose, and what a steered layer answers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_auc_score

from copersona.export.guard.answers import Replies, reply_all, reply_key
from copersona.export.guard.calibrate import Calibration, Work
from copersona.export.guard.modes import Bools, Cases, Compared, Steered, compare, modes
from copersona.export.guard.people import Group
from copersona.runtime.common.arrays import F32, F64
from copersona.runtime.common.progress import track
from copersona.runtime.engine.wanted import Act, Watch

GAMMAS = (0.1, 0.3, 0.5, 1.0, 3.0)
MOST_STEERED = 160  # test cases of the modes that steer: an answer of each is to be computed
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

    @property
    def among_facts(self) -> float:
        """The prober's area under the curve among facts alone: spoilt against kept."""
        facts = ~self.cases.personal
        return float(roc_auc_score(~self.cases.persona[facts], self.risk[facts]))


class Steering:
    """Answers of a model whose layer is steered as the runtime does it, each computed once."""

    def __init__(self, work: Work, found: Calibration, replies: Replies) -> None:
        self._work, self._found, self._replies = work, found, replies

    def gamma(self) -> float:
        """The γ of the best Overall of the soft rule on validation; of equal ones the smaller."""
        some = Risks.of(self._work, self._found, "validation", MOST_TUNED)
        scores = [some.cases.score(self._soft(some.cases, g * self._found.vector)).overall for g in GAMMAS]
        return GAMMAS[int(np.argmax(np.round(scores, 6)))]

    def steered(self, test: Risks, gamma: float, seed: int = 0) -> Steered:
        """All that the modes need of steered answers."""
        vector = gamma * self._found.vector
        random = np.random.default_rng(seed).normal(size=len(vector))
        random *= np.linalg.norm(vector) / np.linalg.norm(random)
        hard = self._right(test.cases, test.high, "held", lambda state: Act("hold"))
        return Steered(hard, self._soft(test.cases, vector), self._soft(test.cases, random, ~test.high))

    def _soft(self, cases: Cases, direction: F32 | F64, at: Bools | None = None) -> Bools:
        probe = self._found.probed.probe

        def act(state: F32) -> Act:
            return Act("shift", ((probe(state[None])[0] - 0.5) * direction).astype(np.float32))

        name = hashlib.sha256(probe.weights.tobytes() + direction.tobytes()).hexdigest()
        return self._right(cases, np.ones(len(cases.outcomes), bool) if at is None else at, name, act)

    def _right(self, cases: Cases, at: Bools, name: str, act: Callable[[F32], Act]) -> Bools:
        """Whether steered answers are right; the persona's own, where not `at`."""
        layer, reader = self._found.layer, self._work.reader
        keys = [reply_key(one.case.request, one.case.person, f"{name} {layer}") for one in cases.outcomes]
        todo = [(k, one) for k, one, do in zip(keys, cases.outcomes, at, strict=True) if do and k not in self._replies]
        wanted = ((key, reader.watched(one, Watch(layer, act))) for key, one in track(todo, "steered answers"))
        for key, text in reply_all(reader.engine, wanted):
            self._replies.add(key, text)
        rows = zip(keys, cases.outcomes, at, strict=True)
        return np.array([one.case.right(self._replies[key]) if do else one.right for key, one, do in rows])


def evaluate(test: Risks, steered: Steered | None) -> dict[str, Compared]:
    """Every mode on test beside off."""
    return compare(test.cases, modes(test.cases, test.high, test.high_alone, steered))
