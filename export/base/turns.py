"""Documents that the base model is trained on: people's interactions and questions in the runtime's ChatML turns.

A person's interactions stand one after another, as in a prompt: half of the documents as exchanges (request, then what
the person wrote), half as what they wrote alone with one request and its answer at the end; half of them behind a
system turn. Fields of a request are dropped at random, since a device will not always have them. Every document ends
with <|endoftext|>. Knows nothing of files and windows.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from copersona.export.base.text import Question
from copersona.runtime.engine.turns import Tokens, chatml
from copersona.runtime.history.interactions import History, Interaction, clean_text, without_fields
from copersona.runtime.prompt.layout import INSTRUCTION

END = "<|endoftext|>"
LONGEST = 1_900  # tokens of one document of a person: what fits a window of 2,048 with a question behind it
FIELD_DROPPED = 0.15
SYSTEM = 0.5
ALONE = 0.5  # share of documents that show earlier outputs without their requests
QUESTION_AFTER = 0.3  # share of people's documents with a question behind them
QUESTION_SYSTEM = 0.4


class Documents:
    """Whole turns of documents for one tokenizer, as the runtime's prompts have them."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens, self._turns = tokens, chatml(tokens)
        self.end = tokens.control(END)

    def turn(self, role: str, text: str) -> tuple[int, ...]:
        """One whole turn with the line end behind it."""
        turn = self._turns.turn(role)
        return (*turn.open, *self.plain(text), *turn.close)

    def exchange(self, request: str, answer: str) -> tuple[int, ...]:
        return (*self.turn("user", request), *self.turn("assistant", answer))

    def plain(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokens.tokenize(clean_text(text)))


def person_document(
    turns: Documents, history: Sequence[Interaction], draw: random.Random, question: Question | None = None
) -> list[int]:
    """What one person wrote, oldest first, with a question behind it if one is given."""
    document = list(turns.turn("system", INSTRUCTION)) if draw.random() < SYSTEM else []
    alone = draw.random() < ALONE
    for place, item in enumerate(history):
        if alone and place < len(history) - 1:
            document += turns.turn("assistant", item.output)
        else:
            document += turns.exchange(_with_fewer_fields(item, draw).request(), item.output)
    if question is not None:
        document += turns.exchange(question.text, question.answers[0])
    return [*document, turns.end]


def question_document(turns: Documents, question: Question, draw: random.Random) -> list[int]:
    """A question and its answer, alone or behind the system turn of nobody in particular."""
    head = turns.turn("system", INSTRUCTION) if draw.random() < QUESTION_SYSTEM else ()
    return [*head, *turns.exchange(question.text, question.answers[0]), turns.end]


def _with_fewer_fields(item: Interaction, draw: random.Random) -> Interaction:
    dropped = [draw.random() < FIELD_DROPPED for _ in range(3)]
    return without_fields(item, item=dropped[0], rating=dropped[1], title=dropped[2])


def chunks(turns: Documents, history: History, longest: int = LONGEST) -> Iterator[tuple[Interaction, ...]]:
    """Runs of a person's interactions of at most `longest` tokens, requests included; a longer one stands alone."""
    run: list[Interaction] = []
    size = 0
    for item in history:
        length = len(turns.exchange(item.request(), item.output))
        if run and size + length > longest:
            yield tuple(run)
            run, size = [], 0
        run.append(item)
        size += length
    if run:
        yield tuple(run)
