"""What each mode of the guard makes of the cases: right or wrong, composed of answers that were computed once.

Off is the persona's answer. Where the risk reaches τ, *regenerate* answers as nobody and *H* takes the persona's shift
out of the layer; *S* shifts every answer by β = γ (risk − 0.5) along the steering vector; *M* is S below τ and H above.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from copersona.export.guard.asking import Outcome
from copersona.export.guard.resampling import Clusters, Interval
from copersona.runtime.common.arrays import F64

Bools = NDArray[np.bool_]
THRESHOLDS = np.round(np.arange(0.05, 1.0, 0.01), 2)


@dataclass(frozen=True, slots=True)
class Steered:
    """Whether answers of a steered model are right, (N,) each: shift taken out, soft rule, soft rule of a random
    vector. Where a mode answers otherwise they are not looked at."""

    hard: Bools
    soft: Bools
    random: Bools


@dataclass(frozen=True, slots=True)
class Cases:
    """Cases in order: `plain` and `persona` are whether nobody's and the persona's answers are right, `personal` which
    are personal, (N,) each."""

    outcomes: Sequence[Outcome]
    plain: Bools
    persona: Bools
    personal: Bools

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> Cases:
        """The personal cases, and the facts that nobody answers rightly: of others a persona can spoil nothing."""
        kept = [one for one in outcomes if one.case.kind == "personal" or one.plain_right]
        return cls(
            kept,
            np.array([one.plain_right for one in kept], bool),
            np.array([one.right for one in kept], bool),
            np.array([one.case.kind == "personal" for one in kept], bool),
        )

    @property
    def clusters(self) -> Clusters:
        return Clusters([one.case.person for one in self.outcomes], [one.case.question for one in self.outcomes])

    def score(self, right: Bools) -> Score:
        """P, F and Overall of a mode."""
        p, f = float(right[self.personal].mean()), float(right[~self.personal].mean())
        return Score(p, f, (p + f) / 2)

    def parts(self, right: F64) -> tuple[F64, F64]:
        """The values of personal cases and of facts, NaN elsewhere."""
        return np.where(self.personal, right, np.nan), np.where(self.personal, np.nan, right)


@dataclass(frozen=True, slots=True)
class Score:
    """Share of personal questions right, of facts that nobody knows still right, and the mean of both."""

    p: float
    f: float
    overall: float


def gated(cases: Cases, at: Bools, otherwise: Bools | None = None) -> Bools:
    """Nobody's answers where `at`, the persona's (or `otherwise`) elsewhere."""
    return np.where(at, cases.plain, cases.persona if otherwise is None else otherwise)


def modes(cases: Cases, high: Bools, high_alone: Bools, steered: Steered | None, seed: int = 0) -> dict[str, Bools]:
    """Right or wrong by mode; `high` is where the probe's risk reaches τ, `high_alone` where that of the probe of the
    request alone does. The random probe is as often high as the probe."""
    found = {
        "off": cases.persona,
        "always nobody": cases.plain,
        "regenerate": gated(cases, high),
        "regenerate, by the request alone": gated(cases, high_alone),
        "regenerate, random probe": gated(cases, np.random.default_rng(seed).permutation(high)),
    }
    if steered is not None:
        found |= {
            "H": np.where(high, steered.hard, cases.persona),
            "S": steered.soft,
            "M": np.where(high, steered.hard, steered.soft),
            "M, random vector": np.where(high, steered.hard, steered.random),
        }
    return found


def best_threshold(cases: Cases, risk: F64) -> float:
    """The τ of the best Overall of *regenerate*; of equal ones the middle."""
    scores = [round(cases.score(gated(cases, risk >= t)).overall, 6) for t in THRESHOLDS]
    best = [t for t, score in zip(THRESHOLDS, scores, strict=True) if score == max(scores)]
    return float(best[len(best) // 2])


@dataclass(frozen=True, slots=True)
class Compared:
    """A mode: its scores with intervals, what it loses of P and gains of Overall against off, and how far its Overall
    is behind that of *regenerate*."""

    p: Interval
    f: Interval
    overall: Interval
    p_lost: Interval
    gained: Interval
    behind: Interval


def compare(cases: Cases, found: Mapping[str, Bools]) -> dict[str, Compared]:
    """Every mode beside off and *regenerate*, intervals clustered by person and question."""
    clusters, off, best = cases.clusters, found["off"].astype(np.float64), found["regenerate"].astype(np.float64)
    rows = {}
    for name, right in found.items():
        value = right.astype(np.float64)
        personal, facts = cases.parts(value)
        rows[name] = Compared(
            clusters.of([personal]),
            clusters.of([facts]),
            clusters.of([personal, facts]),
            clusters.of([cases.parts(off - value)[0]]),
            clusters.of(cases.parts(value - off)),
            clusters.of(cases.parts(best - value)),
        )
    return rows
