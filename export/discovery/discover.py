"""Facet discovery without a language model (paper, section 3.1 and appendix C).

Documents of up to 8 interactions a person -> sentence embedding beside standardised style features -> KMeans ->
TF-IDF terms and medoids of each cluster. From the clusters' contrast, M facets: families of style features and one
facet of induced subjects, kept when two halves of a person agree on them and the clusters differ in them, dropped
when they repeat another. Sees training people's interactions before validation, and writes nobody's sentences into
`facets.json`: a subject's words are each used by at least MIN_PEOPLE people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.decomposition import NMF

from copersona.export.discovery.candidates import (
    Candidate,
    Discovery,
    Measured,
    categorical,
    figures_of,
    measure_people,
    ordinal,
    repeats,
    schema_of,
    style_features,
    word_features,
)
from copersona.export.discovery.clusters import contrast, term_matrix
from copersona.export.discovery.families import FAMILIES, SUBJECTS
from copersona.runtime.common.errors import ExportError
from copersona.runtime.history.interactions import History
from copersona.runtime.profile.facets import Feature
from copersona.runtime.profile.profiler import Encode

SUBJECT_WORDS = 14


def discover(
    histories: Mapping[str, History], encode: Encode, *, facets: int, seed: int, clusters: int = 8
) -> Discovery:
    """Induce `facets` facets from training people's histories before validation.

    Raises:
        ExportError: fewer than LEAST_PEOPLE people, or fewer facets in them than asked for.
    """
    groups = contrast(histories, encode, clusters, seed)
    measured = measure_people(groups, [*style_features(groups.texts), *_subject_features(groups.texts, seed)])
    candidates = _candidates(measured)
    schema = schema_of(_choose(candidates, facets), measured)
    return Discovery(schema, groups.clusters, groups.by_person, figures_of(candidates))


def _subject_features(texts: Sequence[Sequence[str]], seed: int) -> list[Feature]:
    """Word lists of subjects by non-negative factorisation of people's TF-IDF; a word belongs to its strongest
    subject."""
    documents = [" ".join(row) for row in texts]
    matrix, words = term_matrix(documents)
    subjects = int(np.clip(len(documents) // 12, 3, 8))
    if matrix is None or min(matrix.shape) < subjects:
        return []
    with np.errstate(invalid="ignore"):  # an exact factorisation's error, which nobody reads, may round to below zero
        factors = NMF(subjects, init="nndsvda", random_state=seed, max_iter=400).fit(matrix).components_
    owner = factors.argmax(axis=0)
    lists = []
    for subject in range(subjects):
        own = np.where(owner == subject, factors[subject], 0.0)
        best = [i for i in np.argsort(-own, kind="stable")[:SUBJECT_WORDS] if own[i] > 0]
        if len(best) >= 4:
            lists.append(tuple(str(words[i]) for i in best))
    names, phrases = [f"subject: {w[0]}" for w in lists], [f"words about {w[0]}" for w in lists]
    return word_features(texts, lists, names, phrases)


def _candidates(measured: Measured) -> list[Candidate]:
    found = [ordinal(measured, f.name, f.definition, f.values, f.features) for f in FAMILIES]
    lists = [feature for feature in measured.features if feature.words]
    if len(lists) >= 2:
        name, definition, rubric = SUBJECTS
        values = [", ".join(feature.words[:3]) for feature in lists]
        found.append(categorical(measured, name, definition, values, [f.name for f in lists], rubric))
    return found


def _choose(candidates: Sequence[Candidate], facets: int) -> list[Candidate]:
    """The best by agreement x separation that repeat none already chosen; feature lists never overlap between
    facets."""
    ranked = sorted(candidates, key=lambda c: -max(c.agreement, 0.0) * np.sqrt(max(c.separation, 0.0)))
    chosen: list[Candidate] = []
    for candidate in ranked:
        if candidate.separation > 0 and len(chosen) < facets and repeats(candidate, chosen) is None:
            chosen.append(candidate)
    if len(chosen) < facets:
        most = len(chosen)
        raise ExportError(
            f"asked for {facets} facets, the population supports {most} that do not repeat; use --facets {most}"
        )
    return chosen
