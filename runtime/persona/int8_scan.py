"""Which peers can be among the nearest, from vectors in a quarter of the bytes: a bound first, then the exact search.

Each peer's vector is kept as signed bytes with a step of its own. The product with a person's vector, rounded too, is
off by no more than the lengths of both roundings (Cauchy-Schwarz). A peer whose cosine may at best stay below what the
k-th is at least is no candidate; all others are, and the exact search among them gives what it gives among all. So it
makes no difference to the result whether the bytes are there: they are made when a session has searched often enough
to have them back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from copersona.runtime.common.arrays import F32, I32, I64, Bool
from copersona.runtime.persona.int8_product import I8, LEVELS, U8, Int8Product
from copersona.runtime.persona.neighbors import PER_FACET, SHARED, top_k
from copersona.runtime.profile.facets import OMEGA, Reliability

SCAN_FROM = 32_768  # peers; the exact search of fewer takes less than 50 ms
MOST_BYTES = 1 << 30
SPARED = 8  # the exact search among a larger part than an eighth spares too little
ROWS = 4_096  # peers whose vectors are rounded at once
MIDDLE = LEVELS // 2  # what stands for 0 in a person's vector
FLOATS = 1e-4  # more than what float32 sums of a cosine are off by


@dataclass(frozen=True, slots=True)
class Layer:
    """The vectors of U peers as bytes."""

    codes: I8  # (D, U)
    step: F32  # (U,) what a code of 1 stands for
    sums: F32  # (U,) of a peer's codes
    error: float  # largest distance of a vector from what its codes stand for
    length: float  # largest length of what codes stand for


@dataclass(frozen=True, slots=True)
class Person:
    """Someone to place: vectors (M, D) and anchor (D,) float32 unit rows, labels (M,) int32; -1 is no row."""

    vectors: F32
    labels: I32
    anchor: F32
    own_row: int = -1


def worth_scanning(peers: F32) -> bool:
    """Whether there are enough peers for the bytes to be worth making, and not too many. peers (M, U, D)."""
    layers, count, width = peers.shape
    return bool(count >= SCAN_FROM and (layers + 1) * count * width <= MOST_BYTES)


class Scan:
    """The bytes of all layers and of the anchors: (M + 1) * U * D of them."""

    def __init__(self, peers: F32, anchors: F32, labels: I32) -> None:
        self._layers = [_round(vectors) for vectors in (*peers, anchors)]
        self._labels, self._product = labels, Int8Product()
        self._observed: Bool = labels >= int(Reliability.MODERATE)
        self._anchored: Bool = np.asarray(self._observed.any(axis=1))

    def candidates(self, person: Person, *, threshold: float, shown: int) -> I64 | None:
        """Rows, in rising order, of all peers who can be among the nearest in a layer, by anchor (SHARED, or `shown` if
        that is more), or by combined similarity (the first `shown`, of all and of those observed on a facet that the
        person lacks).

        None where that is no small part of them.
        """
        if not (person.labels >= Reliability.MODERATE).any():
            return None
        count = len(self._labels)
        found = np.zeros(count, bool)
        total, spread = np.zeros(count, np.float32), np.zeros(count, np.float32)
        for layer in np.flatnonzero(person.labels >= Reliability.MODERATE).tolist():
            raw, off = self._bounds(layer, person.vectors[layer])
            observed, weight = self._observed[:, layer], OMEGA[self._labels[:, layer]]
            low, high = raw - np.float32(off), raw + np.float32(off)
            surely, perhaps = observed & (low >= threshold), observed & (high >= threshold)
            found |= _reach(low * weight, high * weight, PER_FACET, person.own_row, surely, perhaps)
            pair = weight * observed * (OMEGA[person.labels[layer]] / np.float32(len(person.labels)))
            total += raw * pair
            spread += np.float32(off) * pair
        raw, off = self._bounds(-1, person.anchor)
        found |= _reach(raw - off, raw + off, max(SHARED, shown), person.own_row, self._anchored, self._anchored)
        low, high, everyone = total - spread, total + spread, np.ones(count, bool)
        found |= _reach(low, high, max(shown, 1), person.own_row, everyone, everyone)
        for layer in np.flatnonzero(person.labels < Reliability.MODERATE).tolist() if shown else ():
            able = self._observed[:, layer]
            found |= _reach(low, high, shown, person.own_row, able & (low > 0), able & (high > 0))
        rows = np.flatnonzero(found)
        return rows if 0 < len(rows) * SPARED <= count else None

    def _bounds(self, layer: int, vector: F32) -> tuple[F32, float]:
        """Cosines with all peers, (U,) float32, and how far they can be off."""
        kept = self._layers[layer]
        row, step, error = _round_row(vector)
        products = self._product(row, kept.codes).astype(np.float32)
        cosines = (products - np.float32(MIDDLE) * kept.sums) * (kept.step * np.float32(step))
        return cosines, float(np.linalg.norm(vector)) * kept.error + error * kept.length + FLOATS


def _reach(low: F32, high: F32, k: int, own_row: int, surely: Bool, perhaps: Bool) -> Bool:
    """Who may be one of the k best of those that qualify: surely or perhaps. All (U,)."""
    nobody = np.float32(-np.inf)
    low, high = np.where(surely, low, nobody), np.where(perhaps, high, nobody)
    if own_row >= 0:
        low[own_row] = high[own_row] = nobody
    best = top_k(low[None], k)
    least = best.similarity[0, -1] if best.index[0, -1] >= 0 else np.finfo(np.float32).min
    reach: Bool = high >= least
    return reach


def _round(vectors: F32) -> Layer:
    """(U, D) float32 to bytes, a few rows at a time."""
    count, width = vectors.shape
    codes, step, sums = np.empty((width, count), np.int8), np.empty(count, np.float32), np.empty(count, np.float32)
    error = length = 0.0
    for at in range(0, count, ROWS):
        rows = slice(at, at + ROWS)
        part = np.asarray(vectors[rows])
        largest = np.abs(part).max(axis=1)
        step[rows] = np.where(largest > 0, largest / np.float32(LEVELS), 1)
        whole = np.rint(part / step[rows][:, None])
        sums[rows] = whole.sum(axis=1)
        meant = whole * step[rows][:, None]
        length = max(length, float(np.linalg.norm(meant, axis=1).max()))
        error = max(error, float(np.linalg.norm(part - meant, axis=1).max()))
        codes[:, rows] = whole.astype(np.int8).T
    return Layer(codes, step, sums, error, length)


def _round_row(vector: F32) -> tuple[U8, float, float]:
    """(D,) float32 to bytes around MIDDLE, their step, and the distance from what they stand for."""
    step = float(np.abs(vector).max()) / MIDDLE or 1.0
    whole = np.rint(vector / np.float32(step))
    error = float(np.linalg.norm(vector - whole * np.float32(step)))
    return (whole + MIDDLE).astype(np.uint8), step, error
