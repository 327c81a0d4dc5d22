"""Intervals of means over cases that hang together: by person, and by question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from copersona.runtime.common.arrays import F64

DRAWS = 2000


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean, its 95 % interval, and the one-sided 95 % upper bound."""

    mean: float
    low: float
    high: float
    most: float


class Clusters:
    """Weights of cases under a bootstrap that draws people and questions, both with replacement: (DRAWS, N)."""

    def __init__(self, people: Sequence[str], questions: Sequence[str], seed: int = 0) -> None:
        draw = np.random.default_rng(seed)
        self._weights = _drawn(people, draw) * _drawn(questions, draw)

    def interval(self, values: F64) -> Interval:
        """Of the mean of one value a case, (N,)."""
        return self.of([values])

    def of(self, parts: Sequence[F64]) -> Interval:
        """Of the mean of several columns' means, each over the cases where it is a number; draws without any are left
        out."""
        means = np.mean([self._means(part) for part in parts], axis=0)
        means = means[np.isfinite(means)]
        centre = float(np.mean([np.nanmean(part) for part in parts]))
        if not len(means):
            return Interval(centre, float("nan"), float("nan"), float("nan"))
        low, high, most = np.percentile(means, [2.5, 97.5, 95])
        return Interval(centre, float(low), float(high), float(most))

    def _means(self, values: F64) -> F64:
        there = np.isfinite(values)
        weights = self._weights[:, there]
        with np.errstate(invalid="ignore"):
            return np.asarray((weights @ values[there]) / weights.sum(axis=1))


def _drawn(names: Sequence[str], draw: np.random.Generator) -> F64:
    """How often each case's cluster is drawn, (DRAWS, N)."""
    known = sorted(set(names))
    index = np.array([known.index(name) for name in names])
    counts = draw.multinomial(len(known), np.full(len(known), 1 / len(known)), size=DRAWS)
    return np.asarray(counts[:, index], np.float64)
