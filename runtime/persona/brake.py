"""The near-twin brake: someone almost alike misleads most where they differ, since nothing hedges.

Of the nearest, those are taken who are unlike each other too (`diverse`). How far all of them are believed (`trust`)
falls with how few they are, with how far the best stands out, and with how little the person's own texts support: as if
average people stood beside them. Strength 0 is off: the nearest, wholly believed. Training and device call the same
functions.
"""

from __future__ import annotations

import numpy as np

from copersona.runtime.common.arrays import F32, I32, Bool
from copersona.runtime.persona.neighbors import Ranked
from copersona.runtime.profile.facets import OMEGA

STRONGEST = 100.0
POOL = 20  # nearest peers among whom a diverse few are chosen
NEARNESS = 0.8  # what nearness counts for in that choice; the rest is unlikeness to those chosen before
MOST = 0.5  # what one peer may count for
SAID_FROM = 0.5  # text cannot half believe: from here on, saying it is nearer to the truth than saying nothing
TINY = np.float32(1e-12)


def own_reliability(labels: I32) -> float:
    """Mean ω of a person's labels (M,): how much their own texts support, in (0, 1)."""
    return float(OMEGA[labels].mean())


def trust(similarity: F32, present: Bool, own: float, strength: float) -> F32:
    """How far peers are believed, facet by facet: n / (n + strength (1 - own)² (1 + margin)).

    n is the effective number of peers, (Σ s)² / Σ s²; the margin is how far the best is above the mean of the others,
    as a share of the best, 1 where it is alone; `own` is the person's own reliability. One peer counts for MOST
    at most.
    (K,), (K, M) -> (M,) float32 in [0, 1], 0 where nobody is present; all 1 with strength 0.
    """
    if not strength:
        return np.ones(present.shape[1], np.float32)
    near = np.maximum(similarity, 0)[:, None] * present
    total, best, count = near.sum(axis=0), near.max(axis=0, initial=0), (near > 0).sum(axis=0)
    effective = total**2 / np.maximum((near**2).sum(axis=0), TINY)
    margin = 1 - (total - best) / np.maximum(count - 1, 1) / np.maximum(best, TINY)
    believed = effective / np.maximum(effective + strength * (1 - own) ** 2 * (1 + margin), TINY)
    share: F32 = np.minimum(believed, MOST * count).astype(np.float32)
    return share


def diverse(relevance: F32, vectors: F32, k: int, nearness: float = NEARNESS) -> list[int]:
    """Which k of P peers, by maximal marginal relevance: near the person, and unlike those chosen before.

    relevance (P,) above 0, falling; vectors (P, D) unit rows. With a nearness of 1 they are the first k.
    """
    worth, likeness, chosen = relevance / max(relevance[:1].sum(), TINY), np.full(len(relevance), -1.0), list[int]()
    for _ in range(min(k, len(relevance))):
        value = nearness * worth - (1 - nearness) * likeness
        value[chosen] = -np.inf
        chosen.append(int(value.argmax()))
        likeness = np.maximum(likeness, vectors @ vectors[chosen[-1]])
    return chosen


def spread(found: Ranked, anchors: F32, k: int) -> Ranked:
    """A diverse k of one person's ranked peers. (1, P), (U, D) -> (1, k)."""
    there = found.index[0] >= 0
    rows, near = found.index[0, there], found.similarity[0, there]
    chosen = diverse(near, anchors[rows], k)
    index, similarity = np.full((1, k), -1, np.int32), np.zeros((1, k), np.float32)
    index[0, : len(chosen)], similarity[0, : len(chosen)] = rows[chosen], near[chosen]
    return Ranked(index, similarity)
