"""The control of completion: does what similar peers show tell what a person's history does not?

One facet at a time is hidden from one person after another; they are placed in the graph of the others by what is left,
through the runtime's own `place` and `borrow`, and the facet is predicted from the peers that would be shown. Compared
with no peers (the mean over everyone else observed on it) and with as many random peers observed on it. An error is the
mean absolute difference to the person's own measurement, in standard deviations between people: of the score of an
ordinal facet, of each feature of a categorical one.

Hiding a facet this way leaves the sentences behind the other facets as they are, and words in them may tell the hidden
one; so the figures are also given with vectors of measured features alone. Invented people who hide their topic leave
no such trace: their truth is what their twins say (`invented.py`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from copersona.export.common.figures import Figures
from copersona.export.common.statistics import mean_interval
from copersona.export.population.graph import build_graph, pseudonyms_for, write_graph
from copersona.export.population.profile import State, centre_population, stack, with_weight
from copersona.export.run.run import Run
from copersona.runtime.common.arrays import F32, F64, I32
from copersona.runtime.history.interactions import History, group_by_person, outputs
from copersona.runtime.persona.graph import PersonaGraph
from copersona.runtime.profile.facets import Facet, FacetSchema, Profile, Reliability
from copersona.runtime.profile.profiler import Centring, Encode, facet_score, measure, profile_history, standardise

SHOWN = 3  # peers shown for a facet that is lacking, as on the device
RANDOM_DRAWS = 20  # draws of random peers a person, averaged
LEAST = 2  # people that an interval needs


@dataclass(frozen=True, slots=True)
class Population:
    """People in row order, their profiles and what is true of them; the graph is made of the profiles."""

    people: tuple[str, ...]
    profiles: tuple[Profile, ...]
    truth: F32
    """(U, F) float32, standardised features of everything that they wrote, the hidden included."""
    schema: FacetSchema


@dataclass(frozen=True, slots=True)
class Errors:
    """Errors of one facet, one value a person."""

    people: tuple[str, ...]
    peers: F64
    nobody: F64
    random: F64
    used: I32
    """Peers that the prediction is made of; with none it is the mean over everyone else."""


@dataclass(frozen=True, slots=True)
class HiddenFacets:
    """Figures of an invented population: each facet hidden in turn, as profiled and with measured features alone, and
    the topic of those who never show it; None where no facet of subjects was induced, or too few people lack it."""

    people: int
    hiding: int
    facets: dict[str, Figures]
    features_alone: dict[str, Figures]
    never_shown: Figures | None

    def to_json(self) -> Figures:
        """The same under the names that people read."""
        return {
            "people": self.people,
            "hiding their topic": self.hiding,
            "facet hidden": self.facets,
            "facet hidden, features alone": self.features_alone,
            "topic never shown": self.never_shown,
        }


def completion_errors(
    population: Population, encode: Encode, facet: int, *, rows: Sequence[int] | None = None, seed: int = 0
) -> Errors:
    """Errors for a facet hidden from each of `rows` in turn; by default from everyone who is observed on it."""
    with placed(population, encode, seed) as (graph, centring):
        return _errors(population, graph, centring.placeholder, facet, rows, seed)


def completion_figures(population: Population, encode: Encode, *, seed: int = 0) -> dict[str, Figures]:
    """Figures of each facet hidden in turn; facets that too few people show are left out."""
    found = {}
    with placed(population, encode, seed) as (graph, centring):
        for m, name in enumerate(population.schema.names):
            errors = _errors(population, graph, centring.placeholder, m, None, seed)
            if len(errors.people) >= LEAST:
                found[name] = summary(errors, seed)
    return found


def summary(errors: Errors, seed: int = 0) -> Figures:
    """Mean errors, and what peers gain over nobody and random peers: paired 95 % bootstrap intervals over people."""
    return {
        "error with peers": round(float(errors.peers.mean()), 4),
        "error with no peers": round(float(errors.nobody.mean()), 4),
        "error with random peers": round(float(errors.random.mean()), 4),
        "gain over no peers": mean_interval(errors.nobody - errors.peers, seed),
        "gain over random peers": mean_interval(errors.random - errors.peers, seed),
        "peers used": round(float(errors.used.mean()), 3),
    }


def without_text(population: Population) -> Population:
    """The same people with vectors of measured features alone: no word can tell a hidden facet."""
    bare = with_weight(population.profiles, population.schema, 1.0)
    return replace(population, profiles=tuple(bare), schema=replace(population.schema, feature_weight=1.0))


def population_of(
    histories: Mapping[str, History],
    schema: FacetSchema,
    encode: Encode,
    *,
    whole: Mapping[str, History] | None = None,
) -> Population:
    """Profile everyone from `histories`; true is what `whole` (by default the same histories) measures."""
    profiles = tuple(profile_history(outputs(history), schema, encode) for history in histories.values())
    texts = [outputs((whole or histories)[person]) for person in histories]
    return Population(tuple(histories), profiles, _truth(texts, schema), schema)


def population_of_run(run: Run) -> Population:
    """The training people of a run folder as they stand in its graph; true is what their whole histories measure."""
    profiles = tuple(run.profiles[State(person, run.splits[person].seen)] for person in run.people)
    texts = [outputs(run.histories[person]) for person in run.people]
    return Population(tuple(run.people), profiles, _truth(texts, run.schema), run.schema)


def run_figures(run: Run) -> dict[str, Figures]:
    """Figures of a finished run: each facet hidden in turn, as profiled and with measured features alone."""
    population, seed = population_of_run(run), run.settings.seed
    return {
        "facet hidden": completion_figures(population, run.encode, seed=seed),
        "facet hidden, features alone": completion_figures(without_text(population), run.encode, seed=seed),
    }


def hidden_facet_figures(seed: int, encode: Encode, *, people: int = 200, facets: int = 5) -> HiddenFacets:
    """Invent people, induce facets of them, and hide these."""
    from copersona.export.data.invented import invent
    from copersona.export.discovery.discover import discover

    shown, twins = invent(people, seed, hidden=0.25), invent(people, seed)
    histories, whole = group_by_person(shown.interactions), group_by_person(twins.interactions)
    schema = discover(histories, encode, facets=facets, seed=seed).schema
    population = population_of(histories, schema, encode, whole=whole)
    subjects = [m for m, facet in enumerate(schema.facets) if facet.kind == "categorical"]
    lacking = [
        row
        for row, (person, profile) in enumerate(zip(population.people, population.profiles, strict=True))
        if subjects and person in shown.hidden and not profile.facets[subjects[0]].reliability.observed
    ]
    enough = len(lacking) >= LEAST
    hidden = completion_errors(population, encode, subjects[0], rows=lacking, seed=seed) if enough else None
    return HiddenFacets(
        people,
        len(shown.hidden),
        completion_figures(population, encode, seed=seed),
        completion_figures(without_text(population), encode, seed=seed),
        summary(hidden, seed) if hidden else None,
    )


def _truth(texts: Sequence[Sequence[str]], schema: FacetSchema) -> F32:
    return np.stack([standardise(measure(row, schema).values, schema) for row in texts])


@contextmanager
def placed(population: Population, encode: Encode, seed: int) -> Iterator[tuple[PersonaGraph, Centring]]:
    """The population's graph as the runtime opens it, and its layers' means."""
    vectors, labels = stack(population.profiles)
    centring = centre_population(vectors, labels, population.schema, encode)
    names = pseudonyms_for(population.people, seed)
    centred = centring(vectors, labels >= int(Reliability.MODERATE))
    built = build_graph(population.people, names, population.profiles, centred, labels, quotes=False)
    with TemporaryDirectory() as folder:
        path = Path(folder)
        write_graph(built, {}, path / "graph.sqlite", path / "peers.npy", path / "anchors.npy")
        database = sqlite3.connect(path / "graph.sqlite")
        try:
            yield PersonaGraph(database, built.vectors, built.anchors), centring
        finally:
            database.close()


def _errors(
    population: Population, graph: PersonaGraph, neutral: F32, facet: int, rows: Sequence[int] | None, seed: int
) -> Errors:
    observed = graph.labels[:, facet] >= int(Reliability.MODERATE)
    asked = np.flatnonzero(observed).tolist() if rows is None else list(rows)
    schema = population.schema
    said = coordinates(schema.facets[facet], np.stack([p.z for p in population.profiles]), schema)
    truth = coordinates(schema.facets[facet], population.truth, schema)
    draw = np.random.default_rng(seed)
    found, used = np.zeros((len(asked), 3)), []
    for place, row in enumerate(asked):
        others = np.flatnonzero(observed & (np.arange(len(observed)) != row))
        near = _borrowed(graph, neutral, facet, row)
        middle = said[others].mean(axis=0)
        drawn = [said[draw.choice(others, len(near), replace=False)].mean(axis=0) for _ in range(RANDOM_DRAWS) if near]
        guesses = (said[near].mean(axis=0) if near else middle, middle, np.stack(drawn or [middle]))
        found[place] = [np.abs(guess - truth[row]).mean() for guess in guesses]
        used.append(len(near))
    names = tuple(population.people[row] for row in asked)
    return Errors(names, found[:, 0], found[:, 1], found[:, 2], np.array(used, dtype=np.int32))


def _borrowed(graph: PersonaGraph, neutral: F32, facet: int, row: int) -> list[int]:
    """Peers that the device would show for the facet if this person's history did not support it."""
    vectors, labels = graph.peers[:, row].copy(), graph.labels[row].copy()
    vectors[facet], labels[facet] = neutral[facet], int(Reliability.NONE)
    placement = graph.place(vectors, labels, own_row=row, peers_shown=SHOWN)
    return [borrowed.peer for borrowed in placement.borrowed if borrowed.facet == facet]


def coordinates(facet: Facet, z: F32, schema: FacetSchema) -> F64:
    """What is predicted of a facet: an ordinal one's score, every feature's z of a categorical. (U, F) -> (U, c)."""
    if facet.kind == "categorical":
        return z[:, schema.columns(facet)].astype(np.float64)
    return np.array([[facet_score(facet, row, schema)] for row in z])
