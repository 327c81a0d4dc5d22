"""Which layer a persona moves facts in: the relative deviation of perplexity by layer, through the logit lens.

The right answer is read behind both prompts; at each layer Δ = (PPL with − PPL without) / PPL with. In degraded cases
it rises in the later layers, in beneficial ones it falls; so layers are ranked by its size in each group, and the ranks
are fused, 1 / (60 + rank) summed over both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from copersona.runtime.common.arrays import F64

FUSION = 60


@dataclass(frozen=True, slots=True)
class Located:
    """The layer chosen, and the mean deviation by layer in each group, (layers,)."""

    layer: int
    degraded: F64
    beneficial: F64
    score: F64


def deviation(with_persona: F64, without: F64) -> F64:
    """Δ by layer from mean log-probabilities of the answer by layer, (..., layers)."""
    return np.asarray(1.0 - np.exp(with_persona - without))  # PPL = exp(-mean log)


def locate(degraded: F64, beneficial: F64) -> Located:
    """The layer of best fused rank, from deviations (cases, layers) of both groups; of equal ones the later."""
    means = degraded.mean(axis=0), beneficial.mean(axis=0)
    score = sum(1.0 / (FUSION + _ranks(np.abs(mean))) for mean in means)
    best = int(np.flatnonzero(score == np.max(score))[-1])
    return Located(best, *means, np.asarray(score))


def _ranks(values: F64) -> F64:
    """1 for the largest; of equal ones the later layer first."""
    order = np.lexsort((-np.arange(len(values)), -values))
    ranks = np.empty(len(values))
    ranks[order] = np.arange(1, len(values) + 1)
    return ranks
