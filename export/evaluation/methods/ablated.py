"""CoPersona trained without a part: the bundles of the run's variants, each asked as it was trained."""

from __future__ import annotations

from dataclasses import replace

from copersona.export.evaluation.bench.bench import Bench
from copersona.export.evaluation.bench.cases import Case
from copersona.export.evaluation.methods.method import Method, no_soft, own
from copersona.export.evaluation.methods.switched import episodes_only, soft_only
from copersona.export.evaluation.variants.rewire import global_order, global_vectors, order_name, random_order, rewired
from copersona.runtime.common.arrays import I32
from copersona.runtime.people.known import Known
from copersona.runtime.session.session import Session

NOTE = "retrained"


def no_parametric(bench: Bench, session: Session, case: Case) -> Known:
    return replace(own(bench, session, case), soft=no_soft(session))


def _with_order(bench: Bench, session: Session, case: Case, order: I32) -> Known:
    person = own(bench, session, case)
    persona = rewired(person.persona, session.graph, order, session.context.peers)
    return Known(person.history, persona, session.personalizer.soft_prompt(persona.inputs))


def random_peers(bench: Bench, session: Session, case: Case) -> Known:
    row = session.graph.row(case.pseudonym)
    return _with_order(bench, session, case, random_order(session.graph, row, order_name(case.history, case.target)))


def global_peers(bench: Bench, session: Session, case: Case) -> Known:
    histories = [bench.by_pseudonym[name] for name in session.graph.pseudonyms]
    vectors = bench.once(lambda: global_vectors(histories, bench.vector), "global peers")
    row = session.graph.row(case.pseudonym)
    order = global_order(case.history, bench.vector, vectors, row)
    return _with_order(bench, session, case, order)


HISTORY_TEXT = Method("w/o facets and peers in text", episodes_only, "history-text", note=NOTE)
ABLATIONS = (
    Method("w/o text branch", soft_only, "no-text", note=NOTE),
    HISTORY_TEXT,
    Method("w/o parametric branch", no_parametric, "no-parametric", note=NOTE),
    Method("w/o gate", own, "no-gate", note="retrained, all gates one half"),
    Method("w/o cross-facet attention", own, "no-attention", note=NOTE),
    Method("random neighbours", random_peers, "random-neighbours", note="retrained, in both branches", version=2),
    Method("peers by one global embedding", global_peers, "global-peers", note="retrained, in both branches"),
)
