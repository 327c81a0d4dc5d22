"""Placing a person among 10,000 and 100,000 peers, the record of one of them, and building a layer of the graph."""

from __future__ import annotations

import sqlite3
import tempfile
import tracemalloc
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import numpy as np
from population import FACETS, WIDTH, Population, draw, graph_of, somebody
from rows import Row, compare, cpu_ms, in_turn, median_us, row
from settings import Settings

from copersona.runtime.common.arrays import F32
from copersona.runtime.persona.graph import PersonaGraph
from copersona.runtime.persona.int8_scan import Scan
from copersona.runtime.persona.neighbors import BLOCK, facet_edges
from copersona.runtime.persona.persona import Persona, make_persona
from copersona.runtime.profile.facets import Profile
from copersona.runtime.profile.profiler import Centring

NEW = 40  # people of whom recall is taken
CENTRED = Centring(np.zeros((FACETS, WIDTH), np.float32), np.zeros((FACETS, WIDTH), np.float32))


def rows(settings: Settings) -> Iterator[Row]:
    with tempfile.TemporaryDirectory(dir=settings.work) as home:
        for count, bar in ((settings.size(10_000, 1_000), 15), (settings.size(100_000, 3_000), 150)):
            population = draw(count)
            graph = graph_of(population, Path(home) / f"{count}.sqlite")
            yield from placing(population, graph, settings, bar)
        yield from record(population, graph, Path(home), settings)
        yield from building(population, settings)


def exactly(graph: PersonaGraph, profile: Profile) -> Persona:
    """The persona of a new person by the exact search, however often it was asked for before."""
    graph._scan, graph._searches = None, 0
    return make_persona(profile, CENTRED, graph)


def by_bytes(graph: PersonaGraph, profile: Profile, scan: Scan) -> Persona:
    graph._scan = scan
    return make_persona(profile, CENTRED, graph)


def placing(population: Population, graph: PersonaGraph, settings: Settings, bar: int) -> Iterator[Row]:
    """Edges, anchor's neighbours, what is borrowed and its lines, after encoding."""
    count = population.vectors.shape[1]
    people = [somebody(population, number) for number in range(settings.size(NEW, 5))]
    exact, scanned = cycle(people), cycle(people)
    scan = Scan(population.vectors, population.anchors, population.labels) if bar > 15 else None
    whole = [population.vectors, population.anchors]
    measures = {
        "exact": lambda: cpu_ms(lambda: exactly(graph, next(exact))),
        "read": lambda: cpu_ms(lambda: [read(array) for array in whole]),
    }
    if scan is not None:
        measures["bytes"] = lambda: cpu_ms(lambda: by_bytes(graph, next(scanned), scan))
    found = in_turn(settings.rounds(20), measures)
    what = f"persona of a new person among {count:,}, CPU ms"
    yield row(f"{what}: float32, against reading the vectors", found["exact"], found["read"], f"value <= {bar} ms")
    if scan is not None:
        yield row(f"{what}: int8, against float32", found["bytes"], found["exact"], "value <= 75 ms")
        recalled = [recall(graph, person, scan) for person in people]
        yield row(f"recall@5 of the int8 scan among {count:,}", recalled, [1.0] * len(recalled), "value >= 0.99")


def recall(graph: PersonaGraph, profile: Profile, scan: Scan) -> float:
    """Share of the exact neighbours, in the layers and by anchor, that the scan finds."""
    exact, found = exactly(graph, profile).placement, by_bytes(graph, profile, scan).placement
    pairs = [*zip(exact.edges.index[0], found.edges.index[0], strict=True), (exact.shared.index, found.shared.index)]
    wanted = [set(one[one >= 0].tolist()) for one, _ in pairs]
    same = [len(one & set(other.ravel().tolist())) for one, (_, other) in zip(wanted, pairs, strict=True)]
    return sum(same) / max(sum(map(len, wanted)), 1)


def read(array: F32) -> int:
    """Every byte once, as fast as numpy reads."""
    return int(array.reshape(-1).view(np.int64).sum())


def record(population: Population, graph: PersonaGraph, home: Path, settings: Settings) -> Iterator[Row]:
    """Facet profiles and vectors of one of many, in no order, against one row with all of it by sqlite3."""
    count = population.vectors.shape[1]
    wanted = np.random.default_rng(1).integers(0, count, settings.size(20_000, 1_000)).tolist()
    with sqlite3.connect(home / "plain.sqlite") as plain:
        plain.execute("CREATE TABLE peers (row INTEGER PRIMARY KEY, profile TEXT, vectors BLOB)")
        texts = graph._database.execute("SELECT row, profile FROM peers")
        plain.executemany("INSERT INTO peers VALUES (?, ?, ?)",
                          ((n, text, population.vectors[:, n].tobytes()) for n, text in texts))  # fmt: skip

    def reference(number: int) -> None:
        plain.execute("SELECT profile, vectors FROM peers WHERE row = ?", (wanted[number],)).fetchone()

    def ours(number: int) -> None:
        graph.profile(wanted[number])
        population.vectors[:, wanted[number]]

    yield compare(f"a person's record among {count:,}, p50 in wall us, against a plain row", settings.rounds(9),
                  lambda: median_us(ours, len(wanted)), lambda: median_us(reference, len(wanted)),
                  "value <= 25 us")  # fmt: skip
    plain.close()


def building(population: Population, settings: Settings) -> Iterator[Row]:
    """A layer of the graph: a block of people against all, edges against the bare product, and what it allocates."""
    count = population.vectors.shape[1]
    own = np.arange(2 * BLOCK, dtype=np.int32)
    layer, labels = population.vectors[:1], np.full((count, 1), 3, np.int32)
    labels[::2] = 2  # everyone observed: no one is spared
    people = np.ascontiguousarray(layer[:, : len(own)].transpose(1, 0, 2))
    edges = lambda: facet_edges(people, labels[own], layer, labels, exclude=own)

    def product() -> None:
        for start in range(0, len(own), BLOCK):
            people[start : start + BLOCK, 0] @ layer[0].T

    yield compare(f"graph of {count:,} x {WIDTH}, {len(own):,} of its people, CPU ms, against sgemm",
                  settings.rounds(5), lambda: cpu_ms(edges), lambda: cpu_ms(product), "ratio <= 1.3")  # fmt: skip
    tracemalloc.start()
    edges()
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    matrix = layer.nbytes / 1e6
    yield Row("the same, MB beyond the matrix, against the matrix", peak, matrix, peak / matrix, peak / matrix,
              peak / matrix, "value <= 300 MB")  # fmt: skip
