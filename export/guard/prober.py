"""The prober: does a state tell that the persona spoils a fact, rather than that it helps?

Logistic regression with L2 on states (N, H); positives are degraded facts, negatives personal questions that the
persona helps with. The strength is chosen on validation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from copersona.runtime.bundle.guard import LEAST_SCALE
from copersona.runtime.common.arrays import F32, F64, I64

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # inverse, of states in standard deviations
SHUFFLES = 20


@dataclass(frozen=True, slots=True)
class Probe:
    """σ(w · (h - mean) / scale + b); arrays (H,) float32."""

    mean: F32
    scale: F32
    weights: F32
    bias: float

    def __call__(self, states: F32) -> F64:
        """Probability that the persona spoils a fact, states (N, H) -> (N,)."""
        return np.asarray(expit(((states.astype(np.float64) - self.mean) / self.scale) @ self.weights + self.bias))


def fit(states: F32, labels: I64, strength: float) -> Probe:
    """A probe of states (N, H) and labels 0 or 1, (N,)."""
    mean, scale = states.mean(axis=0), np.maximum(states.std(axis=0), LEAST_SCALE)
    model = LogisticRegression(C=strength, max_iter=1000, class_weight="balanced").fit((states - mean) / scale, labels)
    return Probe(mean, scale, model.coef_[0].astype(np.float32), float(model.intercept_[0]))


def fit_best(states: F32, labels: I64, held: F32, held_labels: I64) -> Probe:
    """The probe of the strength that ranks what was held best; of equals the strongest regularisation."""
    probes = [fit(states, labels, strength) for strength in STRENGTHS]
    return max(probes, key=lambda probe: round(auc(probe, held, held_labels), 4))


def auc(probe: Probe, states: F32, labels: I64) -> float:
    """Area under the curve; 0.5 where only one label is there."""
    return float(roc_auc_score(labels, probe(states))) if len(set(labels.tolist())) == 2 else 0.5


def shuffled_auc(states: F32, labels: I64, held: F32, held_labels: I64, seed: int = 0) -> float:
    """Mean AUC of probes of shuffled labels, which is what chance gives at this many numbers a state."""
    draw = np.random.default_rng(seed)
    probes = (fit(states, draw.permutation(labels), STRENGTHS[1]) for _ in range(SHUFFLES))
    return float(np.mean([auc(probe, held, held_labels) for probe in probes]))
