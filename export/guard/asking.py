"""Every question with and without the persona, and what the persona did to the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from operator import not_
from typing import Literal

from copersona.export.guard.answers import GREEDY, Replies, reply_all, reply_key
from copersona.export.guard.cases import Case, request_of
from copersona.export.guard.judge import is_right
from copersona.export.guard.people import Person
from copersona.export.guard.questions import Question
from copersona.runtime.common.progress import note
from copersona.runtime.engine.engine import Wanted
from copersona.runtime.people.known import Known
from copersona.runtime.session.session import Session

Did = Literal["degraded", "beneficial", "right both", "wrong both"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A case with both answers: of nobody and of the persona."""

    case: Case
    nobody: str
    persona: str

    @property
    def plain_right(self) -> bool:
        return self.case.right(self.nobody)

    @property
    def right(self) -> bool:
        return self.case.right(self.persona)

    @property
    def did(self) -> Did:
        """What the persona did to the answer."""
        if self.plain_right:
            return "right both" if self.right else "degraded"
        return "beneficial" if self.right else "wrong both"


class Asking:
    """Asks a session, as `people`, what is not among the replies yet."""

    def __init__(self, session: Session, replies: Replies, people: Sequence[Person]) -> None:
        self._session, self._replies = session, replies
        self._people = {person.name: person for person in people}
        self._known: tuple[str, Known] | None = None

    def sorted_out(self, questions: Sequence[Question]) -> tuple[list[Question], list[Question]]:
        """Questions that nobody answers rightly, and the others. A persona can spoil the first alone."""
        note(f"asking nobody {len(questions):,} questions, of those kept before none again")
        replies = self._ask([request_of(question.text) for question in questions], None)
        right = [is_right(reply, one.answers) for one, reply in zip(questions, replies, strict=True)]
        return list(compress(questions, right)), list(compress(questions, map(not_, right)))

    def outcomes(self, cases: Sequence[Case], person: str) -> list[Outcome]:
        """Cases of one person, asked of nobody and of the persona."""
        requests = [case.request for case in cases]
        rows = zip(cases, self._ask(requests, None), self._ask(requests, person), strict=True)
        return [Outcome(*row) for row in rows]

    def known(self, name: str | None) -> Known | None:
        """A person as their history has them, None of nobody; the last one asked for is at hand."""
        if name is None:
            return None
        if self._known is None or self._known[0] != name:
            person = self._people[name]
            self._known = name, self._session.know(person.history, pseudonym=person.pseudonym)
        return self._known[1]

    def _ask(self, requests: Sequence[str], person: str | None) -> list[str]:
        """Replies as a person or as nobody, those that are not there yet asked for."""
        keys = [reply_key(request, person) for request in requests]
        missing = {key: request for key, request in zip(keys, requests, strict=True) if key not in self._replies}
        wanted = ((key, self.wanted(request, person)) for key, request in missing.items())
        for key, text in reply_all(self._session.engine, wanted):
            self._replies.add(key, text)
        return [self._replies[key] for key in keys]

    def wanted(self, request: str, person: str | None) -> Wanted:
        """A request to a person or to nobody, as an engine wants it."""
        known = self.known(person)
        return self._session.wanted(self._session.prompt(request, known), known, GREEDY, keep=False)
