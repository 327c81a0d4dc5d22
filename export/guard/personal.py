"""Questions whose answers only a person's own history tells, in the form of the factual ones: short, with one answer.

Made from the latest texts, which nothing was trained on and which stand in the prompt: which of four did I write about,
how many of five did I give, which word did I write next.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from copersona.export.guard.cases import Case
from copersona.export.guard.people import Person
from copersona.runtime.history.interactions import Interaction, clean_text
from copersona.runtime.profile.segments import tells, words_of
from copersona.runtime.profile.style import COMPLAINT, HEDGE, PRAISE

_STOP = ENGLISH_STOP_WORDS | PRAISE | COMPLAINT | HEDGE
CHOICES = 4
QUOTED = 6  # words that come before the one that is asked for
NEAR = 40  # words of a text's beginning that are asked about: its end may not stand in the prompt
LEAST_USED = 3  # texts that use a word, or it may be two that stand together by mistake
NUMBERS = (("0", "zero"), ("1", "one"), ("2", "two"), ("3", "three"), ("4", "four"), ("5", "five"))


class Asked(NamedTuple):
    """How a question is made, the question, its answers, and what makes an answer wrong all the same."""

    form: str
    question: str
    answers: tuple[str, ...]
    wrong: tuple[str, ...] = ()


class Personal:
    """Makes personal questions; `people` are all of whom there are texts, whose subjects stand beside the right one."""

    def __init__(self, people: Sequence[Person], seed: int = 0) -> None:
        self._seed = seed
        texts = [set(words_of(item.output)) for person in people for item in person.history]
        self._texts, self._used = len(texts), Counter(word for text in texts for word in text)
        found = (self.subjects(item) for person in people for item in person.held)
        self._subjects = sorted({row[0] for row in found if row})

    def subjects(self, item: Interaction) -> list[str]:
        """Words that say what a text is about, most telling first: those that others use of the same thing before
        those that are only rare."""
        counts = Counter(word for word in words_of(item.output) if self._tells(word))
        others = {word for words in item.words for word in words_of(words)}
        rank = {w: (w in others, n * math.log(1 + self._texts / self._used[w])) for w, n in counts.items()}
        return sorted(rank, key=lambda word: (-rank[word][0], -rank[word][1], word))

    def _tells(self, word: str) -> bool:
        return self._used[word] >= LEAST_USED and tells(word) and word not in _STOP

    def of(self, person: Person) -> list[Case]:
        """All personal questions of one person."""
        asked = [one for item in person.held for one in self._questions(person, item)]
        return [Case(person.name, person.group, "personal", *one) for one in asked]

    def _questions(self, person: Person, item: Interaction) -> Iterator[Asked]:
        draw = random.Random(f"{self._seed} {item.digest}")
        own = {word for one in person.history for word in words_of(one.output)}
        subjects = self.subjects(item)
        others = [word for word in self._subjects if word not in own]
        if not subjects or len(others) < CHOICES - 1:
            return
        options = [subjects[0], *draw.sample(others, CHOICES - 1)]
        draw.shuffle(options)
        question = f"which of these did i write about: {', '.join(options[:-1])} or {options[-1]}?"
        yield Asked("which", question, (subjects[0],), tuple(one for one in options if one != subjects[0]))
        if item.rating is not None and item.rating in range(len(NUMBERS)):
            given = int(item.rating)
            wrong = tuple(one for n, both in enumerate(NUMBERS) if n != given for one in both)
            yield Asked("how many", f"how many stars did i give the {subjects[0]}?", NUMBERS[given], wrong)
        yield from _next_words(item, draw)


def _next_words(item: Interaction, draw: random.Random) -> Iterator[Asked]:
    """Which telling word stands behind QUOTED others."""
    words = clean_text(item.output).split()[:NEAR]
    places = []
    for i in range(QUOTED, len(words)):
        quoted, found = words[i - QUOTED : i], words_of(words[i])
        if len(found) == 1 and tells(found[0]) and found[0] not in {*_STOP, *words_of(" ".join(quoted))}:
            places.append((" ".join(quoted), found[0]))
    for before, word in draw.sample(places, min(2, len(places))):
        yield Asked("next word", f'what word did i write after "{before}"?', (word,))
