"""Exact nearest neighbours over the persona graph: top-k cosine, blocked, in numpy.

One implementation serves the export, which builds the stored adjacency with it, and the device, which places a new
person. Vectors are centred unit rows, so a dot product is a cosine. Paper, section 3.2; METHOD 1.4 to 1.7.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from copersona.runtime.arrays import F32, I32, unit_rows
from copersona.runtime.facets import OMEGA, Reliability

THRESHOLD = 0.35  # on the raw centred cosine, never on the gated weight (METHOD 1.4)
PER_FACET = 5
SHARED = 5
BLOCK = 512  # query rows a block: bounds memory at BLOCK x U floats
GROUP = 64


class Edges(NamedTuple):
    """Neighbours of Q people in M layers, best first; -1 and 0 where fewer than K qualify."""

    index: I32  # type: ignore[assignment]  # a field may be called what a method of tuple is called
    """(Q, M, K) int32 rows of the peer matrix."""
    cosine: F32
    """(Q, M, K) float32 raw centred cosine (equation 5)."""
    weight: F32
    """(Q, M, K) float32 reliability-gated weight (equation 6)."""


class Ranked(NamedTuple):
    """Best peers of Q people, best first; -1 and 0 where fewer qualify. index (Q, K) int32, similarity (Q, K)
    float32."""

    index: I32  # type: ignore[assignment]
    similarity: F32


def top_k(scores: F32, k: int) -> Ranked:
    """Best k columns of each row, ties by the smaller index; -inf never qualifies. (Q, U) float32.

    Two exact passes: the k best entries lie in the k groups of columns with the largest maxima, so only those are
    sorted.
    """
    rows, columns = scores.shape
    k_all = min(k, columns)
    whole = columns // GROUP * GROUP
    if columns > 4 * GROUP * k_all:
        maxima = scores[:, :whole].reshape(rows, -1, GROUP).max(axis=2)
        groups = np.sort(np.argpartition(-maxima, k_all - 1, axis=1)[:, :k_all], axis=1)
        candidates = (groups[:, :, None] * GROUP + np.arange(GROUP)).reshape(rows, -1)
        tail = np.broadcast_to(np.arange(whole, columns), (rows, columns - whole))
        candidates = np.concatenate([candidates, tail], axis=1)
        values = np.take_along_axis(scores, candidates, axis=1)
    else:
        candidates = np.broadcast_to(np.arange(columns), scores.shape)
        values = scores
    order = np.argsort(-values, axis=1, kind="stable")[:, :k_all]
    best = np.take_along_axis(values, order, axis=1)
    index = np.where(np.isneginf(best), -1, np.take_along_axis(candidates, order, axis=1))
    found = Ranked(index.astype(np.int32), np.where(index < 0, 0, best).astype(np.float32))
    if k_all == k:
        return found
    missing = ((0, 0), (0, k - k_all))
    return Ranked(np.pad(found.index, missing, constant_values=-1), np.pad(found.similarity, missing))


def facet_edges(
    vectors: F32,
    labels: I32,
    peers: F32,
    peer_labels: I32,
    *,
    exclude: I32,
    k: int = PER_FACET,
    threshold: float = THRESHOLD,
) -> Edges:
    """Top-k peers in each layer by gated weight among those with raw cosine >= threshold and both ends observed.

    Args:
        vectors: (Q, M, D) float32 centred unit rows of the people asked for; labels: (Q, M) int32 reliabilities.
        peers: (M, U, D) float32, the graph; peer_labels: (U, M) int32.
        exclude: (Q,) int32, each person's own row in the graph, -1 for none: nobody is their own neighbour.
    """
    people, layers = labels.shape
    index = np.full((people, layers, k), -1, dtype=np.int32)
    cosine, weight = np.zeros((people, layers, k), dtype=np.float32), np.zeros((people, layers, k), dtype=np.float32)
    for layer in range(layers):
        for start in range(0, people, BLOCK):
            block = slice(start, start + BLOCK)
            raw = vectors[block, layer] @ peers[layer].T
            allowed = (raw >= threshold) & _observed(peer_labels[:, layer]) & _observed(labels[block, layer])[:, None]
            _hide_self(allowed, exclude[block])
            gated = raw * OMEGA[labels[block, layer]][:, None] * OMEGA[peer_labels[:, layer]]
            best = top_k(np.where(allowed, gated, np.float32(-np.inf)), k)
            index[block, layer], weight[block, layer] = best
            picked = np.take_along_axis(raw, np.maximum(best.index, 0), axis=1)
            cosine[block, layer] = np.where(best.index < 0, 0, picked)
    return Edges(index, cosine, weight)


def anchors_of(vectors: F32, labels: I32) -> F32:
    """Anchor of each person: ω-weighted mean of the observed facet vectors, re-normalised (METHOD 1.7).

    (..., M, D), (..., M) -> (..., D) float32 unit rows; zeros where nothing is observed.
    """
    weight = OMEGA[labels] * _observed(labels)
    return unit_rows((vectors * weight[..., None]).sum(axis=-2))


def shared_neighbors(anchors: F32, graph_anchors: F32, *, exclude: I32, k: int = SHARED) -> Ranked:
    """N_u of the parametric branch: top-k by anchor cosine. (Q, D), (U, D) -> (Q, k)."""
    index, similarity = np.full((len(anchors), k), -1, np.int32), np.zeros((len(anchors), k), np.float32)
    present = np.abs(graph_anchors).max(axis=1, initial=0) > 0
    for start in range(0, len(anchors), BLOCK):
        block = slice(start, start + BLOCK)
        asked = np.abs(anchors[block]).max(axis=1) > 0
        allowed = asked[:, None] & present
        _hide_self(allowed, exclude[block])
        scores = np.where(allowed, anchors[block] @ graph_anchors.T, np.float32(-np.inf))
        index[block], similarity[block] = top_k(scores, k)
    return Ranked(index, similarity)


def combined_similarity(vectors: F32, labels: I32, peers: F32, peer_labels: I32, *, exclude: I32) -> F32:
    """(1/M) Σ_m ω(r_u) ω(r_v) cos_m(u, v) over facets observed for both (METHOD 0). -> (Q, U) float32, -inf for
    oneself."""
    total = np.zeros((len(labels), len(peer_labels)), dtype=np.float32)
    for layer in range(labels.shape[1]):
        own = OMEGA[labels[:, layer]] * _observed(labels[:, layer])
        theirs = OMEGA[peer_labels[:, layer]] * _observed(peer_labels[:, layer])
        total += (vectors[:, layer] @ peers[layer].T) * own[:, None] * theirs
    total /= np.float32(labels.shape[1])
    allowed = np.ones(total.shape, dtype=bool)
    _hide_self(allowed, exclude)
    return np.where(allowed, total, np.float32(-np.inf))


def _observed(labels: I32) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    observed: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] = labels >= int(Reliability.MODERATE)
    return observed


def _hide_self(allowed: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], exclude: I32) -> None:
    known = np.flatnonzero(exclude >= 0)
    allowed[known, exclude[known]] = False
