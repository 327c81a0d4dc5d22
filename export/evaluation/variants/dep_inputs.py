"""DEP's vectors of a person: of each of the latest reviews of items that others reviewed too, its own vector and its
difference from theirs (arXiv 2507.20849).

d_i = Σ_r w_r (e_ui - e_ri) with w = softmax(‖μ_u - μ_r‖ / Σ_r ‖μ_u - μ_r‖): those who differ more overall weigh more.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from copersona.export.run.run import Run
from copersona.runtime.common.arrays import F32
from copersona.runtime.history.interactions import History, clean_text
from copersona.runtime.persona.personalizer import PersonaInputs
from copersona.runtime.profile.facets import Reliability

REVIEWS = 8


class DepCorpus:
    """Vectors of training people's reviews before validation, by item."""

    def __init__(self, run: Run) -> None:
        self._encode = run.encode
        self._items: dict[str, list[tuple[str, F32]]] = defaultdict(list)
        self._means: dict[str, F32] = {}
        for person, history in run.training_histories.items():
            pseudonym = run.pseudonyms[person]
            self._means[pseudonym] = self._mean(history)
            for item in history:
                if item.item is not None:
                    self._items[item.item].append((pseudonym, self._vector(item.output)))

    def _vector(self, text: str) -> F32:
        return self._encode(clean_text(text))

    def _mean(self, history: History) -> F32:
        rows = [self._vector(item.output) for item in history]
        mean: F32 = np.mean(rows, axis=0, dtype=np.float32)
        return mean

    def inputs(self, history: History, pseudonym: str | None) -> PersonaInputs | None:
        """Own vectors (8, E), differences (1, 8, E) and which are there, oldest first; None where nothing is shared.

        They travel as a persona's inputs do: reviews in the place of facets, the difference in that of a neighbour.
        """
        rows: list[tuple[F32, F32]] = []
        for item in reversed(history):
            others = [(who, v) for who, v in self._items.get(item.item or "", []) if who != pseudonym]
            if others and len(rows) < REVIEWS:
                own = self._vector(item.output)
                rows.append((own, self._difference(own, self._mean(history), others)))
        if not rows:
            return None
        vectors = np.zeros((2, REVIEWS, len(rows[0][0])), np.float32)
        for place, (own, gap) in enumerate(reversed(rows)):
            vectors[0, place], vectors[1, place] = own, gap
        there = np.arange(REVIEWS) < len(rows)
        return PersonaInputs(vectors[0], there.astype(np.int32) * Reliability.STRONG, vectors[1:], there[None])

    def _difference(self, own: F32, mean: F32, others: list[tuple[str, F32]]) -> F32:
        apart = np.array([np.linalg.norm(mean - self._means[who]) for who, _ in others])
        weight = np.exp(apart / max(float(apart.sum()), 1e-9))
        weight /= weight.sum()
        gap: F32 = (weight[:, None] * (own - np.stack([v for _, v in others]))).sum(axis=0).astype(np.float32)
        return gap
