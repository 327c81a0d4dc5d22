"""Facet discovery without a language model (paper, section 3.1 and appendix C).

Documents of up to 8 interactions a person -> sentence embedding beside standardised style features -> KMeans ->
TF-IDF terms and medoids of each cluster. From the clusters' contrast, M facets: families of style features and one
facet of induced subjects, kept when two halves of a person agree on them and the clusters differ in them, dropped
when they repeat another. Sees training people's interactions before validation, and writes nobody's sentences into
`facets.json`: a subject's words are each used by at least MIN_PEOPLE people.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import NMF
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, TfidfVectorizer

from copersona.export.families import FAMILIES, PHRASES, SUBJECTS, Family
from copersona.runtime.arrays import F32, F64, I32
from copersona.runtime.errors import ExportError
from copersona.runtime.facets import Facet, FacetSchema, Feature
from copersona.runtime.interactions import History, outputs
from copersona.runtime.profiler import Encode, measure
from copersona.runtime.style import COMPLAINT, HEDGE, PRAISE, STYLE_FEATURES, style_matrix, words_of

DOCUMENT_INTERACTIONS = 8
DOCUMENT_CHARACTERS = 2400
MIN_PEOPLE = 8  # a word that is written into a schema is used by at least this many people
LEAST_PEOPLE = 24  # fewer people than this have no clusters worth contrasting
SUBJECT_WORDS = 14
REDUNDANT = 0.6  # facets whose scores correlate more than this over people count as one
STOP = ENGLISH_STOP_WORDS | PRAISE | COMPLAINT | HEDGE


@dataclass(frozen=True, slots=True)
class Cluster:
    """Evidence package of one persona mode; medoids are people, so packages stay in the run folder."""

    size: int
    terms: tuple[str, ...]
    medoids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Discovery:
    """The schema, the clusters it contrasts, each person's cluster and each facet's figures."""

    schema: FacetSchema
    clusters: tuple[Cluster, ...]
    assignment: Mapping[str, int]
    figures: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class _Candidate:
    facet: Facet
    agreement: float  # correlation of the scores of two halves of one person
    separation: float  # share of the score's variance that lies between clusters
    scores: F64  # (U,)


def discover(
    histories: Mapping[str, History], encode: Encode, *, facets: int, seed: int, clusters: int = 8
) -> Discovery:
    """Induce `facets` facets from training people's known histories.

    Raises:
        ExportError: fewer than LEAST_PEOPLE people, or fewer facets in them than asked for.
    """
    people = [person for person, history in histories.items() if any(outputs(history))]
    if len(people) < LEAST_PEOPLE:
        raise ExportError(f"facets need at least {LEAST_PEOPLE} people with text, the training set has {len(people)}")
    texts = [[t for t in outputs(histories[person]) if t.strip()] for person in people]
    assignment, found = _cluster(people, [histories[p] for p in people], texts, encode, clusters, seed)
    features = [*_style_features(texts), *_subject_features(texts, seed)]
    draft = FacetSchema((), tuple(features), 0.5)
    rows = [measure(row, draft).values for row in texts]
    candidates = _candidates(rows, draft, assignment, found)
    chosen = _choose(candidates, facets)
    used = {name for candidate in chosen for name in candidate.facet.features}
    schema = FacetSchema(tuple(c.facet for c in chosen), tuple(f for f in features if f.name in used), 0.5)
    figures = {c.facet.name: {"agreement": c.agreement, "separation": c.separation} for c in candidates}
    return Discovery(schema, found, dict(zip(people, assignment.tolist(), strict=True)), figures)


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


def _terms(documents: Sequence[str]) -> tuple[Any, list[str]]:
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
    return [word for word in words_of(text) if len(word) >= 3 and word.isalpha() and word not in STOP]


def _top_terms(documents: Sequence[str], labels: I32, k: int) -> list[tuple[str, ...]]:
    """Terms that a cluster uses above the others, by mean TF-IDF."""
    matrix, names = _terms(documents)
    if matrix is None:
        return [()] * k
    overall = np.asarray(matrix.mean(axis=0)).ravel()
    rows = []
    for cluster in range(k):
        contrast = np.asarray(matrix[labels == cluster].mean(axis=0)).ravel() - overall
        rows.append(tuple(str(names[i]) for i in np.argsort(-contrast, kind="stable")[:8]))
    return rows


def _statistics(rows: Sequence[F32]) -> tuple[F64, F64, F64]:
    """Mean, between-person and within-person standard deviation of each column, by one-way analysis of variance."""
    means = np.stack([row.mean(axis=0) for row in rows])
    sizes = np.array([len(row) for row in rows])
    squares = sum(((row - row.mean(axis=0)) ** 2).sum(axis=0) for row in rows)
    within = np.sqrt(squares / max(int((sizes - 1).sum()), 1))
    noise = within**2 * (1.0 / sizes).mean()
    between = np.sqrt(np.maximum(means.var(axis=0) - noise, 0.05 * means.var(axis=0) + 1e-6))
    return means.mean(axis=0), between, within


def _style_features(texts: Sequence[list[str]]) -> list[Feature]:
    mean, between, within = _statistics([style_matrix(row) for row in texts])
    columns = zip(STYLE_FEATURES, mean.tolist(), between.tolist(), within.tolist(), strict=True)
    return [Feature(n, PHRASES[n], round(m, 6), round(b, 6), round(w, 6)) for n, m, b, w in columns]


def _subject_features(texts: Sequence[list[str]], seed: int) -> list[Feature]:
    """Word lists of subjects by non-negative factorisation of people's TF-IDF; a word belongs to its strongest
    subject."""
    documents = [" ".join(row) for row in texts]
    matrix, words = _terms(documents)
    subjects = int(np.clip(len(documents) // 12, 3, 8))
    if matrix is None or min(matrix.shape) < subjects:
        return []
    factors = NMF(subjects, init="nndsvda", random_state=seed, max_iter=400).fit(matrix).components_
    owner = factors.argmax(axis=0)
    lists = []
    for subject in range(subjects):
        own = np.where(owner == subject, factors[subject], 0.0)
        best = [i for i in np.argsort(-own, kind="stable")[:SUBJECT_WORDS] if own[i] > 0]
        if len(best) >= 4:
            lists.append(tuple(str(words[i]) for i in best))
    shares = [[_share(text, words) for words in map(frozenset, lists)] for row in texts for text in row]
    sizes = np.cumsum([len(row) for row in texts])[:-1]
    mean, between, within = _statistics(np.split(np.array(shares, dtype=np.float32), sizes))
    return [
        Feature(f"subject: {w[0]}", f"words about {w[0]}", round(m, 6), round(b, 6), round(s, 6), w)
        for w, m, b, s in zip(lists, mean.tolist(), between.tolist(), within.tolist(), strict=True)
    ]


def _share(text: str, lexicon: frozenset[str]) -> float:
    words = words_of(text)
    return float(np.sqrt(100.0 * sum(word in lexicon for word in words) / max(len(words), 1)))


def _candidates(
    rows: Sequence[F32], draft: FacetSchema, assignment: I32, clusters: Sequence[Cluster]
) -> list[_Candidate]:
    mean = np.array([f.mean for f in draft.features])
    between = np.array([f.between for f in draft.features])
    halved = [row for row in rows if len(row) >= 4] or [row for row in rows if len(row) >= 2]
    halved = halved or [np.zeros((2, len(draft.features)), dtype=np.float32)]  # no halves: no agreement
    z = np.stack([(row.mean(axis=0) - mean) / between for row in rows])
    odd = np.stack([(row[0::2].mean(axis=0) - mean) / between for row in halved])
    even = np.stack([(row[1::2].mean(axis=0) - mean) / between for row in halved])
    names = [f.name for f in draft.features]
    found = []
    for family in FAMILIES:
        columns = [names.index(name) for name, _ in family.features]
        weights = np.array([weight for _, weight in family.features])
        score = z[:, columns] @ weights / np.abs(weights).sum()
        agreement = _correlation(odd[:, columns] @ weights, even[:, columns] @ weights)
        facet = _ordinal(family, score, assignment, clusters)
        found.append(_Candidate(facet, agreement, _separation(score[:, None], assignment), score))
    lists = [i for i, f in enumerate(draft.features) if f.words]
    if len(lists) >= 2:
        agreement = float(np.mean([_correlation(odd[:, c], even[:, c]) for c in lists]))
        facet = _categorical([draft.features[c] for c in lists], z[:, lists], assignment, clusters)
        score = z[:, lists] @ np.arange(len(lists))  # only for redundancy: subjects have no order
        found.append(_Candidate(facet, agreement, _separation(z[:, lists], assignment), score))
    return found


def _correlation(a: F64, b: F64) -> float:
    if len(a) < 3 or a.std() == 0 or b.std() == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _separation(scores: F64, assignment: I32) -> float:
    """Share of variance between clusters (η²), averaged over columns. (U, n) -> [0, 1]."""
    total = scores.var(axis=0)
    inside = sum(scores[assignment == c].var(axis=0) * (assignment == c).mean() for c in np.unique(assignment))
    return float(np.mean(np.where(total > 1e-9, 1 - inside / np.maximum(total, 1e-12), 0.0)))


def _separates(scores: F64, assignment: I32, clusters: Sequence[Cluster]) -> tuple[str, ...]:
    means = [scores[assignment == c].mean() for c in range(len(clusters))]
    low, high = int(np.argmin(means)), int(np.argmax(means))
    return tuple(f"cluster {c}: {', '.join(clusters[c].terms[:4])}" for c in (low, high))


def _ordinal(family: Family, score: F64, assignment: I32, clusters: Sequence[Cluster]) -> Facet:
    cuts = tuple(round(float(q), 4) for q in np.quantile(score, [0.2, 0.4, 0.6, 0.8]))
    names = ", ".join(PHRASES[name] for name, _ in family.features)
    rubric = (
        f"Score = mean standardised rate of {names}; "
        + "; ".join(f"'{value}' below {cut:g}" for value, cut in zip(family.values, cuts, strict=False))
        + f"; '{family.values[-1]}' from there."
    )
    features, weights = zip(*family.features, strict=True)
    separates = _separates(score, assignment, clusters)
    return Facet(family.name, family.definition, "ordinal", family.values, rubric, features, weights, cuts, separates)


def _categorical(features: Sequence[Feature], z: F64, assignment: I32, clusters: Sequence[Cluster]) -> Facet:
    name, definition, rubric = SUBJECTS
    values = tuple(", ".join(f.words[:3]) for f in features)
    separates = tuple(
        f"cluster {c}: {', '.join(cluster.terms[:4])} -> {values[int(z[assignment == c].mean(axis=0).argmax())]}"
        for c, cluster in enumerate(clusters)
    )
    names = tuple(f.name for f in features)
    return Facet(name, definition, "categorical", values, rubric, names, (1.0,) * len(names), (), separates)


def _choose(candidates: Sequence[_Candidate], facets: int) -> list[_Candidate]:
    """The best by agreement x separation that repeat none already chosen; feature lists never overlap between
    facets."""
    ranked = sorted(candidates, key=lambda c: -max(c.agreement, 0.0) * np.sqrt(max(c.separation, 0.0)))
    chosen: list[_Candidate] = []
    for candidate in ranked:
        apart = all(
            candidate.facet.kind == "categorical"
            or c.facet.kind == "categorical"
            or abs(_correlation(candidate.scores, c.scores)) <= REDUNDANT
            for c in chosen
        )
        if apart and candidate.separation > 0 and len(chosen) < facets:
            chosen.append(candidate)
    if len(chosen) < facets:
        most = len(chosen)
        raise ExportError(
            f"asked for {facets} facets, the population supports {most} that do not repeat; use --facets {most}"
        )
    return chosen
