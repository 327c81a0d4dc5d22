"""States of a run as situations: a target, and the persona of its author at that point, placed in the run's graph."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from copersona.export.population.profile import State
from copersona.export.run.run import Run
from copersona.export.training.examples import Situation
from copersona.runtime.common.arrays import F32
from copersona.runtime.common.progress import track
from copersona.runtime.persona.graph import PersonaGraph, map_vectors
from copersona.runtime.persona.persona import make_persona
from copersona.runtime.profile.profiler import Centring


@contextmanager
def run_graph(run: Run) -> Iterator[PersonaGraph]:
    """The graph of a run folder."""
    database = sqlite3.connect(run.path("graph.sqlite"))
    try:
        yield PersonaGraph(database, map_vectors(run.path("peers.npy"), 3), map_vectors(run.path("anchors.npy"), 2))
    finally:
        database.close()


def read_centring(run: Run) -> Centring:
    """Layer means and placeholder of a run folder."""
    from safetensors.numpy import load_file

    arrays = load_file(run.path("arrays.safetensors"))
    return Centring(arrays["means"], arrays["placeholder"])


def situations(run: Run, states: list[State], graph: PersonaGraph, centring: Centring, label: str) -> list[Situation]:
    """The situations of states, in order; nobody is their own neighbour."""
    done = []
    for state in track(states, f"placing {label}", total=len(states)):
        row = graph.row(run.pseudonyms.get(state.person))
        persona = make_persona(run.profiles[state], centring, graph, run.settings.context.persona, own_row=row)
        history = run.histories[state.person]
        done.append(Situation(state, history[state.cut], history[: state.cut], persona))
    return done


@dataclass(frozen=True, slots=True)
class Targets:
    """What a run trains on, what it validates on, and the layers' means, (M, D) float32."""

    training: list[Situation]
    validation: list[Situation]
    means: F32


def run_targets(run: Run) -> Targets:
    """The targets of a run, placed in its graph."""
    with run_graph(run) as graph:
        centring = read_centring(run)
        training = situations(run, training_states(run), graph, centring, "training targets")
        held = validation_states(run, run.settings.train.validation)
        validation = situations(run, held, graph, centring, "validation targets")
        means = np.ascontiguousarray(graph.peers.mean(axis=1), dtype=np.float32)
    return Targets(training, validation, means)


def training_states(run: Run) -> list[State]:
    """Targets of training people before validation, in order; as many as the settings ask for, drawn by the seed."""
    found = [s for s in run.states if not run.splits[s.person].new and s.cut < run.splits[s.person].seen]
    most = run.settings.train.targets
    if most is None or most >= len(found):
        return found
    drawn = random.Random(run.settings.seed).sample(range(len(found)), most)
    return [found[i] for i in sorted(drawn)]


def validation_states(run: Run, limit: int) -> list[State]:
    """Validation targets of up to `limit` training people, spread over all of them."""
    people = [p for p in run.people if run.splits[p].held_out]
    step = max(len(people) // max(limit, 1), 1)
    return [State(p, run.splits[p].seen) for p in people[::step][:limit]]
