"""Texts for exports that are made up: each with a word that no other has, the person's own and others' apart."""

from __future__ import annotations

import random
import string
from itertools import count

WORDS = (
    "the a and but so with without after before again never always quite rather very garden kitchen train bicycle rain "
    "lamp bread river window ladder market letter winter summer morning engine concert island harbour museum bridge "
    "walked found lost cooked painted mended planted carried asked forgot climbed waited opened bought sold heard "
    "old new small large quiet noisy green yellow cheap warm cold broken honest clever"
).split()
OWN, OTHER = "mine", "theirs"  # how marks begin


def mark(kind: str, number: int) -> str:
    """A word that stands for one text: mineab, theirsxy."""
    letters = string.ascii_lowercase
    return kind + letters[number // 26 % 26] + letters[number % 26]


def text(kind: str, number: int, words: int = 12) -> str:
    """A text with the mark in its middle."""
    draw = random.Random(f"{kind} {number}")
    said = draw.choices(WORDS, k=words)
    said.insert(words // 2, mark(kind, number))
    return f"{' '.join(said).capitalize()}."


class Author:
    """Hands out texts, and remembers the marks of those that must be found."""

    def __init__(self) -> None:
        self.marks: list[str] = []
        self._own, self._other = count(), count()

    def own(self, words: int = 12) -> str:
        """A text that must be found."""
        number = next(self._own)
        self.marks.append(mark(OWN, number))
        return text(OWN, number, words)

    def other(self, words: int = 12) -> str:
        """A text that must not be."""
        return text(OTHER, next(self._other), words)
