"""Exact nearest neighbours over the persona graph: top-k cosine, blocked, in numpy.

One implementation serves the export, which builds the stored adjacency with it, and the device, which places a new
person. Vectors are centred unit rows, so a dot product is a cosine. Paper, section 3.2 and appendix C.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from copersona.runtime.common.arrays import F32, I32, I64, Bool, unit_rows
from copersona.runtime.profile.facets import OMEGA, Reliability

THRESHOLD = 0.35  # on the raw centred cosine, never on the gated weight, which few pairs would pass
PER_FACET = 5
SHARED = 5
BLOCK = 512  # query rows a block: bounds memory at BLOCK x U floats
GROUP = 64  # columns of which only the best one is looked at first
TILE = 4_096  # columns gated at once


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
    """Best k columns of each row, ties by the smaller index; -inf never qualifies. (Q, U) float32."""
    return _best(scores, k, lambda part, columns: part)


Gate = Callable[[F32, slice | I64], F32]
"""Scores of some columns, given as a slice or as (Q, n) indices, to what they are ranked by; -inf does not qualify."""


def _best(scores: F32, k: int, gate: Gate) -> Ranked:
    """`top_k` of what `gate` makes of the scores, without ever holding all of that."""
    columns = scores.shape[1]
    k_all = min(k, columns)
    if columns > 4 * GROUP * k_all:
        candidates = _candidates(scores, k_all, gate)
        values = gate(np.take_along_axis(scores, candidates, axis=1), candidates)
    else:
        candidates = np.broadcast_to(np.arange(columns), scores.shape)
        values = gate(scores, slice(0, columns))
    order = np.argsort(-values, axis=1, kind="stable")[:, :k_all]
    best = np.take_along_axis(values, order, axis=1)
    index = np.where(np.isneginf(best), -1, np.take_along_axis(candidates, order, axis=1))
    found = Ranked(index.astype(np.int32), np.where(index < 0, 0, best).astype(np.float32))
    if k_all == k:
        return found
    missing = ((0, 0), (0, k - k_all))
    return Ranked(np.pad(found.index, missing, constant_values=-1), np.pad(found.similarity, missing))


def _candidates(scores: F32, k: int, gate: Gate) -> I64:
    """Columns that hold the k best of each row, in rising order: exact, as these lie in the k groups of columns with
    the largest maxima. (Q, n) int64.

    A group is every n-th column of a tile of n x GROUP, so that maxima are taken along memory, and while a tile is in
    the processor's cache.
    """
    rows, columns = scores.shape
    whole = columns // GROUP * GROUP
    maxima, first, step = [], [], []
    for start in range(0, whole, TILE):
        tile = slice(start, min(start + TILE, whole))
        groups = (tile.stop - start) // GROUP
        maxima.append(gate(scores[:, tile], tile).reshape(rows, GROUP, groups).max(axis=1))
        first.append(np.arange(start, start + groups))
        step.append(np.full(groups, groups))
    best = np.argpartition(-np.concatenate(maxima, axis=1), k - 1, axis=1)[:, :k]
    found = np.concatenate(first)[best][..., None] + np.concatenate(step)[best][..., None] * np.arange(GROUP)
    tail = np.broadcast_to(np.arange(whole, columns), (rows, columns - whole))
    return np.sort(np.concatenate([found.reshape(rows, -1), tail], axis=1), axis=1)


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
    edges = _no_edges(labels, k)
    for layer in range(labels.shape[1]):
        rows = np.flatnonzero(_observed(labels[:, layer]))
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK]
            raw = _without_self(vectors[block, layer] @ peers[layer].T, exclude[block])
            _join(edges, block, layer, raw, labels[block, layer], peer_labels[:, layer], threshold)
            del raw  # before the next one is made
    return edges


def edges_and_similarity(
    vectors: F32,
    labels: I32,
    peers: F32,
    peer_labels: I32,
    *,
    exclude: I32,
    k: int = PER_FACET,
    threshold: float = THRESHOLD,
) -> tuple[Edges, F32]:
    """`facet_edges` and `combined_similarity` of a few people, from one pass over the peers' vectors."""
    edges, total = _no_edges(labels, k), np.zeros((len(labels), len(peer_labels)), np.float32)
    for layer in range(labels.shape[1]):
        rows = np.flatnonzero(_observed(labels[:, layer]))
        if len(rows):
            raw = vectors[rows, layer] @ peers[layer].T
            total[rows] += raw * _pair_weight(labels[rows, layer], peer_labels[:, layer])
            raw = _without_self(raw, exclude[rows])
            _join(edges, rows, layer, raw, labels[rows, layer], peer_labels[:, layer], threshold)
    return edges, _without_self(total / np.float32(labels.shape[1]), exclude)


def _no_edges(labels: I32, k: int) -> Edges:
    shape = (*labels.shape, k)
    return Edges(np.full(shape, -1, np.int32), np.zeros(shape, np.float32), np.zeros(shape, np.float32))


def _without_self(scores: F32, exclude: I32) -> F32:
    """The same array, (Q, U), with -inf for oneself."""
    queries = np.flatnonzero(exclude >= 0)
    scores[queries, exclude[queries]] = -np.inf
    return scores


def _join(edges: Edges, rows: I64, layer: int, raw: F32, labels: I32, peer_labels: I32, threshold: float) -> None:
    """Fill in the edges of some people in a layer. raw (Q, U), labels (Q,) all observed, peer_labels (U,)."""
    weight, observed = OMEGA[peer_labels], _observed(peer_labels)

    def gate(part: F32, columns: slice | I64) -> F32:
        allowed = (part >= threshold) & observed[columns]
        return np.where(allowed, part * weight[columns], np.float32(-np.inf))

    index = _best(raw, edges.index.shape[2], gate).index
    place = np.maximum(index, 0)
    cosine = np.take_along_axis(raw, place, axis=1)
    edges.index[rows, layer] = index
    edges.cosine[rows, layer] = np.where(index < 0, 0, cosine)
    edges.weight[rows, layer] = np.where(index < 0, 0, cosine * OMEGA[labels][:, None] * weight[place])


def anchors_of(vectors: F32, labels: I32) -> F32:
    """Anchor of each person: ω-weighted mean of the observed facet vectors, re-normalised.

    (..., M, D), (..., M) -> (..., D) float32 unit rows; zeros where nothing is observed.
    """
    weight = OMEGA[labels] * _observed(labels)
    return unit_rows((vectors * weight[..., None]).sum(axis=-2))


def shared_neighbors(anchors: F32, graph_anchors: F32, *, exclude: I32, k: int = SHARED) -> Ranked:
    """N_u of the parametric branch: top-k by anchor cosine. (Q, D), (U, D) -> (Q, k)."""
    index, similarity = np.full((len(anchors), k), -1, np.int32), np.zeros((len(anchors), k), np.float32)
    rows = np.flatnonzero(anchors.any(axis=1))
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        scores = _without_self(anchors[block] @ graph_anchors.T, exclude[block])
        maybe = np.flatnonzero((scores == 0).any(axis=0))  # only these are read again: a peer without anchor scores 0
        scores[:, maybe[~graph_anchors[maybe].any(axis=1)]] = -np.inf
        index[block], similarity[block] = top_k(scores, k)
    return Ranked(index, similarity)


def combined_similarity(vectors: F32, labels: I32, peers: F32, peer_labels: I32, *, exclude: I32) -> F32:
    """(1/M) Σ_m ω(r_u) ω(r_v) cos_m(u, v) over facets observed for both. -> (Q, U) float32, -inf for
    oneself."""
    total = np.zeros((len(labels), len(peer_labels)), dtype=np.float32)
    for layer in range(labels.shape[1]):
        total += (vectors[:, layer] @ peers[layer].T) * _pair_weight(labels[:, layer], peer_labels[:, layer])
    return _without_self(total / np.float32(labels.shape[1]), exclude)


def _pair_weight(labels: I32, peer_labels: I32) -> F32:
    """ω(r_u) ω(r_v) where both are observed, else 0. (Q,), (U,) -> (Q, U)."""
    own, theirs = (OMEGA[part] * _observed(part) for part in (labels, peer_labels))
    weight: F32 = own[:, None] * theirs
    return weight


def _observed(labels: I32) -> Bool:
    observed: Bool = labels >= int(Reliability.MODERATE)
    return observed
