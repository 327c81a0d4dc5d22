"""A person's own history by recency, and by likeness to the request: BM25, dense, or a blend of both.

Recency is the default: the paper's own best (Table 5). What is matched is the text that is shown: what the
person wrote, what it answered, or both. BM25 is Okapi's (k1 = 1.5, b = 0.75); dense is the cosine of the
bundle's own sentence vectors; the blend is reciprocal rank fusion of the two (Cormack et al. 2009, k = 60).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from copersona.runtime.common.arrays import F64
from copersona.runtime.history.interactions import Interaction, clean_text
from copersona.runtime.profile.profiler import Encode
from copersona.runtime.profile.segments import terms_of, words_of
from copersona.runtime.prompt.settings import ContextSettings, Matcher, Show

K1, B, EPSILON = 1.5, 0.75, 0.25
FUSION = 60  # k of reciprocal rank fusion


class Selected(NamedTuple):
    """What of a history goes into a prompt."""

    recent: tuple[Interaction, ...]
    """The latest, oldest first."""
    matched: tuple[Interaction, ...]
    """Of the older ones, those most like the request, best first."""
    places: int
    """How many could be matched, whatever the request."""


def select(history: Sequence[Interaction], request: str, settings: ContextSettings, encode: Encode) -> Selected:
    """The latest interactions, and of the older ones those that the settings' matcher finds. `encode` is called only
    where vectors are needed."""
    found = matched(history, request, settings, encode)
    return Selected(recent(history, settings.recent), found, places(history, settings))


def places(history: Sequence[Interaction], settings: ContextSettings) -> int:
    """How many interactions a request may find."""
    return min(settings.matched, len(before_recent(history, settings.recent)))


def matched(
    history: Sequence[Interaction], request: str, settings: ContextSettings, encode: Encode
) -> tuple[Interaction, ...]:
    """Of those before the latest, the ones most like the request, best first."""
    older, most = before_recent(history, settings.recent), places(history, settings)
    if not most:
        return ()
    documents = [document(item, settings.show) for item in older]
    order = rank(documents, clean_text(request), settings.matcher, encode)
    return tuple(older[i] for i in order[:most])


def recent(history: Sequence[Interaction], k: int) -> tuple[Interaction, ...]:
    """The k latest, oldest first."""
    return tuple(history[max(len(history) - k, 0) :]) if k > 0 else ()


def before_recent(history: Sequence[Interaction], k: int) -> Sequence[Interaction]:
    """All but the k latest: those that a request is matched against."""
    return history[: max(len(history) - k, 0)]


def document(item: Interaction, show: Show) -> str:
    """The text of an interaction that is matched: as it is shown, not cut to the budget."""
    if show == "inputs":
        return item.request()
    wrote = clean_text(item.output)
    return wrote if show == "outputs" else f"{item.request()} {wrote}"


def rank(documents: Sequence[str], request: str, matcher: Matcher, encode: Encode) -> list[int]:
    """Places of the documents, oldest first, by likeness to the request: best first, ties to the later one."""
    if matcher == "bm25":
        return by_words(documents, request)
    if matcher == "dense":
        return by_vectors(documents, request, encode)
    return fuse(by_words(documents, request), by_vectors(documents, request, encode))


def by_words(documents: Sequence[str], request: str) -> list[int]:
    """By BM25; those without a common word are left out. (Of few documents, one that shares a word may score 0.)"""
    words, asked = [terms_of(text) for text in documents], words_of(clean_text(request))
    return [i for i in _best_first(BM25(words).scores(asked)) if not set(asked).isdisjoint(words[i])]


def by_vectors(documents: Sequence[str], request: str, encode: Encode) -> list[int]:
    """By cosine, all of them. Summed row by row, so that equal texts tie wherever they stand."""
    if not documents:
        return []
    vectors = np.stack([encode(text) for text in documents]).astype(np.float64)  # (n, E)
    return _best_first((vectors * encode(request)).sum(axis=1))


def fuse(*rankings: Sequence[int]) -> list[int]:
    """Reciprocal rank fusion: the sum of 1 / (k + rank) over the rankings that hold an item, ranks from 1."""
    places = max((max(ranking, default=-1) for ranking in rankings), default=-1) + 1
    scores = np.zeros(places)
    for ranking in rankings:
        for place, i in enumerate(ranking, start=1):
            scores[i] += 1 / (FUSION + place)
    return [i for i in _best_first(scores) if scores[i] > 0]


def _best_first(scores: F64) -> list[int]:
    return sorted(range(len(scores)), key=lambda i: (-scores[i], -i))


class BM25:
    """Okapi BM25 over tokenised documents, scored as `rank_bm25.BM25Okapi` does (a test compares the two)."""

    def __init__(self, documents: Sequence[Sequence[str]]) -> None:
        self._counts = [Counter(document) for document in documents]
        self._sizes = np.array([len(document) for document in documents], dtype=np.float64)
        frequency = Counter(word for counts in self._counts for word in counts)
        n = len(documents)
        idf = {word: math.log(n - df + 0.5) - math.log(df + 0.5) for word, df in frequency.items()}
        floor = EPSILON * (sum(idf.values()) / len(idf)) if idf else 0.0
        self._idf = {word: value if value >= 0 else floor for word, value in idf.items()}

    def scores(self, query: Sequence[str]) -> F64:
        """Score of each document, (n,) float64."""
        mean = self._sizes.mean() if len(self._sizes) else 1.0
        norm = K1 * (1 - B + B * self._sizes / max(float(mean), 1e-9))
        total = np.zeros(len(self._counts))
        for word in query:
            if (weight := self._idf.get(word)) is not None:
                tf = np.array([counts[word] for counts in self._counts], dtype=np.float64)
                total += weight * tf * (K1 + 1) / (tf + norm)
        return total
