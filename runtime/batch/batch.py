"""A file of requests to a file of answers: person by person, several at once, each answer kept when it is finished.

A request is sampled with a seed of its own, made of the run's seed and its id, so that an answer does not depend on
which requests stand beside it or on where a run was interrupted.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from copersona.runtime.batch.answers_file import AnswersFile
from copersona.runtime.batch.rejects import Rejects, rejects_path
from copersona.runtime.common.errors import BundleError, CoPersonaError, HistoryError, PersonError, UnknownPerson
from copersona.runtime.common.hashes import file_sha256
from copersona.runtime.common.progress import meter, note
from copersona.runtime.engine.sampling import Sampling
from copersona.runtime.history.importers import Request, request_lines
from copersona.runtime.people.sealed import Passphrase
from copersona.runtime.people.store import PeopleStore
from copersona.runtime.session.answers import Answer, Asked
from copersona.runtime.session.session import Session

SYNC = 0.25  # seconds between two writes to the device, where answers come faster


@dataclass(frozen=True, slots=True)
class Generated:
    """What a run did: answers it made, answers that were there from before, lines that were rejected, and of the
    answers it made those whose request was longer than its room."""

    answered: int
    before: int
    rejected: int
    cut: int = 0


class _Line(NamedTuple):
    number: int
    request: Request


def request_seed(seed: int, id_: str) -> int:
    """The seed of one request of a run: the same for the same two, whatever else is in the file."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{id_}".encode()).digest()[:4]) % (2**32 - 1)


def generate_file(
    session: Session,
    requests: Path,
    answers: Path,
    sampling: Sampling,
    *,
    personas: bool = True,
    resume: bool = False,
    passphrase: Passphrase | None = None,
) -> Generated:
    """Answer the requests that can be answered; the others go to the rejects with the reason.

    Everything is read and every person looked up before the first answer. With `resume`, answers that are there are
    kept and only the others made. `passphrase` opens a sealed people store.

    Raises:
        HistoryError: the requests cannot be read or hold none; the answers are there already or of another run.
        ModelError: the model fails as a whole. What was answered until then is kept.
    """
    with PeopleStore(passphrase=passphrase) as store:
        lines, bad = _read(requests, store, personas)
        made_from = _made_from(session, requests, sampling, personas)
        with AnswersFile(answers, made_from, resume=resume) as file:
            named = {line.request.person for line in lines}
            for path in (answers, rejects_path(answers)):  # both bear names
                store.keep_output([name for name in named if name is not None], path)
            rejects = Rejects(rejects_path(answers), bad)
            if file.cut:
                note(f"{answers}: {file.cut:,} bytes of an answer that was not finished are cut off")
            before = len(file.done)
            todo = [line for line in lines if line.request.id not in file.done]
            todo.sort(key=lambda line: (line.request.person or "", line.number))
            cut = _answer(session, store, todo, file, rejects, sampling, personas)
            file.put_in_order([line.request.id for line in lines])
            return Generated(len(file.done) - before, before, rejects.count, cut)


def _read(requests: Path, store: PeopleStore, personas: bool) -> tuple[list[_Line], dict[int, str]]:
    """The requests that can be answered, and why the other lines cannot, by number."""
    lines: list[_Line] = []
    bad: dict[int, str] = {}
    people: dict[str, str] = {}
    for number, request in request_lines(requests):
        if isinstance(request, HistoryError):
            bad[number] = str(request).removeprefix(f"{requests}:{number}: ")
        elif personas and request.person is not None and (reason := _unknown(store, request.person, people)):
            bad[number] = reason
        else:
            lines.append(_Line(number, request))
    if not lines:
        first = min(bad)
        raise HistoryError(f"{requests}: not one of its {len(bad)} lines can be answered; line {first}: {bad[first]}")
    return lines, bad


def _unknown(store: PeopleStore, person: str, people: dict[str, str]) -> str:
    """Why nobody can answer as this person, empty where one can; remembered in `people`."""
    if person not in people:
        try:
            people[person] = "" if store.knows(person) else _nobody(person)
        except PersonError as error:
            people[person] = _reason(error, person)
    return people[person]


def _reason(error: PersonError, person: str) -> str:
    """Why nobody can answer as this person, for a file that may be passed on: without the names of others that are
    close."""
    return _nobody(person) if isinstance(error, UnknownPerson) else str(error)


def _nobody(person: str) -> str:
    return f"nobody here is called {person!r}"


def _made_from(session: Session, requests: Path, sampling: Sampling, personas: bool) -> dict[str, Any]:
    """All that decides which answers these are. How many are made at once and by how many threads is not in it.

    The language model writes them, so the bundle is in it by the id of its files, not by its population's.
    """
    try:
        found = file_sha256(requests.resolve())
    except BundleError as error:
        raise HistoryError(str(error)) from None
    return {
        "requests": found.sha256,
        "bundle": session.manifest.bundle_id,
        "sampling": asdict(sampling),
        "context": asdict(session.context),
        "personas": personas,
        **({} if session.guard == "off" else {"guard": session.guard}),
        "profiler": session.personas.profiler_name,
    }


def _answer(
    session: Session,
    store: PeopleStore,
    todo: list[_Line],
    file: AnswersFile,
    rejects: Rejects,
    sampling: Sampling,
    personas: bool,
) -> int:
    """Answer and write; what is finished is written also when something ends this early. How many requests were cut."""
    numbers = {line.request.id: line.number for line in todo}
    waiting: list[tuple[str, Mapping[str, Any]]] = []
    tokens, gone, cut, start = 0, 0, 0, time.monotonic()
    written = start
    with meter("answering", len(todo)) as tell:
        try:
            for asked, answer in session.answer_many(_asked(session, store, todo, rejects, sampling, personas)):
                if isinstance(answer, CoPersonaError):
                    rejects.add(numbers[asked.id], str(answer))
                    gone += 1
                    continue
                waiting.append((asked.id, _body(asked, answer)))
                tokens += answer.receipt.pieces
                cut += answer.request_cut > 0
                gone += 1
                now = time.monotonic()
                if now - written >= SYNC:
                    ready, waiting, written = waiting, [], now  # not twice where it fails
                    file.add(ready)
                    tell(gone, f"{tokens / (now - start):.0f} tokens/s")
        finally:
            file.add(waiting)
            tell(gone, f"{tokens / max(time.monotonic() - start, 1e-9):.0f} tokens/s")
    return cut


def _asked(
    session: Session, store: PeopleStore, todo: list[_Line], rejects: Rejects, sampling: Sampling, personas: bool
) -> Iterator[Asked]:
    """The requests as the session wants them, a person looked up when it is their turn."""
    name, known = None, None
    for number, request in todo:
        if personas and request.person != name:
            try:
                known = None if request.person is None else session.person(store, request.person)
            except PersonError as error:  # forgotten meanwhile
                rejects.add(number, _reason(error, str(request.person)))
                continue
            name = request.person
        seeded = replace(sampling, seed=request_seed(sampling.seed, request.id))
        yield Asked(request.id, request.input, known, seeded, request.person)


def _body(asked: Asked, answer: Answer) -> dict[str, Any]:
    body = {"id": asked.id, "person": asked.person, "input": asked.request, "output": answer.text}
    return {**body, "receipt": json.loads(answer.receipt.to_json())}
