"""Statistics over people: paired differences with bootstrap intervals, sign-flip tests, Holm's correction, and the
smallest difference that so many people can show.

Every value is one person's; a person is the unit that is drawn, flipped and counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from copersona.runtime.common.arrays import F64

DRAWS = 10_000
BLOCK = 500  # draws held at once
DETECT = 1.959964 + 0.841621  # two-sided 5 % and a power of 80 %, in standard errors


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean of paired differences over people, its 95 % percentile bootstrap interval, and p of no difference.

    `smallest` is the difference that this many people with this spread show with a power of 80 %.
    """

    mean: float
    low: float
    high: float
    p: float
    smallest: float
    people: int


def paired(values: F64, against: F64, seed: int = 0) -> Difference:
    """`values` minus `against`, both (n,), one person a place. An interval needs two people; with one it is a point
    and p is 1."""
    gaps = np.asarray(values, np.float64) - np.asarray(against, np.float64)
    if len(gaps) < 2:
        mean = float(gaps.mean()) if len(gaps) else float("nan")
        return Difference(mean, mean, mean, 1.0, float("inf"), len(gaps))
    low, high = np.percentile(bootstrap_means(gaps, seed), [2.5, 97.5])
    error = float(gaps.std(ddof=1)) / len(gaps) ** 0.5
    return Difference(float(gaps.mean()), float(low), float(high), sign_flip(gaps, seed), DETECT * error, len(gaps))


def bootstrap_means(values: F64, seed: int = 0, draws: int = DRAWS) -> F64:
    """Means of `draws` samples of people with replacement, (draws,)."""
    draw, n = np.random.default_rng(seed), len(values)
    blocks = [values[draw.integers(0, n, (min(BLOCK, draws - at), n))].mean(axis=1) for at in range(0, draws, BLOCK)]
    return np.concatenate(blocks)


def bootstrap_ratios(above: F64, below: F64, seed: int = 0, draws: int = DRAWS) -> F64:
    """Ratios of sums over people, column by column, of `draws` samples with replacement: (n, c) each -> (draws, c)."""
    draw, n, found = np.random.default_rng(seed), len(above), []
    for at in range(0, draws, BLOCK):
        times = draw.multinomial(n, np.full(n, 1 / n), min(BLOCK, draws - at)).astype(
            np.float64
        )  # how often each is in
        with np.errstate(invalid="ignore", divide="ignore"):  # nobody of a column in a sample: not a number
            found.append((times @ above) / (times @ below))
    return np.concatenate(found)


def sign_flip(gaps: F64, seed: int = 0, draws: int = DRAWS) -> float:
    """Two-sided p that the mean is zero, if gaps are as likely to be of either sign: all flips where there are few
    people, `draws` random ones otherwise."""
    n = len(gaps)
    seen = abs(gaps.mean()) - 1e-12 * float(np.abs(gaps).max(initial=0))
    if 2**n <= draws:
        signs = 1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)  # (2**n, n)
        return float((np.abs(signs @ gaps / n) >= seen).mean())
    draw, beyond = np.random.default_rng([seed, 1]), 0
    for at in range(0, draws, BLOCK):
        signs = 1.0 - 2.0 * draw.integers(0, 2, (min(BLOCK, draws - at), n))
        beyond += int((np.abs(signs @ gaps / n) >= seen).sum())
    return (1 + beyond) / (1 + draws)


def holm(p: Sequence[float]) -> list[float]:
    """p adjusted for as many comparisons, in the order given (Holm 1979)."""
    order = np.argsort(p, kind="stable")
    adjusted: NDArray[np.float64] = np.empty(len(p))
    worst = 0.0
    for rank, place in enumerate(order):
        worst = max(worst, min(1.0, (len(p) - rank) * p[place]))
        adjusted[place] = worst
    return [float(value) for value in adjusted]


def interval(values: F64, seed: int = 0) -> tuple[float, float, float]:
    """Mean with its 95 % percentile bootstrap interval over people."""
    if len(values) < 2:
        mean = float(values.mean()) if len(values) else float("nan")
        return mean, mean, mean
    low, high = np.percentile(bootstrap_means(np.asarray(values, np.float64), seed), [2.5, 97.5])
    return float(values.mean()), float(low), float(high)
