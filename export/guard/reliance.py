"""How sure an answer is, and what is gained where the unsure ones are not given: coverage against accuracy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from copersona.export.guard.modes import Bools
from copersona.runtime.common.arrays import F64


class Curve(NamedTuple):
    """Accuracy of the surest part of the answers, by how large that part is; both (N,), coverage rising."""

    coverage: F64
    accuracy: F64


def curve(sure: F64, right: Bools) -> Curve:
    """Answers by how sure they are, the surest first. sure, right (N,)"""
    order = np.argsort(-sure, kind="stable")
    counts = np.arange(1, len(right) + 1)
    return Curve(counts / len(right), np.cumsum(right[order]) / counts)


def threshold_for(sure: F64, right: Bools, accuracy: float) -> float | None:
    """The least sureness from which on at least so many are right, None where no part of the answers is."""
    found = curve(sure, right)
    reached = np.flatnonzero(found.accuracy >= accuracy)
    return float(np.sort(sure)[::-1][reached[-1]]) if len(reached) else None
