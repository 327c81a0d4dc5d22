"""Someone else's persona in the place of one's own: the most similar other's, those of ranks in between, the least
similar's, a random one's (the profile replacement of PRIME, arXiv 2507.04607).

Others are the peers who are asked too, so that as much is known of them as of the person, ranked by the combined
similarity that the device itself ranks by. Persona and context are both the other's.
"""

from __future__ import annotations

import numpy as np

from copersona.export.evaluation.bench.bench import Bench
from copersona.export.evaluation.bench.cases import Case, cases
from copersona.export.evaluation.methods.method import Knowing, Method, own
from copersona.runtime.common.arrays import I32
from copersona.runtime.history.interactions import History
from copersona.runtime.people.known import Known
from copersona.runtime.persona.neighbors import combined_similarity
from copersona.runtime.persona.persona import make_persona
from copersona.runtime.session.session import Session


def asked(bench: Bench, case: Case) -> dict[str, History]:
    """Pseudonym to what is known of everyone who is asked as the case is."""

    def everybody() -> dict[str, History]:
        found = cases(bench.run, validation=case.validation)
        return {one.pseudonym: one.history for one in found if one.pseudonym is not None}

    return bench.once(everybody, "asked", case.validation)


def ranked(bench: Bench, session: Session, case: Case) -> I32:
    """Rows of all others, the most similar first; ties by row. The same with every model of the population."""
    return bench.once(lambda: _ranked(bench, session, case), "ranked", session.manifest.population_id, case.person)


def _ranked(bench: Bench, session: Session, case: Case) -> I32:
    persona, graph = own(bench, session, case).persona, session.graph
    exclude = np.array([graph.row(case.pseudonym)], np.int32)
    scores = combined_similarity(
        persona.vectors[None], persona.labels[None], graph.peers, graph.labels, exclude=exclude
    )[0]
    order = np.argsort(-scores, kind="stable").astype(np.int32)
    there = np.array([name in asked(bench, case) for name in graph.pseudonyms])
    found: I32 = order[np.isfinite(scores[order]) & there[order]]
    return found


def someone(bench: Bench, session: Session, case: Case, row: int) -> Known:
    """A peer as the device would know them, had the person whom they replace not taken part."""
    pseudonym = session.graph.pseudonyms[row]
    known = bench.know(session, asked(bench, case)[pseudonym], pseudonym)
    if (replaced := session.graph.row(case.pseudonym)) < 0:
        return known
    profile, settings = known.persona.profile, session.context.persona
    persona = make_persona(profile, session.bundle.centring, session.graph, settings, own_row=row, without=(replaced,))
    return Known(known.history, persona, session.personalizer.soft_prompt(persona.inputs))


def at(share: float) -> Knowing:
    """The other at this share of the ranking."""

    def know(bench: Bench, session: Session, case: Case) -> Known:
        order = ranked(bench, session, case)
        return someone(bench, session, case, int(order[round(share * (len(order) - 1))]))

    return know


def second(bench: Bench, session: Session, case: Case) -> Known:
    order = ranked(bench, session, case)
    return someone(bench, session, case, int(order[min(1, len(order) - 1)]))


def anyone(bench: Bench, session: Session, case: Case) -> Known:
    order = ranked(bench, session, case)
    return someone(bench, session, case, int(bench.draw("anyone", case.person).choice(order)))


RANKS = (
    Method("the most similar other's", at(0.0), version=3),
    Method("the second most similar's", second, version=3),
    *(Method(f"of rank {share:.0%}", at(share), version=3) for share in (0.05, 0.25, 0.5, 0.75)),
    Method("the least similar's", at(1.0), version=3),
)
ANYONE = Method("a random other's", anyone, version=3)
