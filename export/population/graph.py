"""Multiplex persona graph (paper, section 3.2): adjacency and peers in SQLite, vectors beside it, and its figures.

Peers get random pseudonyms; the map from source ids stays in the run folder. Their quotes lose e-mail addresses, phone
numbers, URLs and handles, or are left out altogether.
"""

from __future__ import annotations

import json
import re
import secrets
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from copersona.export.common.files import replacing
from copersona.export.data.items import ItemTable
from copersona.runtime.common.arrays import F32, F64, I32
from copersona.runtime.common.tensors import as_float16
from copersona.runtime.common.terminal import printable
from copersona.runtime.persona.graph import APPLICATION_ID, TABLES
from copersona.runtime.persona.neighbors import PER_FACET, THRESHOLD, Edges, anchors_of, facet_edges
from copersona.runtime.profile.facets import FacetProfile, Profile, Reliability, profile_to_json

_PRIVATE = re.compile(
    r"https?://\S+|www\.\S+|\b[\w.+-]+@[\w-]+\.[\w.-]+|(?<!\w)@\w+|\+?\d[\d\s().-]{6,}\d|\b[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}/\S*|\b\S+\.(?:com|net|org)\b\S*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Graph:
    """The graph in memory: U peers in row order."""

    pseudonyms: tuple[str, ...]
    profiles: tuple[tuple[FacetProfile, ...], ...]
    labels: I32  # (U, M)
    vectors: F32  # (M, U, D)
    anchors: F32  # (U, D)
    edges: Edges  # (U, M, K)


def pseudonyms_for(people: Sequence[str], seed: int | None) -> dict[str, str]:
    """A random pseudonym each. With a seed, repeatable from the seed and the order alone, never from the id itself."""
    if seed is None:
        return {person: f"p{secrets.token_hex(6)}" for person in people}
    drawn = np.random.default_rng([seed, 0x9E37]).choice(2**48, size=len(people), replace=False)
    return {person: f"p{int(value):012x}" for person, value in zip(people, drawn, strict=True)}


def scrub(quote: str) -> str:
    """A quote on one line without addresses, numbers to call, links and handles, nor characters that move others."""
    return " ".join(printable(_PRIVATE.sub("[...]", quote)).split())


def build_graph(
    people: Sequence[str],
    names: Mapping[str, str],
    profiles: Sequence[Profile],
    vectors: F32,
    labels: I32,
    *,
    quotes: bool,
) -> Graph:
    """Edges of all peers. vectors (U, M, D) centred, labels (U, M)."""
    peers = np.ascontiguousarray(vectors.transpose(1, 0, 2))
    own = np.arange(len(people), dtype=np.int32)
    edges = facet_edges(vectors, labels, peers, labels, exclude=own)
    shown = tuple(
        tuple(
            replace(f, summary=scrub(f.summary), quotes=tuple(map(scrub, f.quotes)) if quotes else ())
            for f in profile.facets
        )
        for profile in profiles
    )
    return Graph(tuple(names[p] for p in people), shown, labels, peers, as_float16(anchors_of(vectors, labels)), edges)


def write_graph(graph: Graph, items: ItemTable, database: Path, peers: Path, anchors: Path) -> None:
    """Write `graph.sqlite`, `peers.npy` (M, U, D) and `anchors.npy` (U, D), each whole or not at all."""
    for path, array in ((peers, graph.vectors), (anchors, graph.anchors)):
        with replacing(path) as part, part.open("wb") as handle:
            np.save(handle, np.ascontiguousarray(array, dtype=np.float32), allow_pickle=False)
    with replacing(database) as part:
        part.unlink(missing_ok=True)
        connection = sqlite3.connect(part)
        try:
            connection.executescript(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1; {TABLES}")
            with connection:
                _insert(connection, graph, items)
        finally:
            connection.close()


def _insert(connection: sqlite3.Connection, graph: Graph, items: ItemTable) -> None:
    meta = {"threshold": str(THRESHOLD), "per_facet": str(PER_FACET)}
    connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
    rows = zip(graph.pseudonyms, graph.labels.tolist(), graph.profiles, strict=True)
    connection.executemany(
        "INSERT INTO peers VALUES (?, ?, ?, ?)",
        (
            (row, name, "".join(map(str, labels)), profile_to_json(facets))
            for row, (name, labels, facets) in enumerate(rows)
        ),
    )
    index, cosine, weight = graph.edges
    peer, facet, rank = np.nonzero(index >= 0)
    values = zip(
        *(
            a.tolist()
            for a in (peer, facet, rank, index[peer, facet, rank], cosine[peer, facet, rank], weight[peer, facet, rank])
        ),
        strict=True,
    )
    connection.executemany("INSERT INTO edges VALUES (?, ?, ?, ?, ?, ?)", values)
    connection.executemany(
        "INSERT INTO items VALUES (?, ?)", ((k, json.dumps(v)) for k, v in sorted(items.items()) if v)
    )


@dataclass(frozen=True, slots=True)
class LayerFigures:
    """What `export graph` prints of one layer."""

    facet: str
    observed: float  # share of peers observed on it
    degree: float  # mean number of neighbours of those
    over_threshold: float  # share of observed pairs with raw cosine at or above the threshold


def layer_figures(graph: Graph, names: Sequence[str]) -> list[LayerFigures]:
    """Degree and share of pairs over the threshold, layer by layer."""
    figures = []
    for m, name in enumerate(names):
        seen = graph.labels[:, m] >= Reliability.MODERATE
        vectors = graph.vectors[m, seen]
        pairs = len(vectors) * (len(vectors) - 1)
        over = sum(int((vectors[i : i + 512] @ vectors.T >= THRESHOLD).sum()) for i in range(0, len(vectors), 512))
        degree = float((graph.edges.index[seen, m] >= 0).sum(axis=1).mean()) if seen.any() else 0.0
        figures.append(LayerFigures(name, float(seen.mean()), degree, (over - len(vectors)) / pairs if pairs else 0.0))
    return figures


def facet_biased(labels: I32) -> float:
    """Share of people with at least one facet supported no more than moderately (Table 4). labels (U, M)."""
    return float((labels < Reliability.STRONG).any(axis=1).mean())


def neighbor_gain(graph: Graph, truth: F64, seed: int) -> F64:
    """How much nearer neighbours' scores are to a person's held-out scores than random peers' are, one value a person.

    truth (U, M) holds facet scores of held-out text, NaN rows where there is none. Positive is better than random.
    Peers count with their own held-out scores, so nothing that built the edges is measured against itself.
    """
    draw = np.random.default_rng(seed)
    usable = np.flatnonzero(~np.isnan(truth).any(axis=1))
    gains = []
    for u in usable:
        own = []
        for m in range(truth.shape[1]):
            near = [v for v in graph.edges.index[u, m] if v >= 0 and not np.isnan(truth[v, m])]
            if near:
                others = draw.choice(usable[usable != u], size=20)
                random_error = np.abs(truth[others, m] - truth[u, m]).mean()
                own.append(random_error - np.abs(truth[near, m] - truth[u, m]).mean())
        if own:
            gains.append(float(np.mean(own)))
    return np.array(gains)
