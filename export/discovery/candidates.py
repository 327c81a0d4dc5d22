"""A facet that is proposed, by statistics or by a model, measured on the population: scores, cuts and figures.

Whatever proposes a facet, its features, their statistics, its cuts and what is said of it come from here, so that any
schema can be profiled on a device without a language model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from copersona.export.discovery.clusters import Cluster, Contrast
from copersona.export.discovery.families import PHRASES
from copersona.runtime.common.arrays import F32, F64, I32
from copersona.runtime.profile.facets import Facet, FacetSchema, Feature
from copersona.runtime.profile.profiler import measure
from copersona.runtime.profile.segments import words_of
from copersona.runtime.profile.style import STYLE_FEATURES, style_matrix

FEATURE_WEIGHT = 0.5  # until halves of histories tell a better one
REDUNDANT = 0.6  # facets whose scores correlate more than this over people count as one


@dataclass(frozen=True, slots=True)
class Discovery:
    """The schema, the clusters it contrasts, each person's cluster and each facet's figures."""

    schema: FacetSchema
    clusters: tuple[Cluster, ...]
    assignment: Mapping[str, int]
    figures: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A facet with its figures on the population."""

    facet: Facet
    agreement: float  # correlation of the scores of two halves of one person
    separation: float  # share of the score's variance that lies between clusters
    scores: F64  # (U,)


@dataclass(frozen=True, slots=True)
class Measured:
    """Everyone's standardised features: z (U, F), and the odd and even halves (V, F) of those with enough texts."""

    groups: Contrast
    features: tuple[Feature, ...]
    z: F64
    odd: F64
    even: F64

    def columns(self, names: Sequence[str]) -> list[int]:
        """Indices into `features` by name."""
        index = {feature.name: i for i, feature in enumerate(self.features)}
        return [index[name] for name in names]


def measure_people(groups: Contrast, features: Sequence[Feature]) -> Measured:
    """Measure everyone's texts by these features."""
    draft = FacetSchema((), tuple(features), FEATURE_WEIGHT)
    rows = [measure(row, draft).values for row in groups.texts]
    mean = np.array([f.mean for f in features])
    between = np.array([f.between for f in features])
    halved = [row for row in rows if len(row) >= 4] or [row for row in rows if len(row) >= 2]
    halved = halved or [np.zeros((2, len(features)), dtype=np.float32)]  # no halves: no agreement
    z = np.stack([(row.mean(axis=0) - mean) / between for row in rows])
    odd = np.stack([(row[0::2].mean(axis=0) - mean) / between for row in halved])
    even = np.stack([(row[1::2].mean(axis=0) - mean) / between for row in halved])
    return Measured(groups, tuple(features), z, odd, even)


def _statistics(rows: Sequence[F32]) -> tuple[F64, F64, F64]:
    """Mean, between-person and within-person standard deviation of each column, by one-way analysis of variance."""
    means = np.stack([row.mean(axis=0) for row in rows])
    sizes = np.array([len(row) for row in rows])
    squares = sum(((row - row.mean(axis=0)) ** 2).sum(axis=0) for row in rows)
    within = np.sqrt(squares / max(int((sizes - 1).sum()), 1))
    noise = within**2 * (1.0 / sizes).mean()
    between = np.sqrt(np.maximum(means.var(axis=0) - noise, 0.05 * means.var(axis=0) + 1e-6))
    return means.mean(axis=0), between, within


def style_features(texts: Sequence[Sequence[str]]) -> list[Feature]:
    """The style columns with their statistics over these people's texts."""
    mean, between, within = _statistics([style_matrix(row) for row in texts])
    columns = zip(STYLE_FEATURES, mean.tolist(), between.tolist(), within.tolist(), strict=True)
    return [Feature(n, PHRASES[n], round(m, 6), round(b, 6), round(w, 6)) for n, m, b, w in columns]


def word_features(
    texts: Sequence[Sequence[str]], lists: Sequence[tuple[str, ...]], names: Sequence[str], phrases: Sequence[str]
) -> list[Feature]:
    """Word lists as features, with their statistics over these people's texts."""
    if not lists:
        return []
    shares = [[_share(text, words) for words in map(frozenset, lists)] for row in texts for text in row]
    sizes = np.cumsum([len(row) for row in texts])[:-1]
    mean, between, within = _statistics(np.split(np.array(shares, dtype=np.float32), sizes))
    rows = zip(names, phrases, mean.tolist(), between.tolist(), within.tolist(), lists, strict=True)
    return [Feature(n, p, round(m, 6), round(b, 6), round(s, 6), w) for n, p, m, b, s, w in rows]


def _share(text: str, lexicon: frozenset[str]) -> float:
    words = words_of(text)
    return float(np.sqrt(100.0 * sum(word in lexicon for word in words) / max(len(words), 1)))


def ordinal(
    measured: Measured,
    name: str,
    definition: str,
    values: Sequence[str],
    signals: Sequence[tuple[str, float]],
    rubric: str = "",
) -> Candidate:
    """A facet with values from low to high, cut so that each is held by about as many people; `signals` are features
    with weights. Without a rubric it gets the one of its cuts."""
    columns = measured.columns([signal for signal, _ in signals])
    weights = np.array([weight for _, weight in signals])
    score = measured.z[:, columns] @ weights / np.abs(weights).sum()
    agreement = correlation(measured.odd[:, columns] @ weights, measured.even[:, columns] @ weights)
    cuts = tuple(round(float(q), 4) for q in np.quantile(score, [n / len(values) for n in range(1, len(values))]))
    features, numbers = zip(*signals, strict=True)
    phrases = ", ".join(measured.features[column].phrase for column in columns)
    facet = Facet(
        name,
        definition,
        "ordinal",
        tuple(values),
        rubric or _rubric_of_cuts(phrases, values, cuts),
        features,
        numbers,
        cuts,
        _separates(score, measured.groups),
    )
    return Candidate(facet, agreement, separation(score[:, None], measured.groups.assignment), score)


def categorical(
    measured: Measured, name: str, definition: str, values: Sequence[str], features: Sequence[str], rubric: str
) -> Candidate:
    """A facet whose value is the feature with the highest z, one value a feature."""
    columns = measured.columns(features)
    z = measured.z[:, columns]
    agreement = float(np.mean([correlation(measured.odd[:, c], measured.even[:, c]) for c in columns]))
    separates = tuple(
        f"cluster {c}: {', '.join(cluster.terms[:4])} -> "
        f"{values[int(z[measured.groups.assignment == c].mean(axis=0).argmax())]}"
        for c, cluster in enumerate(measured.groups.clusters)
    )
    weights = (1.0,) * len(features)
    facet = Facet(name, definition, "categorical", tuple(values), rubric, tuple(features), weights, (), separates)
    score = z @ np.arange(len(columns))  # only for redundancy: categories have no order
    return Candidate(facet, agreement, separation(z, measured.groups.assignment), score)


def repeats(candidate: Candidate, chosen: Sequence[Candidate]) -> Candidate | None:
    """The facet that this one says again, by the correlation of their scores; categories repeat nothing."""
    for other in chosen:
        ordered = candidate.facet.kind == other.facet.kind == "ordinal"
        if ordered and abs(correlation(candidate.scores, other.scores)) > REDUNDANT:
            return other
    return None


def schema_of(chosen: Sequence[Candidate], measured: Measured) -> FacetSchema:
    """The schema of these facets, with the features that they use."""
    used = {name for candidate in chosen for name in candidate.facet.features}
    features = tuple(f for f in measured.features if f.name in used)
    return FacetSchema(tuple(c.facet for c in chosen), features, FEATURE_WEIGHT)


def figures_of(candidates: Sequence[Candidate]) -> dict[str, dict[str, float]]:
    """Each facet's agreement and separation."""
    return {c.facet.name: {"agreement": c.agreement, "separation": c.separation} for c in candidates}


def _rubric_of_cuts(phrases: str, values: Sequence[str], cuts: Sequence[float]) -> str:
    return (
        f"Score = mean standardised rate of {phrases}; "
        + "; ".join(f"'{value}' below {cut:g}" for value, cut in zip(values, cuts, strict=False))
        + f"; '{values[-1]}' from there."
    )


def correlation(a: F64, b: F64) -> float:
    """Pearson's; 0 where either has no spread or there are fewer than three."""
    if len(a) < 3 or a.std() == 0 or b.std() == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def separation(scores: F64, assignment: I32) -> float:
    """Share of variance between clusters (η²), averaged over columns. (U, n) -> [0, 1]."""
    total = scores.var(axis=0)
    inside = sum(scores[assignment == c].var(axis=0) * (assignment == c).mean() for c in np.unique(assignment))
    return float(np.mean(np.where(total > 1e-9, 1 - inside / np.maximum(total, 1e-12), 0.0)))


def _separates(scores: F64, groups: Contrast) -> tuple[str, ...]:
    means = [scores[groups.assignment == c].mean() for c in range(len(groups.clusters))]
    low, high = int(np.argmin(means)), int(np.argmax(means))
    return tuple(f"cluster {c}: {', '.join(groups.clusters[c].terms[:4])}" for c in (low, high))
