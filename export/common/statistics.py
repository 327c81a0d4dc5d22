"""Means with bootstrap intervals over people."""

from __future__ import annotations

import numpy as np

from copersona.runtime.common.arrays import F64

DRAWS = 4000


def mean_interval(values: F64, seed: int = 0) -> dict[str, float]:
    """Mean of one value a person with its 95 % percentile bootstrap interval over people."""
    draw = np.random.default_rng(seed)
    means = np.array([values[draw.integers(0, len(values), len(values))].mean() for _ in range(DRAWS)])
    low, high = np.percentile(means, [2.5, 97.5])
    return {
        "mean": round(float(values.mean()), 5),
        "low": round(float(low), 5),
        "high": round(float(high), 5),
        "people": len(values),
    }
