"""Should one's own evidence count for more the better it supports a facet? A figure that needs no language model.

People are profiled from their latest few texts; a facet's score is then guessed by what those texts measure and by what
the shared neighbours measure, and compared with the person's other texts. The best share γ of the own measurement in
the mix, by least squares, is told for each reliability label beside the trained gate: if the method is right it rises
from none to strong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from copersona.export.evaluation.bench.bench import Bench
from copersona.export.evaluation.bench.cases import Case
from copersona.export.evaluation.bench.statistics import bootstrap_ratios
from copersona.export.population.profile import State, held_out_scores
from copersona.runtime.common.arrays import F64
from copersona.runtime.common.progress import track
from copersona.runtime.history.interactions import outputs
from copersona.runtime.profile.facets import Reliability
from copersona.runtime.profile.profiler import facet_score

COUNTS = (1, 2, 4)
OTHERS = 2  # texts that the truth needs at least
ENOUGH = 20  # measurements of a label for it to take part in the rise
GateRow = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Guess:
    """One facet of one person from a few texts: scores by own texts, by neighbours, and by the person's other texts."""

    person: int
    label: int
    own: float
    peers: float
    truth: float


@dataclass(frozen=True, slots=True)
class Gating:
    """By label: the best share of one's own measurement with its 95 % interval over people, the trained gate, and mean
    absolute errors of own measurement, neighbours' mean and their mix by the trained gate, in standard deviations
    between people. `rise` is the best share of the best supported label minus that of the least, with its interval,
    of labels with ENOUGH measurements; None where fewer than two have them."""

    rows: Mapping[str, GateRow]
    rise: tuple[float, float, float] | None


def gating(bench: Bench, cases: Sequence[Case]) -> Gating:
    """Guesses of everyone's facets, summed up."""
    gates = bench.session().personalizer.gates()
    return gating_of(_guesses(bench, cases), gates.tolist())


def _guesses(bench: Bench, cases: Sequence[Case]) -> list[Guess]:
    session, run = bench.session(), bench.run
    schema = session.schema
    peers = np.stack([run.profiles[State(p, run.splits[p].seen)].z for p in run.people])
    said = np.array([[facet_score(f, z, schema) for f in schema.facets] for z in peers])  # (U, M)
    found = []
    for place, case in enumerate(track(cases, "gating")):
        for count in COUNTS:
            if len(case.history) < count + OTHERS:
                continue
            persona = bench.know(session, case.history[-count:], case.pseudonym).persona
            truth = held_out_scores(outputs(case.history[:-count]), schema)
            near = persona.placement.shared.index[0]
            near = near[near >= 0]
            for m, label in enumerate(persona.labels.tolist()):
                able = near[session.graph.labels[near, m] >= int(Reliability.MODERATE)]
                if len(able):
                    own = facet_score(schema.facets[m], persona.profile.z, schema)
                    found.append(Guess(place, label, own, float(said[able, m].mean()), float(truth[m])))
    return found


def gating_of(guesses: Sequence[Guess], gates: Sequence[float]) -> Gating:
    """The figures of guesses; `gates` are the trained ones by label."""
    if not guesses:
        return Gating({}, None)
    labels = sorted({g.label for g in guesses})
    of = {label: [g for g in guesses if g.label == label] for label in labels}
    products, squares = _sums(guesses, labels)
    draws = bootstrap_ratios(products, squares)
    rows = {}
    for column, label in enumerate(labels):
        low, high = np.nanpercentile(draws[:, column], [2.5, 97.5])
        rows[Reliability(label).label] = _row(of[label], float(gates[label]), float(low), float(high))
    enough = [column for column, label in enumerate(labels) if len(of[label]) >= ENOUGH]
    if len(enough) < 2:
        return Gating(rows, None)
    least, most = enough[0], enough[-1]
    low, high = np.nanpercentile(draws[:, most] - draws[:, least], [2.5, 97.5])
    shares = [row["best share"] for row in rows.values()]
    return Gating(rows, (round(shares[most] - shares[least], 4), round(float(low), 4), round(float(high), 4)))


def _sums(guesses: Sequence[Guess], labels: Sequence[int]) -> tuple[F64, F64]:
    """Everyone's sums of which the ratio is the best share by least squares: (truth - peers)(own - peers) and
    (own - peers)². (people, labels) each."""
    people = {person: row for row, person in enumerate(sorted({g.person for g in guesses}))}
    products, squares = np.zeros((2, len(people), len(labels)))
    for g in guesses:
        place = people[g.person], labels.index(g.label)
        products[place] += (g.truth - g.peers) * (g.own - g.peers)
        squares[place] += (g.own - g.peers) ** 2
    return products, squares


def _row(guesses: Sequence[Guess], gate: float, low: float, high: float) -> GateRow:
    own, peers, truth = np.array([(g.own, g.peers, g.truth) for g in guesses]).T
    apart = float(((own - peers) ** 2).sum())
    best = float(((truth - peers) * (own - peers)).sum()) / apart if apart else float("nan")
    mixtures = {"own": own, "neighbours": peers, "mixed by the trained gate": gate * own + (1 - gate) * peers}
    errors = {f"error, {name}": round(float(np.abs(mixture - truth).mean()), 4) for name, mixture in mixtures.items()}
    shares = {"best share": round(best, 4), "low": round(low, 4), "high": round(high, 4)}
    return {**shares, "trained gate": round(gate, 4), **errors, "measurements": len(guesses)}
