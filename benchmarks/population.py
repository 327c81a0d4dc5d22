"""A population of any size, drawn: peers' vectors and reliabilities with the spread of real ones, and their graph.

Centred sentence vectors of people lie near a space of few dimensions: with 48, one pair in a hundred is over the
threshold, as among real reviewers. Everything is drawn a block of people at a time, so that memory
holds the result only.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from copersona.runtime.common.arrays import F32, I32, unit_rows
from copersona.runtime.persona.graph import APPLICATION_ID, TABLES, PersonaGraph
from copersona.runtime.persona.neighbors import anchors_of
from copersona.runtime.profile.facets import FacetProfile, Profile, Reliability, profile_to_json

FACETS, WIDTH, LATENT, NOISE = 5, 768, 48, 0.3
BLOCK = 8_192
SHARES = (0.2, 0.2, 0.35, 0.25)  # of none, weak, moderate, strong
SUMMARY = "detail: far above most people (many numbers, many long sentences)"
QUOTES = ("The second string went dead after a week of playing.", "I would buy it again, but not at that price.")


@dataclass(frozen=True, slots=True)
class Population:
    """vectors (M, U, D) centred unit rows, labels (U, M), anchors (U, D)."""

    vectors: F32
    labels: I32
    anchors: F32


def draw(peers: int, *, layers: int = FACETS, width: int = WIDTH, seed: int = 0) -> Population:
    """The same seed gives the same people."""
    rng = np.random.default_rng(seed)
    axes = rng.standard_normal((layers, LATENT, width), np.float32) / np.float32(LATENT**0.5)
    labels = rng.choice(4, (peers, layers), p=SHARES).astype(np.int32)
    vectors, anchors = np.empty((layers, peers, width), np.float32), np.empty((peers, width), np.float32)
    for at in range(0, peers, BLOCK):
        rows = slice(at, min(at + BLOCK, peers))
        for layer in range(layers):
            count = rows.stop - rows.start
            drawn = rng.standard_normal((count, LATENT), np.float32) @ axes[layer]
            drawn += np.float32(NOISE) * rng.standard_normal(drawn.shape, np.float32)
            vectors[layer, rows] = unit_rows(drawn)
        anchors[rows] = anchors_of(vectors[:, rows].transpose(1, 0, 2), labels[rows])
    return Population(vectors, labels, anchors)


def profiles(labels: list[int]) -> tuple[FacetProfile, ...]:
    """Facets as statistics write them."""
    return tuple(
        FacetProfile(f"facet {number}", SUMMARY, QUOTES, Reliability(label), 0.8) for number, label in enumerate(labels)
    )


def somebody(population: Population, number: int) -> Profile:
    """Someone like a peer but not the same, with all facets observed."""
    rng = np.random.default_rng([7, number])
    own = population.vectors[:, rng.integers(population.vectors.shape[1])]
    vectors = unit_rows(own + np.float32(0.5 / own.shape[1] ** 0.5) * rng.standard_normal(own.shape, np.float32))
    return Profile(profiles([3, 2, 3, 2, 3]), vectors, np.zeros(10, np.float32))


def write_database(path: Path, labels: I32) -> None:
    """`graph.sqlite` of these peers, without edges."""
    with sqlite3.connect(path) as database:
        database.executescript(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1; {TABLES}")
        rows = enumerate(labels.tolist())
        database.executemany(
            "INSERT INTO peers VALUES (?, ?, ?, ?)",
            ((row, f"p{row:012x}", "".join(map(str, line)), profile_to_json(profiles(line))) for row, line in rows),
        )
    database.close()


def graph_of(population: Population, path: Path) -> PersonaGraph:
    """The graph as the runtime opens it, over arrays in memory."""
    from copersona.runtime.bundle.parts import open_graph_db

    if not path.exists():
        write_database(path, population.labels)
    return PersonaGraph(open_graph_db(path), population.vectors, population.anchors)
