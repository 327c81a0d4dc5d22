"""How paths that depend on people or on a history grow: each at 1, 10 and 100 times a size, with its exponent.

The exponent is the slope of a line through the logarithms: 1 is in proportion, 0 does not grow. A path that holds its
size by design (the search for the nearest reads all peers, so 1) is told from one that should not grow at all.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from curves import Curve, draw_curves
from peers import CENTRED
from population import draw, graph_of, somebody
from rows import Row, cpu_ms
from settings import Settings

from copersona.runtime.batch.answers_file import AnswersFile
from copersona.runtime.bundle.parts import check_graph_db
from copersona.runtime.common.arrays import F32
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.people.persona_cache import persona_key
from copersona.runtime.people.store import PeopleStore
from copersona.runtime.persona.neighbors import facet_edges
from copersona.runtime.persona.persona import make_persona
from copersona.runtime.profile.facets import Facet, FacetSchema, Feature
from copersona.runtime.profile.profiler import profile_history
from copersona.runtime.profile.style import STYLE_FEATURES
from copersona.runtime.prompt.layout import Layout
from copersona.runtime.prompt.retrieval import by_words, recent
from copersona.runtime.prompt.settings import ContextSettings

TIMES = (1, 10, 100)
TEXT = "I bought these strings for my old guitar, {n} weeks ago. They sound bright! Would I buy them again? Yes."

Work = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Grown:
    """A path: `prepare` makes it for a size, with its files in a folder; `most` is the exponent that is allowed."""

    name: str
    unit: str
    base: int
    most: float
    prepare: Callable[[int, Path], Work]


def rows(settings: Settings) -> Iterator[Row]:
    """The exponent of each path; its reference is the time at the smallest size, its ratio the largest against that."""
    curves = []
    for path in PATHS:
        sizes = [max(path.base * times // (10 if settings.quick else 1), 2) for times in TIMES]
        found = [measured(path, size, settings) for size in sizes]
        exponent = slope(sizes, found)
        curves.append(Curve(path.name, path.unit, tuple(sizes), tuple(found), exponent))
        last = found[-1] / found[0]
        yield Row(f"growth of {path.name}: exponent", exponent, found[0], last, last, last, f"value <= {path.most}")
    if settings.picture is not None:
        settings.picture.write_text(draw_curves(curves), encoding="utf-8")


def measured(path: Grown, size: int, settings: Settings) -> float:
    """Median CPU milliseconds of several runs, after one that is not counted."""
    with tempfile.TemporaryDirectory(dir=settings.work) as home:
        work = path.prepare(size, Path(home))
        return statistics.median([cpu_ms(work) for _ in range(settings.rounds(9) + 1)][1:])


def slope(sizes: list[int], found: list[float]) -> float:
    return float(np.polyfit(np.log(sizes), np.log(found), 1)[0])


# Paths that depend on the population


def place(peers: int, home: Path) -> Work:
    population = draw(peers)
    graph = graph_of(population, home / "graph.sqlite")
    person = somebody(population, 0)

    def work() -> None:
        graph._scan, graph._searches = None, 0
        make_persona(person, CENTRED, graph)

    return work


def open_graph(peers: int, home: Path) -> Work:
    population = draw(peers, width=8)
    graph_of(population, home / "graph.sqlite")

    def work() -> None:
        check_graph_db(home / "graph.sqlite", peers)
        graph_of(population, home / "graph.sqlite")

    return work


def build_edges(peers: int, _: Path) -> Work:
    population = draw(peers, layers=1)
    people, own = population.vectors[:, :64].transpose(1, 0, 2), np.arange(min(peers, 64), dtype=np.int32)
    return lambda: facet_edges(people, population.labels[own], population.vectors, population.labels, exclude=own)


# Paths that depend on the people of this device


def stored(people: int, home: Path) -> PeopleStore:
    store = PeopleStore(home / "people.sqlite")
    store.add(Interaction(f"p{n}", f"{TEXT} {k}", time=float(k)) for n in range(people) for k in range(3))
    return store


def read_person(people: int, home: Path) -> Work:
    store, numbers = stored(people, home), iter(range(10**9))
    return lambda: [store.history(f"p{next(numbers) * 7919 % people}") for _ in range(100)]


def add_text(people: int, home: Path) -> Work:
    store, numbers = stored(people, home), iter(range(10**9))
    return lambda: store.add([Interaction("p0", f"A new text, {next(numbers)}.")])


def forget_person(people: int, home: Path) -> Work:
    store, numbers = stored(people + 20, home), iter(range(10**9))
    return lambda: store.forget(f"p{next(numbers)}")


def resume(answers: int, home: Path) -> Work:
    path = home / "answers.jsonl"
    with AnswersFile(path, {"of": "these"}) as file:
        file.add((str(n), {"id": str(n), "output": TEXT}) for n in range(answers))
    return lambda: AnswersFile(path, {"of": "these"}, resume=True).close()


# Paths that depend on a history


class Letters:
    """Tokens for the layout: bytes."""

    def tokenize(self, text: str) -> list[int]:
        return list(text.encode())

    def control(self, token: str) -> int:
        return 256 + len(token)


def texts(count: int) -> tuple[Interaction, ...]:
    return tuple(Interaction("p", TEXT.format(n=n), time=float(n)) for n in range(count))


def schema() -> FacetSchema:
    """Five facets of two style features each."""
    features = [Feature(name, f"{name}s", 0.0, 1.0, 1.0) for name in STYLE_FEATURES[:10]]
    pairs = zip(features[::2], features[1::2], strict=True)
    facets = [Facet(a.name, a.phrase, "ordinal", ("low", "high"), "", (a.name, b.name), (1.0, 1.0), (0.0,))
              for a, b in pairs]  # fmt: skip
    return FacetSchema(tuple(facets), tuple(features), 0.5)


def profile(count: int, _: Path) -> Work:
    found, facets = [item.output for item in texts(count)], schema()
    vector: F32 = np.full(384, 384**-0.5, np.float32)
    return lambda: profile_history(found, facets, lambda text: vector)


def match(count: int, _: Path) -> Work:
    documents = [item.output for item in texts(count)]
    return lambda: by_words(documents, "Would you buy bright strings for a guitar again, after some weeks?")


def lay_out(count: int, _: Path) -> Work:
    history, layout = texts(count), Layout(Letters(), ContextSettings())
    return lambda: layout.prompt("Write a review.", recent=recent(history, 4), places=0)


def key(count: int, home: Path) -> Work:
    store = PeopleStore(home / "people.sqlite")
    store.add(texts(count))
    return lambda: persona_key("bundle", "", 3, None, store.written("p"))


PATHS = (
    Grown("placing a person", "peers", 1_000, 1.1, place),
    Grown("opening the graph", "peers", 1_000, 1.1, open_graph),
    Grown("64 people's edges in a layer", "peers", 1_000, 1.1, build_edges),
    Grown("reading 100 people of the store", "people", 50, 0.2, read_person),
    Grown("adding a text to the store", "people", 50, 0.2, add_text),
    Grown("forgetting a person (rewrites the store)", "people", 50, 1.1, forget_person),
    Grown("resuming a file of answers", "answers", 100, 1.1, resume),
    Grown("profiling (the latest 200)", "texts", 10, 1.1, profile),
    Grown("matching a request by words", "texts", 10, 1.1, match),
    Grown("laying out a prompt", "texts", 10, 0.2, lay_out),
    Grown("the key of a persona", "texts", 10, 1.1, key),
)
