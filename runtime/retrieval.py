"""A person's own history by recency and by BM25.

Recency is the default: the paper's own best (Table 5; METHOD 1.12). BM25 (Okapi, k1 = 1.5, b = 0.75) ranks the history
against the request; documents are what the person wrote together with what it answered.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from copersona.runtime.arrays import F64
from copersona.runtime.interactions import Interaction
from copersona.runtime.style import words_of

K1, B, EPSILON = 1.5, 0.75, 0.25


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


def recent(history: Sequence[Interaction], k: int) -> tuple[Interaction, ...]:
    """The k latest, oldest first."""
    return tuple(history[max(len(history) - k, 0) :]) if k > 0 else ()


def matched(history: Sequence[Interaction], request: str, k: int) -> tuple[Interaction, ...]:
    """The k best by BM25 on the request, best first, ties to the later one; those without a common word are left
    out."""
    if k <= 0 or not history:
        return ()
    index = BM25([words_of(f"{item.request()} {item.output}") for item in history])
    scores = index.scores(words_of(request))
    order = sorted(range(len(history)), key=lambda i: (-scores[i], -i))
    return tuple(history[i] for i in order[:k] if scores[i] > 0)
