"""A file of requests to a file of answers, person by person so that a persona is computed once."""

from __future__ import annotations

import json
import os
from pathlib import Path

from copersona.runtime.engine import Sampling
from copersona.runtime.errors import HistoryError, PersonError
from copersona.runtime.importers import Request, read_requests
from copersona.runtime.people import PeopleStore
from copersona.runtime.progress import track
from copersona.runtime.session import Known, Session


def generate_file(session: Session, requests: Path, answers: Path, sampling: Sampling, *, personas: bool = True) -> int:
    """Answer every request; lines of `answers` are in the order of `requests`. Returns how many.

    Everything is read and every person looked up before the first answer.

    Raises:
        HistoryError: a request line that cannot be read, or `answers` is there already.
        PersonError: a request names a person whom the store does not know.
    """
    if answers.exists():
        raise HistoryError(f"{answers}: is there already; move it away or give another name")
    if not answers.absolute().parent.is_dir():
        raise HistoryError(f"{answers.parent}: there is no such folder for the answers; make it first")
    rows = list(read_requests(requests))
    with PeopleStore() as store:
        for number, row in enumerate(rows, 1):
            if personas and row.person is not None:
                _look_up(store, row, f"{requests}: request {number}")
        order = sorted(range(len(rows)), key=lambda i: (rows[i].person or "", i))
        lines: dict[int, str] = {}
        name, known = None, None
        for i in track(order, "answering", total=len(order)):
            row = rows[i]
            if personas and row.person != name:
                name, known = row.person, _know(session, store, row.person)
            lines[i] = _answer(session, row, known if personas else None, sampling)
    part = answers.with_name(f"{answers.name}.part")
    with part.open("w", encoding="utf-8") as out:
        out.writelines(f"{lines[i]}\n" for i in range(len(rows)))
        out.flush()
        os.fsync(out.fileno())
    os.replace(part, answers)
    return len(rows)


def _look_up(store: PeopleStore, row: Request, where: str) -> None:
    try:
        store.history(row.person or "")
    except PersonError as error:
        raise PersonError(f"{where}: {error}") from None


def _know(session: Session, store: PeopleStore, person: str | None) -> Known | None:
    if person is None:
        return None
    peer = store.peer_of(session.manifest.bundle_id, person)
    known = session.know(store.history(person), pseudonym=peer, replies=store.replies(person))
    session.recall(store, known)
    return known


def _answer(session: Session, row: Request, known: Known | None, sampling: Sampling) -> str:
    answer = session.answer(row.input, known, sampling, person=row.person).finish()
    body = {"id": row.id, "person": row.person, "input": row.input, "output": answer.text}
    return json.dumps({**body, "receipt": json.loads(answer.receipt.to_json())}, ensure_ascii=False)
