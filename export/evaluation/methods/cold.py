"""Cold start: the person as the device knows them from their latest interactions alone."""

from __future__ import annotations

from dataclasses import replace

from copersona.export.evaluation.bench.bench import Bench
from copersona.export.evaluation.bench.cases import Case
from copersona.export.evaluation.methods.method import Knowing
from copersona.runtime.people.known import Known
from copersona.runtime.session.session import Session


def latest(count: int, *, soft: bool = True) -> Knowing:
    """The person from so many interactions. Without `soft`, nobody's soft prompt."""

    def know(bench: Bench, session: Session, case: Case) -> Known:
        person = bench.know(session, case.history[-count:], case.pseudonym)
        return person if soft else replace(person, soft=session.nobody)

    return know
