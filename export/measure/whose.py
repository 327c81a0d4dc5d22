"""Whose answer is it: three people answer one request; is each answer nearest in style to its owner's history?

Style is what `style_matrix` measures after topic words have been taken out (every word but function words and words of
praise, complaint and hedging becomes a blank of the same case), each feature in standard deviations over single texts
of the population; a history is the mean of its texts, the distance the mean absolute difference (Burrows' Delta).
Chance is one in three. People's own held-out texts are the ceiling, nobody's answers the floor.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from copersona.export.common.statistics import mean_interval
from copersona.export.run.run import Run
from copersona.runtime.common.arrays import F32, F64
from copersona.runtime.common.errors import ExportError, ModelRefused
from copersona.runtime.common.progress import track
from copersona.runtime.engine.sampling import Sampling
from copersona.runtime.history.interactions import without_fields
from copersona.runtime.people.known import Known
from copersona.runtime.profile.segments import WORD, pattern
from copersona.runtime.profile.style import COMPLAINT, FIRST_PERSON, HEDGE, PRAISE, SECOND_PERSON, style_matrix
from copersona.runtime.session.answers import Asked
from copersona.runtime.session.session import Session, open_bundle

TRIPLES = 200
LENGTH = 128  # tokens of an answer
TOGETHER = 8  # answers at once
KEPT = frozenset(ENGLISH_STOP_WORDS) | PRAISE | COMPLAINT | HEDGE | FIRST_PERSON | SECOND_PERSON


@dataclass(frozen=True, slots=True)
class Styles:
    """Style features in standard deviations over the single texts of a population: `scale`, (S,)."""

    scale: F32

    @classmethod
    def of(cls, texts: Sequence[str]) -> Styles:
        """The scale of a population's texts."""
        return cls(np.maximum(_rows(texts).std(axis=0), 1e-6))

    def place(self, texts: Sequence[str]) -> F32:
        """Where the mean of some texts stands, (S,)."""
        return np.asarray(_rows(texts).mean(axis=0) / self.scale)

    def nearest(self, text: str, histories: Sequence[Sequence[str]]) -> int:
        """Which of the histories is nearest in style to a text."""
        places = np.stack([self.place(history) for history in histories])
        return int(np.abs(places - self.place([text])).mean(axis=1).argmin())


def without_topics(text: str) -> str:
    """A text in which every topic word is a blank of the same case; figures become zeros."""
    return str(pattern(WORD).sub(lambda found: _blank(found[0]), text))


def _blank(word: str) -> str:
    if word.lower().replace("’", "'") in KEPT:
        return word
    if any(c.isdigit() for c in word):
        return "0"
    return "XX" if len(word) > 1 and word.isupper() else "Xx" if word[0].isupper() else "xx"


def _rows(texts: Sequence[str]) -> F32:
    return style_matrix([without_topics(text) for text in texts])


def whose_answer(run: Run, people: int | None) -> dict[str, Any]:
    """Shares of answers, of true texts and of nobody's answers that are nearest to their owner, over triples.

    All three of a triple answer the request of one of them, without its title, which is that person's own words.
    `people` limits the number of people in triples. Raises ExportError where there are fewer than three.
    """
    triples = _triples(run, min(people or 3 * TRIPLES, 3 * TRIPLES))
    styles = Styles.of([item.output for person in run.people for item in run.training_histories[person]])
    with open_bundle(run.bundle, sequences=TOGETHER) as session:
        written = _answers(run, session, triples)
    right: dict[str, list[list[bool]]] = {"answers": [], "true texts": [], "nobody's answers": []}
    for number, triple in enumerate(triples):
        texts = [[item.output for item in run.histories[person][:-1]] for person in triple]
        three = {
            "answers": [written[number, i, False] for i in range(3)],
            "true texts": [run.histories[person][-1].output for person in triple],
            "nobody's answers": [written[number, i, True] for i in range(3)],
        }
        for name, found in three.items():
            right[name].append([styles.nearest(text, texts) == i for i, text in enumerate(found)])
    return {"triples": len(triples), **{name: _share(rows) for name, rows in right.items()}}


def _answers(run: Run, session: Session, triples: Sequence[tuple[str, str, str]]) -> dict[tuple[int, int, bool], str]:
    """The text of every answer by triple, place in it, and whether nobody gave it."""
    places: dict[str, tuple[int, int, bool]] = {}

    def asked() -> Iterator[Asked]:
        for place, one in _requests(run, session, triples):
            places[str(place)] = place
            yield Asked(str(place), *one)

    found = {}
    for one, answer in track(session.answer_many(asked()), "answers", total=6 * len(triples)):
        if isinstance(answer, ModelRefused):
            raise answer
        found[places[one.id]] = answer.text
    return found


def _triples(run: Run, people: int) -> list[tuple[str, str, str]]:
    """Disjoint triples of people with a held-out text, drawn by hash."""
    held = [p for p, split in run.splits.items() if split.held_out]
    held.sort(key=lambda p: hashlib.sha256(f"whose {p}".encode("utf-8", "surrogatepass")).digest())
    if min(len(held), people) < 3:
        raise ExportError(f"{run.folder}: {min(len(held), people)} people to choose from, three are needed")
    return [(held[i], held[i + 1], held[i + 2]) for i in range(0, min(len(held), people) // 3 * 3, 3)]


def _requests(
    run: Run, session: Session, triples: Sequence[tuple[str, str, str]]
) -> Iterator[tuple[tuple[int, int, bool], tuple[str, Known | None, Sampling]]]:
    """All requests, a triple's together; the six answers of a triple differ in who gives them, and in their seeds by
    place."""
    for number, triple in enumerate(triples):
        request = without_fields(run.histories[triple[number % 3]][-1], title=True).request()
        for i, person in enumerate(triple):
            known = session.know(run.histories[person][:-1], pseudonym=run.pseudonyms.get(person))
            sampling = Sampling(max_tokens=LENGTH, seed=3 * number + i)
            yield (number, i, False), (request, known, sampling)
            yield (number, i, True), (request, None, sampling)


def _share(rows: list[list[bool]]) -> dict[str, float]:
    """Share of right ones with its interval over triples; the answers of a triple hang together."""
    values: F64 = np.array(rows, np.float64).mean(axis=1)
    return {name: value for name, value in mean_interval(values).items() if name != "people"}
