"""Every question with and without the persona, and what the persona did to the answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from copersona.export.guard.answers import Replies, Reply, reply_all, reply_key
from copersona.export.guard.cases import Case, Facts
from copersona.export.guard.people import Person
from copersona.export.guard.personal import Personal
from copersona.runtime.people.known import Known
from copersona.runtime.session.session import Session

WRONG = 4  # facts a person that nobody knows either: they tell what a persona adds, and cost as much as the others
Did = Literal["degraded", "beneficial", "right both", "wrong both"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A case with both answers: of nobody and of the persona."""

    case: Case
    nobody: Reply
    persona: Reply

    @property
    def plain_right(self) -> bool:
        return self.case.right(self.nobody.text)

    @property
    def right(self) -> bool:
        return self.case.right(self.persona.text)

    @property
    def did(self) -> Did:
        """What the persona did to the answer."""
        if self.plain_right:
            return "right both" if self.right else "degraded"
        return "beneficial" if self.right else "wrong both"


class Asking:
    """Asks a session what is not among the replies yet."""

    def __init__(self, session: Session, replies: Replies) -> None:
        self._session, self._replies = session, replies
        self._known: tuple[str, Known] | None = None

    def outcomes(self, person: Person, facts: Facts, personal: Personal) -> list[Outcome]:
        """All cases of one person: of the facts those that nobody answers rightly, and WRONG others, the most alike;
        of the personal questions all."""
        found = facts.of(person)
        plain = self._ask(found, None)
        right = [case for case, reply in zip(found, plain, strict=True) if case.right(reply.text)]
        wrong = [case for case, reply in zip(found, plain, strict=True) if not case.right(reply.text)][:WRONG]
        cases = [*personal.of(person), *right, *wrong]
        both = zip(cases, self._ask(cases, None), self._ask(cases, person), strict=True)
        return [Outcome(*row) for row in both]

    def known(self, person: Person) -> Known:
        """A person as their history has them; the last one asked for is at hand."""
        if self._known is None or self._known[0] != person.name:
            self._known = person.name, self._session.know(person.history, pseudonym=person.pseudonym)
        return self._known[1]

    def _ask(self, cases: Sequence[Case], person: Person | None) -> list[Reply]:
        """Replies as a person or as nobody, those that are not there yet asked for."""
        name = None if person is None else person.name
        keys = [reply_key(case.request, name) for case in cases]
        missing = {key: case.request for key, case in zip(keys, cases, strict=True) if key not in self._replies}
        if missing:
            known = None if person is None else self.known(person)
            replies = reply_all(self._session, list(missing.values()), known)
            for row in zip(missing, replies, strict=True):
                self._replies.add([row])
        return [self._replies[key] for key in keys]


def all_outcomes(asking: Asking, people: Sequence[Person], facts: Facts, personal: Personal) -> Iterator[list[Outcome]]:
    """The outcomes of each person, in order."""
    for person in people:
        yield asking.outcomes(person, facts, personal)
