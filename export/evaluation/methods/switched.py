"""Parts of the trained bundle switched off at inference, nothing retrained; and the trained "nobody".

What a part is worth to a model that learned with it, which is not what training without it would give.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from copersona.export.evaluation.bench.bench import Bench
from copersona.export.evaluation.bench.cases import Case
from copersona.export.evaluation.methods.method import Method, own, silent
from copersona.runtime.people.known import Known
from copersona.runtime.persona.neighbors import SHARED, Ranked
from copersona.runtime.persona.persona import Persona
from copersona.runtime.persona.personalizer import Personalizer
from copersona.runtime.session.session import Session

NOTE = "switched off at inference, not retrained"
UNGATED = -40.0  # softplus of it is nothing: all gates are that of z_0 = 0, one half


def nobody(bench: Bench, session: Session, case: Case) -> None:
    return None


def text_only(bench: Bench, session: Session, case: Case) -> Known:
    return replace(own(bench, session, case), soft=session.nobody)


def soft_only(bench: Bench, session: Session, case: Case) -> Known:
    person = own(bench, session, case)
    return Known((), silent(person.persona), person.soft)


def facets_only(bench: Bench, session: Session, case: Case) -> Known:
    return replace(own(bench, session, case), history=())


def episodes_only(bench: Bench, session: Session, case: Case) -> Known:
    person = own(bench, session, case)
    return replace(person, persona=silent(person.persona))


def no_peers_text(bench: Bench, session: Session, case: Case) -> Known:
    person = own(bench, session, case)
    return replace(person, persona=replace(person.persona, peers=()))


def _through(personalizer: Personalizer, person: Known) -> Known:
    """The same person with the soft prompt that this personalizer makes."""
    return replace(person, soft=personalizer.soft_prompt(person.persona.inputs))


def half_gates(bench: Bench, session: Session, case: Case) -> Known:
    start, steps = np.zeros(1, np.float32), np.full(3, UNGATED, np.float32)
    changed = replace(session.personalizer, gate_start=start, gate_steps=steps)
    return _through(changed, own(bench, session, case))


def no_attention(bench: Bench, session: Session, case: Case) -> Known:
    attention = session.personalizer.attention.copy()
    attention[3] = 0
    return _through(replace(session.personalizer, attention=attention), own(bench, session, case))


def random_neighbors(bench: Bench, session: Session, case: Case) -> Known:
    """The soft prompt from as many random peers in the place of the shared neighbours."""
    person = own(bench, session, case)
    if person.persona.inputs is None:
        return person
    shared = random_peers(bench, session, case, person.persona)
    inputs = session.graph.inputs(person.persona.vectors, person.persona.labels, shared)
    return replace(person, soft=session.personalizer.soft_prompt(inputs))


def random_peers(bench: Bench, session: Session, case: Case, persona: Persona) -> Ranked:
    """As many random peers as there are shared neighbours, never oneself."""
    others = np.flatnonzero(np.arange(len(session.graph.pseudonyms)) != session.graph.row(case.pseudonym))
    count = min(int((persona.placement.shared.index[0] >= 0).sum()), len(others))
    rows = np.full((1, SHARED), -1, np.int32)
    rows[0, :count] = bench.draw("neighbours", case.person).choice(others, count, replace=False)
    return Ranked(rows, np.zeros((1, SHARED), np.float32))


NOBODY = Method("nobody (trained state)", nobody)
TEXT_ONLY = Method("text only (nobody's soft prompt)", text_only, note=NOTE)
FACETS_ONLY = Method("facet summaries only", facets_only, note="the soft prompt stays")
EPISODES_ONLY = Method("episodes only", episodes_only, note="the soft prompt stays")
SWITCHED = (
    TEXT_ONLY,
    Method("soft prompt only (nobody's text)", soft_only, note=NOTE),
    EPISODES_ONLY,
    Method("no peers in text", no_peers_text, note=NOTE),
    Method("all gates one half", half_gates, note=NOTE),
    Method("no cross-facet attention", no_attention, note=NOTE),
    Method("random neighbours in the soft prompt", random_neighbors, note=NOTE),
)
