"""Factual questions with their answers, from files of question sets.

A file is a JSON array or JSON lines of objects with a question ("question" or "qText") and its answers ("answers", or
"answer" for one).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from copersona.export.guard.judge import normal
from copersona.runtime.common.errors import ExportError
from copersona.runtime.common.progress import note
from copersona.runtime.history.interactions import clean_text

LONGEST = 8  # words of an answer; what is longer no short answer can hold
NO_ANSWERS = ("yes", "no")  # half of the answers would be right by chance


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and every answer that counts as right."""

    text: str
    answers: tuple[str, ...]


def read_questions(paths: Sequence[Path]) -> list[Question]:
    """The questions of all files, each once, in order. What cannot be judged is left out and counted on stderr: no
    answers, yes or no, answers that are too long or stand in the question.

    Raises:
        ExportError: a file that cannot be read, or no question at all.
    """
    found: dict[str, Question] = {}
    left = 0
    for path in paths:
        for row in _rows(path):
            question = _question(row)
            if question is None:
                left += 1
            else:
                found.setdefault(normal(question.text), question)
    if left:
        note(f"{left:,} questions left out: no answer that a short text can be judged by")
    if not found:
        raise ExportError(f"{', '.join(map(str, paths))}: no question with an answer; expected JSON with question and "
                          "answers")  # fmt: skip
    return list(found.values())


def _rows(path: Path) -> Iterator[Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        if text.lstrip().startswith("["):
            yield from json.loads(text)
        else:
            yield from map(json.loads, filter(str.strip, text.split("\n")))
    except (OSError, ValueError, RecursionError) as error:
        raise ExportError(f"{path}: cannot be read as questions ({error}); expected a JSON array or lines") from None


def _question(row: Any) -> Question | None:
    """A row as a question; None where no answer can be judged."""
    if not isinstance(row, dict):
        return None
    text = row.get("question", row.get("qText"))
    answers = row.get("answers", row.get("answer"))
    if not isinstance(text, str) or not isinstance(answers, str | list):
        return None
    said = [answers] if isinstance(answers, str) else [one for one in answers if isinstance(one, str)]
    kept = tuple(_judged(text, said))
    return Question(clean_text(text), kept) if kept and clean_text(text) else None


def _judged(text: str, answers: Iterable[str]) -> Iterator[str]:
    asked = f" {normal(text)} "
    for answer in answers:
        plain = normal(answer)
        short = 0 < len(plain.split()) <= LONGEST and "://" not in answer
        if short and plain not in NO_ANSWERS and f" {plain} " not in asked:
            yield clean_text(answer)
