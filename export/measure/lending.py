"""What peers lend where a person lacks a facet, with and without the near-twin brake, against what is true of them.

Two trials. *Planted twins*: of invented people who are alike in all traits but one, the facet of that one is hidden.
*Cut to one text*: of real people everything but one text is taken away, and true is what all their texts measure. A
guess is what a prompt holds of peers: in its soft part the shared neighbours, as far as they are believed, in its text
the peers whose facets are shown; what is not believed is the mean over all peers, which is nobody's. An error is the
mean absolute difference in standard deviations between people, over the facets that a person lacks.

Of TRIED, the brake is the one with the least error in the soft part of every second real person, the validation people;
the figures are of the others, and of the invented people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from copersona.export.common.figures import Figures
from copersona.export.common.statistics import mean_interval
from copersona.export.measure.completion import coordinates, placed, population_of
from copersona.export.population.profile import State
from copersona.export.run.run import Run
from copersona.export.run.situations import read_centring, run_graph
from copersona.runtime.common.arrays import F32, F64, I64
from copersona.runtime.common.progress import track
from copersona.runtime.history.interactions import group_by_person, outputs
from copersona.runtime.persona.graph import PersonaGraph
from copersona.runtime.persona.persona import Persona, PersonaSettings, make_persona
from copersona.runtime.profile.facets import FacetSchema, Profile, Reliability
from copersona.runtime.profile.profiler import Centring, Encode, measure, profile_history, standardise

TRIED = (1.0, 2.0, 4.0, 8.0, 16.0)
DRAWS = 20  # random peers a facet, whose errors are averaged
SEEDS, INVENTED = range(11, 16), 200
"""Populations of invented people: the larger one is, the more others of a type are nearer than the twin."""
FACET_OF = {
    "length": "Length and detail",
    "warmth": "Enthusiasm",
    "formality": "Typing habits",
    "expertise": "Technical knowledge",
    "topic": "Subjects",
}
"""The facet that a planted trait shows in."""
Errors = dict[str, F64]
"""One value a person, by where the guess is from."""
ON, OFF = "braked", "off"


@dataclass(frozen=True, slots=True)
class Asked:
    """Someone whose facets are guessed: their profile without these, their own row (-1: none), their true z (F,), and
    the row of their planted twin."""

    profile: Profile
    facets: tuple[int, ...]
    row: int
    truth: F32
    twin: int = -1


class Peers:
    """The graph, and what its peers' z (U, F) say of each facet."""

    def __init__(self, graph: PersonaGraph, centring: Centring, schema: FacetSchema, z: F32) -> None:
        self.graph, self._centring, self._schema = graph, centring, schema
        self._said = [self._of(m, z) for m in range(len(schema))]

    def persona(self, one: Asked, settings: PersonaSettings) -> Persona:
        """Someone as the device has them."""
        return make_persona(one.profile, self._centring, self.graph, settings, own_row=one.row)

    def branches(self, asked: Sequence[Asked], brake: float, how: str) -> Errors:
        """Errors of both branches with a brake of this strength, which is called so."""
        rows = [self._branches(one, PersonaSettings(brake=brake)) for one in asked]
        return _each((f"soft, {how}", f"text, {how}"), rows)

    def errors(self, asked: Sequence[Asked], brake: float, seed: int) -> Errors:
        """The same with and without the brake; and errors of nobody's facets, a random peer's, the most similar peer's
        alone, and of what is left of one's own."""
        names, draw = ("nobody", "a random peer", "the nearest alone", "own texts"), np.random.default_rng(seed)
        others = _each(names, [self._others(one, draw) for one in asked])
        return others | self.branches(asked, 0.0, OFF) | self.branches(asked, brake, ON)

    def _branches(self, one: Asked, settings: PersonaSettings) -> list[tuple[float, ...]]:
        persona, rows = self.persona(one, settings), list[tuple[float, ...]]()
        assert persona.inputs is not None
        shared, believed = persona.placement.shared.index[0], persona.believed(settings.brake)
        for m in one.facets:
            near, lent = shared[persona.inputs.present[:, m]], _lent(persona, m)
            said, nobody = self._said[m], self._nobody(one, m)
            soft = believed[m] * said[near].mean(axis=0) + (1 - believed[m]) * nobody if len(near) else nobody
            text = said[lent].mean(axis=0) if lent else nobody
            rows.append((self._error(one, m, soft), self._error(one, m, text)))
        return rows

    def _others(self, one: Asked, draw: np.random.Generator) -> list[tuple[float, ...]]:
        persona, rows = self.persona(one, PersonaSettings(peers=1)), list[tuple[float, ...]]()
        for m in one.facets:
            nobody, nearest = self._nobody(one, m), _lent(persona, m)
            drawn = draw.choice(self._able(one, m), DRAWS)
            random = float(np.mean([self._error(one, m, self._said[m][row]) for row in drawn]))
            alone = self._said[m][nearest[0]] if nearest else nobody
            own = self._of(m, one.profile.z[None])[0]
            rows.append((self._error(one, m, nobody), random, self._error(one, m, alone), self._error(one, m, own)))
        return rows

    def _of(self, m: int, z: F32) -> F64:
        return coordinates(self._schema.facets[m], z, self._schema)

    def _able(self, one: Asked, m: int) -> I64:
        """Rows of others who are observed on the facet."""
        able = np.flatnonzero(self.graph.labels[:, m] >= int(Reliability.MODERATE))
        others: I64 = able[able != one.row]
        return others

    def _nobody(self, one: Asked, m: int) -> F64:
        mean: F64 = self._said[m][self._able(one, m)].mean(axis=0)
        return mean

    def _error(self, one: Asked, m: int, guess: F64) -> float:
        return float(np.abs(guess - self._of(m, one.truth[None])[0]).mean())


def _each(names: Sequence[str], rows: Sequence[Sequence[tuple[float, ...]]]) -> Errors:
    """Rows of facets, one list a person, as a mean a person and name."""
    return dict(zip(names, np.array([np.mean(one, axis=0) for one in rows]).T, strict=True))


def _lent(persona: Persona, facet: int) -> list[int]:
    return [borrowed.peer for borrowed in persona.placement.borrowed if borrowed.facet == facet]


def lending(run: Run, people: int | None) -> Figures:
    """Both trials: the brake chosen on validation, the figures on the others."""
    seed = run.settings.seed
    with run_graph(run) as graph:
        profiles = [run.profiles[State(person, run.splits[person].seen)].z for person in run.people]
        peers = Peers(graph, read_centring(run), run.schema, np.stack(profiles))
        cut = cut_people(run, peers)[:people]
        tried = {brake: peers.branches(cut[::2], brake, ON)[f"soft, {ON}"].mean() for brake in (0.0, *TRIED)}
        brake = min(TRIED, key=lambda strength: tried[strength])
        real = peers.errors(cut[1::2], brake, seed)
    every, misled = map(_joined, zip(*(_twins(run.encode, brake, number) for number in SEEDS), strict=True))
    return {
        "error in the soft part by brake, validation": {f"{b:g}": round(float(error), 4) for b, error in tried.items()},
        "brake": brake,
        "cut to one text": _figures(real, seed),
        "planted twins": {"all": _figures(every, seed), "whose twin is lent": _figures(misled, seed)},
    }


def cut_people(run: Run, peers: Peers) -> list[Asked]:
    """Everyone with held-out texts, known by the last text before these alone; who shows no facet in it, or lacks none,
    is left out."""
    found = []
    for person in track([p for p, split in run.splits.items() if split.held_out], "people cut to one text"):
        history = run.histories[person]
        profile = profile_history(outputs(history[run.splits[person].seen - 1 :][:1]), run.schema, run.encode)
        truth = standardise(measure(outputs(history), run.schema).values, run.schema)
        row = peers.graph.row(run.pseudonyms.get(person))
        found.append(Asked(profile, _lacking(profile), row, truth))
    return [one for one in found if 0 < len(one.facets) < len(run.schema)]


def _lacking(profile: Profile) -> tuple[int, ...]:
    return tuple(m for m, facet in enumerate(profile.facets) if not facet.reliability.observed)


def _twins(encode: Encode, brake: float, seed: int) -> tuple[Errors, Errors]:
    """Errors of planted twins, the facet in which they differ hidden: of all, and of those whose twin is lent from
    without the brake."""
    from copersona.export.data.invented import invent
    from copersona.export.discovery.discover import discover

    found = invent(INVENTED, seed, twins=1.0)
    histories = group_by_person(found.interactions)
    schema = discover(histories, encode, facets=5, seed=seed).schema
    population = population_of(histories, schema, encode)
    rows = {person: row for row, person in enumerate(population.people)}
    asked = []
    for person, twin in found.twins.items():
        if (name := FACET_OF[twin.differs]) in schema.names:
            m, row = schema.names.index(name), rows[person]
            profile = _hidden(population.profiles[row], m)
            asked.append(Asked(profile, (m,), row, population.truth[row], rows[twin.of]))
    asked = [one for one in asked if (one.profile.reliabilities >= Reliability.MODERATE).any()]
    with placed(population, encode, seed) as (graph, centring):
        peers = Peers(graph, centring, schema, np.stack([profile.z for profile in population.profiles]))
        errors = peers.errors(asked, brake, seed)
        misled = [one.twin in _lent(peers.persona(one, PersonaSettings()), one.facets[0]) for one in asked]
    return errors, {name: values[misled] for name, values in errors.items()}


def _joined(parts: Sequence[Errors]) -> Errors:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _hidden(profile: Profile, m: int) -> Profile:
    facets, vectors = list(profile.facets), profile.vectors.copy()
    facets[m], vectors[m] = replace(facets[m], reliability=Reliability.NONE), 0
    return profile._replace(facets=tuple(facets), vectors=vectors)


def _figures(errors: Errors, seed: int) -> Figures:
    figures: Figures = {"error": {name: round(float(values.mean()), 4) for name, values in errors.items()}}
    for part in ("soft", "text"):
        for name in (f"{part}, {OFF}", "nobody", "a random peer", "the nearest alone"):
            figures[f"{part}, {ON}, minus {name}"] = mean_interval(errors[f"{part}, {ON}"] - errors[name], seed)
    return figures
