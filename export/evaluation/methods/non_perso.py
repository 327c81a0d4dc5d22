"""Non-Perso: the base and the request, nothing of the person."""

from __future__ import annotations

from copersona.export.evaluation.bench.bench import BASE, Bench
from copersona.export.evaluation.bench.cases import Case
from copersona.export.evaluation.methods.method import Method, no_soft, own, silent
from copersona.runtime.people.known import Known
from copersona.runtime.session.session import Session


def know(bench: Bench, session: Session, case: Case) -> Known:
    person = own(bench, session, case)
    return Known((), silent(person.persona), no_soft(session))


NON_PERSO = Method("Non-Perso", know, BASE)
