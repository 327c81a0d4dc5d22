"""Which questions are asked of whom: facts most like what a person writes, and what only their history tells.

A person is asked the facts of their own group alone, so that neither people nor questions of training, validation and
test meet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from copersona.export.guard.judge import is_right
from copersona.export.guard.people import QUESTIONS, Group, Person, group_of
from copersona.export.guard.questions import Question
from copersona.runtime.common.arrays import F32
from copersona.runtime.history.interactions import clean_text

INSTRUCTION = "Answer with a few words only.\n"
"""Before every question, asked of nobody and of a persona alike."""
RETRIEVED = 10  # facts that each text of a person finds

Kind = Literal["fact", "personal"]


@dataclass(frozen=True, slots=True)
class Case:
    """One question to one person. `form` is how a personal question is made, "fact" otherwise; an answer that holds one
    of `wrong`, such as another one of the choices, is wrong whatever else it holds."""

    person: str
    group: Group
    kind: Kind
    form: str
    question: str
    answers: tuple[str, ...]
    wrong: tuple[str, ...] = ()

    def right(self, answer: str) -> bool:
        """Whether an answer is right."""
        return is_right(answer, self.answers) and not is_right(answer, self.wrong)

    @property
    def request(self) -> str:
        """What is asked, word for word."""
        return request_of(self.question)


def request_of(question: str) -> str:
    """A question as it is asked."""
    return INSTRUCTION + question


class Facts:
    """Questions by group with their vectors, (Q, E) float32 a group; a person is asked up to `kept` of them."""

    def __init__(self, questions: Sequence[Question], encode: Callable[[str], F32], kept: int) -> None:
        self._encode, self._kept = encode, kept
        self._groups: dict[Group, list[Question]] = {}
        for question in questions:
            self._groups.setdefault(group_of(question.text, QUESTIONS), []).append(question)
        self._vectors: dict[Group, F32] = {}

    def of(self, person: Person) -> list[Case]:
        """The facts of their group that are most like what they write, best first."""
        questions = self._groups.get(person.group, [])
        if not questions:
            return []
        if person.group not in self._vectors:
            self._vectors[person.group] = np.stack([self._encode(question.text) for question in questions])
        texts = np.stack([self._encode(clean_text(item.output)) for item in person.history])
        best = most_alike(texts @ self._vectors[person.group].T, kept=self._kept)
        return [Case(person.name, person.group, "fact", "fact", questions[i].text, questions[i].answers) for i in best]


def most_alike(similarity: F32, *, kept: int, retrieved: int = RETRIEVED) -> list[int]:
    """Columns by the mean of how often a row finds them among its first and of their largest similarity.

    similarity: (texts, questions); a row finds its `retrieved` largest.
    """
    texts, questions = similarity.shape
    found = np.zeros(questions)
    for row in similarity:
        found[np.argsort(-row, kind="stable")[:retrieved]] += 1
    score = np.where(found > 0, (found / texts + similarity.max(axis=0)) / 2, -np.inf)
    order = np.argsort(-score, kind="stable")[: min(kept, int((found > 0).sum()))]
    return [int(i) for i in order]
