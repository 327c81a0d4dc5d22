"""One long row of tokens that a base model is trained on from left to right, mixed from posts, people and questions.

Documents follow one another without padding; each source gives as many as its share of the tokens so far is short of.
The row depends on the text, the tokenizer, the seed and the settings only, so that step k of the training always sees
the same windows: resuming needs no more than k.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from copersona.export.base.text import Question
from copersona.export.base.turns import QUESTION_AFTER, Documents, chunks, person_document, question_document
from copersona.runtime.common.errors import ExportError
from copersona.runtime.history.interactions import History

Stream = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Mix:
    """Shares of the tokens: posts, people, questions; `late` ones hold in the last part, where the rate falls."""

    early: tuple[float, float, float] = (0.74, 0.21, 0.05)
    late: tuple[float, float, float] = (0.66, 0.28, 0.06)
    late_from: float = 0.65


@dataclass(frozen=True, slots=True)
class Corpus:
    """Everything that may be trained on."""

    posts: Sequence[str]
    people: Sequence[History]
    questions: Sequence[Question]

    def check(self) -> None:
        """Raises ExportError where a source is empty."""
        for name in ("posts", "people", "questions"):
            if not getattr(self, name):
                raise ExportError(f"there are no {name} to train on; look at the files in the data folder")


def build_stream(corpus: Corpus, turns: Documents, total: int, mix: Mix, seed: int) -> Stream:
    """`total` tokens. (total,) uint32."""
    corpus.check()
    questions = _questions(corpus, seed)
    sources = (
        _post_documents(corpus, turns, seed),
        _person_documents(corpus, turns, questions, seed),
        _question_documents(turns, questions, seed),
    )
    stream, filled = np.zeros(total, np.uint32), 0
    turning = round(total * mix.late_from)
    for shares, until in ((mix.early, turning), (mix.late, total)):
        given = [0, 0, 0]
        while filled < until:
            short = [share * sum(given) - tokens for share, tokens in zip(shares, given, strict=True)]
            source = short.index(max(short))
            document = next(sources[source])[: total - filled]
            stream[filled : filled + len(document)] = document
            given[source] += len(document)
            filled += len(document)
    return stream


def _epochs(name: str, seed: int) -> Iterator[random.Random]:
    epoch = 0
    while True:
        yield random.Random(f"{seed}:{name}:{epoch}")
        epoch += 1


def _post_documents(corpus: Corpus, turns: Documents, seed: int) -> Iterator[list[int]]:
    for draw in _epochs("posts", seed):
        for place in draw.sample(range(len(corpus.posts)), len(corpus.posts)):
            yield [*turns.plain(corpus.posts[place]), turns.end]


def _person_documents(
    corpus: Corpus, turns: Documents, questions: Iterator[Question], seed: int
) -> Iterator[list[int]]:
    """Every person once an epoch; long histories in runs, each a document of its own."""
    runs = [run for history in corpus.people for run in chunks(turns, history)]
    for draw in _epochs("people", seed):
        for place in draw.sample(range(len(runs)), len(runs)):
            after = next(questions) if draw.random() < QUESTION_AFTER else None
            yield person_document(turns, runs[place], draw, after)


def _questions(corpus: Corpus, seed: int) -> Iterator[Question]:
    """Every question once an epoch, wherever it ends up."""
    for draw in _epochs("questions", seed):
        yield from draw.sample(corpus.questions, len(corpus.questions))


def _question_documents(turns: Documents, questions: Iterator[Question], seed: int) -> Iterator[list[int]]:
    draw = random.Random(f"{seed}:question documents")
    for question in questions:
        yield question_document(turns, question, draw)
