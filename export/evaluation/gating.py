"""Should one's own evidence count for more the better it supports a facet? A figure that needs no language model.

People are profiled from their latest few texts; a facet's score is then guessed by what those texts measure and by what
the shared neighbours measure, and compared with the person's other texts. The best share γ of the own measurement in
the mix, by least squares, is told for each reliability label beside the trained gate: if the method is right it rises
from none to strong.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from copersona.export.evaluation.bench import Bench
from copersona.export.evaluation.cases import Case
from copersona.export.profile import State, held_out_scores
from copersona.runtime.facets import Reliability
from copersona.runtime.interactions import outputs
from copersona.runtime.profiler import facet_score
from copersona.runtime.progress import track

COUNTS = (1, 2, 4)
OTHERS = 2  # texts that the truth needs at least
GateRow = Mapping[str, float]


def gating(bench: Bench, cases: Sequence[Case]) -> dict[str, GateRow]:
    """By label: the best share of one's own measurement, the trained gate, and mean absolute errors of own
    measurement, neighbours' mean and their mix by the trained gate, in standard deviations between people."""
    session, run = bench.session(), bench.run
    schema, gates = session.schema, session.personalizer.gates()
    peers = np.stack([run.profiles[State(p, run.splits[p].known)].z for p in run.people])
    said = np.array([[facet_score(f, z, schema) for f in schema.facets] for z in peers])  # (U, M)
    rows: dict[int, list[tuple[float, float, float]]] = defaultdict(list)
    for case in track(cases, "gating"):
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
                    rows[label].append((own, float(said[able, m].mean()), float(truth[m])))
    return {Reliability(label).label: _row(rows[label], float(gates[label])) for label in sorted(rows)}


def _row(found: Sequence[tuple[float, float, float]], gate: float) -> GateRow:
    own, peers, truth = np.array(found).T
    apart = float(((own - peers) ** 2).sum())
    best = float(((truth - peers) * (own - peers)).sum()) / apart if apart else float("nan")
    guesses = {"own": own, "neighbours": peers, "mixed by the trained gate": gate * own + (1 - gate) * peers}
    errors = {f"error, {name}": round(float(np.abs(guess - truth).mean()), 4) for name, guess in guesses.items()}
    return {"best share": round(best, 4), "trained gate": round(gate, 4), **errors, "measurements": len(found)}
