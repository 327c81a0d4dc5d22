"""What facets are induced from: people who write alike, clustered, and what sets each cluster apart.

Documents of up to 8 interactions a person -> sentence embedding beside standardised style features -> KMeans ->
TF-IDF terms and medoids of each cluster (paper, section 3.1 and appendix C).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, TfidfVectorizer

from copersona.export.data.splits import LEAST_PEOPLE
from copersona.runtime.common.arrays import I32
from copersona.runtime.common.errors import ExportError
from copersona.runtime.history.interactions import History, outputs
from copersona.runtime.profile.profiler import Encode
from copersona.runtime.profile.segments import tells, words_of
from copersona.runtime.profile.style import COMPLAINT, HEDGE, PRAISE, style_matrix

DOCUMENT_INTERACTIONS = 8
DOCUMENT_CHARACTERS = 2400
MIN_PEOPLE = 8  # a word that is written into a schema is used by at least this many people
STOP = ENGLISH_STOP_WORDS | PRAISE | COMPLAINT | HEDGE


@dataclass(frozen=True, slots=True)
class Cluster:
    """Evidence package of one persona mode; medoids are people, so packages stay in the run folder."""

    size: int
    terms: tuple[str, ...]
    medoids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Contrast:
    """People with text, what they wrote, the cluster of each (U,) and the clusters' evidence."""

    people: tuple[str, ...]
    texts: tuple[tuple[str, ...], ...]
    assignment: I32
    clusters: tuple[Cluster, ...]

    @property
    def by_person(self) -> dict[str, int]:
        return dict(zip(self.people, self.assignment.tolist(), strict=True))


def contrast(histories: Mapping[str, History], encode: Encode, clusters: int, seed: int) -> Contrast:
    """Cluster the people who wrote anything. Raises ExportError where they are fewer than LEAST_PEOPLE."""
    people = [person for person, history in histories.items() if any(outputs(history))]
    if len(people) < LEAST_PEOPLE:
        raise ExportError(f"facets need at least {LEAST_PEOPLE} people with text, the training set has {len(people)}")
    texts = [[t for t in outputs(histories[person]) if t.strip()] for person in people]
    assignment, found = _cluster(people, [histories[p] for p in people], texts, encode, clusters, seed)
    return Contrast(tuple(people), tuple(map(tuple, texts)), assignment, found)


def document(history: History) -> str:
    """The latest interactions of a person with rating and title, cut at a fixed length (appendix C)."""
    parts = [
        f"{f'{i.rating:g}/5 ' if i.rating is not None else ''}{i.title or ''}\n{i.output}"
        for i in history[-DOCUMENT_INTERACTIONS:]
    ]
    return "\n\n".join(reversed(parts))[:DOCUMENT_CHARACTERS]


def _cluster(
    people: Sequence[str], histories: Sequence[History], texts: Sequence[list[str]], encode: Encode, k: int, seed: int
) -> tuple[I32, tuple[Cluster, ...]]:
    embedded = np.stack([encode(document(history)) for history in histories])
    style = np.stack([style_matrix(row).mean(axis=0) for row in texts])
    spread = style.std(axis=0)
    style = (style - style.mean(axis=0)) / np.where(spread > 0, spread, 1)
    joint = np.concatenate([embedded, style / np.sqrt(style.shape[1])], axis=1).astype(np.float64)
    k = max(2, min(k, len(people) // 8))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # people who write alike are fewer clusters, not a fault
        labels = KMeans(k, n_init=10, random_state=seed).fit_predict(joint)
    labels = np.unique(labels, return_inverse=True)[1].astype(np.int32)
    k = int(labels.max()) + 1
    terms = _top_terms([" ".join(row) for row in texts], labels, k)
    found = []
    for cluster in range(k):
        members = np.flatnonzero(labels == cluster)
        centre = joint[members].mean(axis=0)
        unit = joint[members] / np.maximum(np.linalg.norm(joint[members], axis=1, keepdims=True), 1e-12)
        nearest = members[np.argsort(-(unit @ centre), kind="stable")[:3]]
        found.append(Cluster(len(members), terms[cluster], tuple(people[i] for i in nearest)))
    return labels, tuple(found)


def term_matrix(documents: Sequence[str]) -> tuple[Any, list[str]]:
    """TF-IDF of people's documents over the words that `measure` counts, and these words: an induced word list must
    match what it was induced from. None and no words where no word is used by enough people."""
    least = min(MIN_PEOPLE, max(len(documents) // 6, 2))
    vectoriser = TfidfVectorizer(analyzer=_content_words, min_df=least, max_df=0.5, sublinear_tf=True)
    try:
        matrix = vectoriser.fit_transform(documents)
    except ValueError:  # scikit-learn's word for an empty vocabulary
        return None, []
    return matrix, [str(word) for word in vectoriser.get_feature_names_out()]


def _content_words(text: str) -> list[str]:
    return [word for word in words_of(text) if tells(word) and word not in STOP]


def _top_terms(documents: Sequence[str], labels: I32, k: int) -> list[tuple[str, ...]]:
    """Terms that a cluster uses above the others, by mean TF-IDF."""
    matrix, names = term_matrix(documents)
    if matrix is None:
        return [()] * k
    overall = np.asarray(matrix.mean(axis=0)).ravel()
    rows = []
    for cluster in range(k):
        contrast = np.asarray(matrix[labels == cluster].mean(axis=0)).ravel() - overall
        rows.append(tuple(str(names[i]) for i in np.argsort(-contrast, kind="stable")[:8]))
    return rows
