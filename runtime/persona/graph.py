"""The persona graph of a bundle: peers and adjacency in SQLite, their vectors memory-mapped beside it.

Also `place`: where a person stands among the peers, and `borrow`: which peers' facets may complete theirs. A peer is
someone in the population: a pseudonym with facet profiles and edges, no history. Paper, section 3.2.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from copersona.runtime.common.arrays import F32, I32, I64
from copersona.runtime.common.errors import BundleError
from copersona.runtime.persona.int8_scan import Person, Scan, worth_scanning
from copersona.runtime.persona.neighbors import (
    PER_FACET,
    SHARED,
    THRESHOLD,
    Edges,
    Ranked,
    anchors_of,
    edges_and_similarity,
    shared_neighbors,
    top_k,
)
from copersona.runtime.persona.personalizer import PersonaInputs
from copersona.runtime.profile.facets import FacetProfile, Reliability, profile_from_json

TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE peers (
  row INTEGER PRIMARY KEY, pseudonym TEXT NOT NULL UNIQUE, labels TEXT NOT NULL, profile TEXT NOT NULL
);
CREATE TABLE edges (
  peer INTEGER NOT NULL, facet INTEGER NOT NULL, rank INTEGER NOT NULL,
  neighbor INTEGER NOT NULL, cosine REAL NOT NULL, weight REAL NOT NULL,
  PRIMARY KEY (peer, facet, rank)
) WITHOUT ROWID;
CREATE TABLE items (item TEXT PRIMARY KEY, words TEXT NOT NULL) WITHOUT ROWID;
"""
APPLICATION_ID = 0x436F5072
SEARCHES = 16  # exact ones of a session take about as long as making what spares them


@dataclass(frozen=True, slots=True)
class Borrowed:
    """One facet of one peer, shown as someone else's. `lacking`: the person's own history does not support this
    facet."""

    facet: int
    peer: int
    similarity: float
    lacking: bool


class Placement(NamedTuple):
    """Where one person stands in the graph."""

    edges: Edges  # (1, M, K)
    shared: Ranked  # (1, K)
    combined: Ranked  # (1, K)
    borrowed: tuple[Borrowed, ...]


class PersonaGraph:
    """Peers, edges and vectors of a bundle, read-only.

    Raises:
        BundleError: tables are missing or the numbers of peers in the parts disagree.
    """

    def __init__(self, database: sqlite3.Connection, peers: F32, anchors: F32) -> None:
        self.peers = peers  # (M, U, D) float32
        self.anchors = anchors  # (U, D) float32
        self._database = database
        self._scan: Scan | None = None
        self._searches = 0
        try:
            rows = database.execute("SELECT pseudonym, labels FROM peers ORDER BY row").fetchall()
            self.settings: dict[str, str] = dict(database.execute("SELECT key, value FROM meta"))
        except sqlite3.Error as error:
            raise BundleError(f"graph.sqlite: not a persona graph ({error}); export the bundle again") from error
        layers, count, _ = peers.shape
        if len(rows) != count or len(anchors) != count:
            raise BundleError(
                f"graph.sqlite holds {len(rows)} peers, peers.npy {count}, anchors.npy {len(anchors)}: "
                "the files come from different exports"
            )
        self.pseudonyms = tuple(str(pseudonym) for pseudonym, _ in rows)
        self._rows = {pseudonym: row for row, pseudonym in enumerate(self.pseudonyms)}
        self.labels: I32 = _labels([str(labels) for _, labels in rows], layers)

    def row(self, pseudonym: str | None) -> int:
        """Row of a pseudonym, -1 for None or one that this graph does not hold."""
        return -1 if pseudonym is None else self._rows.get(pseudonym, -1)

    def profile(self, row: int) -> tuple[FacetProfile, ...]:
        """Facet profiles of a peer."""
        found = self._database.execute("SELECT profile FROM peers WHERE row = ?", (int(row),)).fetchone()
        if found is None:
            raise BundleError(f"graph.sqlite: peer {row} is not there")
        return profile_from_json(found[0])

    def stored_edges(self, row: int, k: int = PER_FACET) -> Edges:
        """The adjacency of a peer as exported. Arrays (1, M, k)."""
        layers = self.peers.shape[0]
        index = np.full((1, layers, k), -1, dtype=np.int32)
        cosine, weight = np.zeros((1, layers, k), np.float32), np.zeros((1, layers, k), np.float32)
        query = "SELECT facet, rank, neighbor, cosine, weight FROM edges WHERE peer = ?"
        for facet, rank, neighbor, raw, gated in self._database.execute(query, (int(row),)):
            index[0, facet, rank], cosine[0, facet, rank], weight[0, facet, rank] = neighbor, raw, gated
        return Edges(index, cosine, weight)

    def item_words(self, item: str) -> dict[str, int]:
        """Words that people use of an item and how many people do, most telling first; empty when not known."""
        found = self._database.execute("SELECT words FROM items WHERE item = ?", (item,)).fetchone()
        words: dict[str, int] = json.loads(found[0]) if found else {}
        return words

    def place(
        self, vectors: F32, labels: I32, *, own_row: int = -1, peers_shown: int = 3, without: Sequence[int] = ()
    ) -> Placement:
        """Neighbours of one person: per facet, shared, by combined similarity, and what is borrowed from whom.

        vectors (M, D) float32 centred, labels (M,) int32; own_row is the person's own row if they took part; `without`
        are rows that are left out as well.
        """
        person = Person(vectors, labels, anchors_of(vectors[None], labels[None])[0], own_row)
        threshold = float(self.settings.get("threshold", THRESHOLD))
        rows: I64 | None
        if without:
            rows = np.setdiff1d(np.arange(len(self.pseudonyms)), [own_row, *without])
        else:
            rows = self._candidates(person, threshold, peers_shown)
        if rows is None:
            return _place(person, self.peers, self.labels, self.anchors, threshold, peers_shown)
        alone = replace(person, own_row=-1)  # no candidate of their own
        parts = self.peers[:, rows], self.labels[rows], self.anchors[rows]
        return _of_rows(_place(alone, *parts, threshold, peers_shown), rows)

    def _candidates(self, person: Person, threshold: float, peers_shown: int) -> I64 | None:
        """Rows among which the nearest are; None is all of them."""
        if self._scan is None:
            self._searches += 1
            if self._searches <= SEARCHES or not worth_scanning(self.peers):
                return None
            self._scan = Scan(self.peers, self.anchors, self.labels)
        return self._scan.candidates(person, threshold=threshold, shown=peers_shown)

    def inputs(self, vectors: F32, labels: I32, shared: Ranked, left_out: Sequence[int] = ()) -> PersonaInputs:
        """What the personalizer sees of one person: own vectors and those of the shared neighbours, who lend nothing to
        facets that are left out."""
        rows = np.maximum(shared.index[0], 0)
        neighbors = np.ascontiguousarray(self.peers[:, rows].transpose(1, 0, 2), dtype=np.float32)  # (K, M, D)
        present = (self.labels[rows] >= int(Reliability.MODERATE)) & (shared.index[0] >= 0)[:, None]
        present[:, list(left_out)] = False
        return PersonaInputs(vectors, labels, neighbors, present)


def _labels(texts: Sequence[str], layers: int) -> I32:
    """One digit a facet. U texts -> (U, M) int32."""
    if any(len(text) != layers for text in texts) or not (joined := "".join(texts)).isascii():
        raise BundleError(f"graph.sqlite: reliabilities do not fit {layers} facets; export the bundle again")
    labels = np.frombuffer(joined.encode("ascii"), np.uint8).astype(np.int32).reshape(len(texts), layers) - ord("0")
    if ((labels < 0) | (labels > max(Reliability))).any():
        raise BundleError("graph.sqlite: holds reliabilities that are not known; export the bundle again")
    return labels


def _place(person: Person, peers: F32, peer_labels: I32, anchors: F32, threshold: float, shown: int) -> Placement:
    """`PersonaGraph.place` among these peers: (M, U, D), (U, M), (U, D)."""
    exclude, labels = np.array([person.own_row], np.int32), person.labels[None]
    edges, similarity = edges_and_similarity(
        person.vectors[None], labels, peers, peer_labels, exclude=exclude, threshold=threshold
    )
    shared = shared_neighbors(person.anchor[None], anchors, exclude=exclude, k=SHARED)
    borrowed = borrow(person.labels, edges, similarity[0], peer_labels, shown)
    return Placement(edges, shared, top_k(similarity, max(shown, 1)), borrowed)


def _of_rows(placement: Placement, rows: I64) -> Placement:
    """A placement among some peers as one among all: each is the one of its row."""

    def back(index: I32) -> I32:
        return np.where(index < 0, -1, rows[index]).astype(np.int32)

    return Placement(
        placement.edges._replace(index=back(placement.edges.index)),
        placement.shared._replace(index=back(placement.shared.index)),
        placement.combined._replace(index=back(placement.combined.index)),
        tuple(replace(borrowed, peer=int(rows[borrowed.peer])) for borrowed in placement.borrowed),
    )


def borrow(labels: I32, edges: Edges, similarity: F32, peer_labels: I32, shown: int) -> tuple[Borrowed, ...]:
    """Peers' facets for the text branch (paper, section 3.2: completion).

    A facet the person has: their nearest neighbour in that layer. A facet they lack: up to `shown` peers most
    similar on the
    *other* facets, and only peers who are observed on it themselves. labels (M,), edges (1, M, K), similarity (U,).
    """
    found: list[Borrowed] = []
    if shown <= 0:
        return ()
    for facet, label in enumerate(labels.tolist()):
        if label >= Reliability.MODERATE:
            if edges.index[0, facet, 0] >= 0:
                found.append(Borrowed(facet, int(edges.index[0, facet, 0]), float(edges.weight[0, facet, 0]), False))
            continue
        able = (peer_labels[:, facet] >= int(Reliability.MODERATE)) & (similarity > 0)
        best = top_k(np.where(able, similarity, np.float32(-np.inf))[None], shown)
        pairs = zip(best.index[0].tolist(), best.similarity[0].tolist(), strict=True)
        found += [Borrowed(facet, peer, value, True) for peer, value in pairs if peer >= 0]
    return tuple(found)


def map_vectors(path: Path, dimensions: int) -> F32:
    """A float32 .npy file, memory-mapped read-only. Raises BundleError."""
    try:
        array: F32 = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: cannot be mapped ({error})") from error
    if array.dtype != np.float32 or array.ndim != dimensions:
        raise BundleError(f"{path}: expected float32 with {dimensions} dimensions, found {array.dtype} {array.shape}")
    return array
