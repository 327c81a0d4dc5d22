"""History to facet profiles without a language model: style and word statistics.

For each facet: how the person scores on its features against the population, a one-line summary, up to two quotes that
stand verbatim in the history, and a reliability from the amount and the split-half consistency of the evidence. The
same code profiles the population in the export and the person on the device. Paper, section 3.1.

A facet's vector holds the person's own words that bear on the facet beside the features that define it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import numpy as np

from copersona.runtime.common.arrays import F32, Bool
from copersona.runtime.history.interactions import clean_text
from copersona.runtime.profile.facets import PLACEHOLDER, Facet, FacetProfile, FacetSchema, Profile, Reliability
from copersona.runtime.profile.segments import sentences_of, words_of
from copersona.runtime.profile.served import served
from copersona.runtime.profile.style import STYLE_FEATURES, style_matrix

VERSION = 1  # raise it when the same texts give another profile
RECENT = 200  # interactions that are measured; a longer history is profiled by its latest
EVIDENCE_INTERACTIONS = 8  # latest interactions that sentences are taken from
EVIDENCE_CHARACTERS = 320
QUOTE_CHARACTERS = 120
PRIOR_HALVES = 2.0  # how many split-half comparisons the population's own spread counts for
MIN_WORDS = 20  # fewer words than this support nothing

Encode = Callable[[str], F32]
"""One text to its unit vector, (E,) float32."""


class Evidence(NamedTuple):
    """Measurements of a history, one row an interaction."""

    values: F32
    """(n, F) float32 feature values, not standardised."""
    hits: F32
    """(n, F) float32 words that bear on the feature: lexicon hits, or all words for a style feature."""


def measure(texts: Sequence[str], schema: FacetSchema) -> Evidence:
    """Feature values of each text. n texts -> (n, F) values and hits."""
    style = style_matrix(texts)
    values = np.zeros((len(texts), len(schema.features)), dtype=np.float32)
    hits = np.zeros_like(values)
    words = [words_of(text) for text in texts]
    sizes = np.array([len(row) for row in words], dtype=np.float32)
    for column, feature in enumerate(schema.features):
        if feature.words:
            lexicon = frozenset(feature.words)
            counts = np.array([sum(w in lexicon for w in row) for row in words], dtype=np.float32)
            values[:, column] = np.sqrt(100.0 * counts / np.maximum(sizes, 1.0))
            hits[:, column] = counts
        else:
            values[:, column] = style[:, STYLE_FEATURES.index(feature.name)]
            hits[:, column] = sizes
    return Evidence(values, hits)


def standardise(values: F32, schema: FacetSchema) -> F32:
    """z of the mean over interactions, clipped to ±4. (n, F) -> (F,) float32; zeros without interactions."""
    if not len(values):
        return np.zeros(len(schema.features), dtype=np.float32)
    mean = np.array([feature.mean for feature in schema.features])
    between = np.array([feature.between for feature in schema.features])
    z: F32 = np.clip((values.mean(axis=0, dtype=np.float64) - mean) / between, -4.0, 4.0).astype(np.float32)
    return z


def facet_score(facet: Facet, z: F32, schema: FacetSchema) -> float:
    """Weighted mean of the z of a facet's features. z is (F,)."""
    return float(np.dot(z[schema.columns(facet)], np.array(facet.weights)) / sum(map(abs, facet.weights)))


def support(facet: Facet, evidence: Evidence, schema: FacetSchema) -> float:
    """Expected agreement of the facet's measurement with another history as long, in [0, 1].

    Between-person variance over itself plus the error variance of this person's mean. The error is the squared
    difference of the odd and the even half, over four, shrunk towards the population's within-person variance over n
    (PRIOR_HALVES comparisons' worth): one lucky or unlucky split does not decide. Averaged over the facet's features.
    """
    n = len(evidence.values)
    if n == 0 or not _has_evidence(facet, evidence, schema):
        return 0.0
    columns = schema.columns(facet)
    between = np.array([schema.features[c].between for c in columns])
    within = np.array([schema.features[c].within for c in columns])
    error = within**2 / n
    if n >= 2:
        halves = [evidence.values[start::2, columns].mean(axis=0, dtype=np.float64) for start in (0, 1)]
        split = (halves[0] - halves[1]) ** 2 / 4.0
        error = (PRIOR_HALVES * error + split) / (PRIOR_HALVES + 1.0)
    return float(np.mean(between**2 / (between**2 + error)))


def _has_evidence(facet: Facet, evidence: Evidence, schema: FacetSchema) -> bool:
    """Enough words that bear on it: MIN_WORDS in all for style, at least two for word lists."""
    hits = evidence.hits[:, schema.columns(facet)]
    lexicon = any(schema.features[c].words for c in schema.columns(facet))
    return bool(hits.sum() >= 2) if lexicon else bool(hits.sum(axis=0).max(initial=0) >= MIN_WORDS)


def reliability(value: float) -> Reliability:
    """Label of a support figure: none below 0.3, weak below 0.5, moderate below 0.75, strong from there."""
    return Reliability(int(np.searchsorted([0.3, 0.5, 0.75], value, side="right")))


def summarise(facet: Facet, z: F32, schema: FacetSchema) -> str:
    """One line: the facet's value for this person and what stands out. Holds none of the person's words."""
    columns = schema.columns(facet)
    if facet.kind == "categorical":
        order = np.argsort(-z[columns], kind="stable")
        named = [facet.values[i] for i in order[:2] if z[columns[i]] > 0.25] or [facet.values[order[0]]]
        return f"{facet.name}: mostly {', then '.join(named)}"
    value = facet.values[int(np.searchsorted(facet.cuts, facet_score(facet, z, schema), side="right"))]
    standing = sorted((c for c in columns if abs(z[c]) >= 1.0), key=lambda c: -abs(z[c]))[:2]
    notes = [f"{'many' if z[c] > 0 else 'few'} {schema.features[c].phrase}" for c in standing]
    return f"{facet.name}: {value}" + (f" ({', '.join(notes)})" if notes else "")


def bearing_sentences(
    facet: Facet, texts: Sequence[str], z: F32, schema: FacetSchema, left_out: Collection[str] = ()
) -> list[str]:
    """Sentences of the latest texts that bear most on the facet, best first; none that holds what is left out.

    Word lists: most hits first. Style: the sentences that lean furthest to the side the person leans to.
    """
    recent = texts[-EVIDENCE_INTERACTIONS:]
    unique = list(dict.fromkeys(s for text in reversed(recent) for s in sentences_of(text) if len(words_of(s)) >= 3))
    unique = [s for s in unique if not any(quote in s for quote in left_out)]
    if not unique:
        return []
    columns = schema.columns(facet)
    found = measure(unique, schema)
    if any(schema.features[c].words for c in columns):
        marks = found.hits[:, columns].sum(axis=1)
    else:
        spread = np.array([math.hypot(schema.features[c].between, schema.features[c].within) for c in columns])
        centre = np.array([schema.features[c].mean for c in columns])
        marks = (np.clip((found.values[:, columns] - centre) / spread, -3, 3) * z[columns]).mean(axis=1)
    order: list[int] = np.argsort(-marks, kind="stable").tolist()
    return [unique[i] for i in order]


def pick_quotes(sentences: Sequence[str], texts: Sequence[str], limit: int = 2) -> tuple[str, ...]:
    """Up to `limit` sentences short enough to quote, each verified to stand verbatim in one of the texts."""
    fitting = (s for s in sentences if 12 <= len(s) <= QUOTE_CHARACTERS)
    verified = (s for s in fitting if any(s in text for text in texts))
    return tuple(s for s, _ in zip(verified, range(limit), strict=False))


def facet_vector(facet: Facet, z: F32, text: F32, schema: FacetSchema) -> F32:
    """Text embedding beside the facet's own features, both of about unit size, weighted by `feature_weight`.

    text (E,), z (F,) -> (D,) = (E + F,) float32, not centred; features of other facets are zero.
    """
    columns = schema.columns(facet)
    features = np.zeros(len(schema.features), dtype=np.float32)
    features[columns] = z[columns] / np.float32(math.sqrt(len(columns)))
    share = np.float32(schema.feature_weight)
    return np.concatenate([(1 - share) * text, share * features])


def profile_history(
    texts: Sequence[str], schema: FacetSchema, encode: Encode, left_out: Collection[str] = ()
) -> Profile:
    """Facet profiles of what a person wrote, oldest first; no quote or vector is of a sentence that holds what is left
    out.

    Facets with none or weak support get the neutral placeholder, no quotes and a zero vector. Texts in a script that
    the population does not write in support nothing.

    Returns:
        M facet profiles; vectors (M, D) float32, not centred; z (F,) float32.
    """
    written = [t for t in map(clean_text, texts[-RECENT:]) if t]
    clean = served(written, schema.scripts)
    evidence = measure(clean or written, schema)
    z = standardise(evidence.values, schema)
    rows: list[tuple[FacetProfile, F32 | None]] = []
    for facet in schema.facets:
        figure = support(facet, evidence, schema) if clean else 0.0
        label = reliability(figure)
        if not label.observed:
            rows.append((FacetProfile(facet.name, PLACEHOLDER, (), label, figure), None))
            continue
        summary = summarise(facet, z, schema)
        sentences = bearing_sentences(facet, clean, z, schema, left_out)
        vector = facet_vector(facet, z, encode(evidence_text(summary, sentences)), schema)
        rows.append((FacetProfile(facet.name, summary, pick_quotes(sentences, clean), label, figure), vector))
    return assemble(rows, z, schema, encode)


def assemble(
    rows: Sequence[tuple[FacetProfile, F32 | None]], z: F32, schema: FacetSchema, encode: Encode, by: str = ""
) -> Profile:
    """The profile of M facets and their vectors (D,); None, for a facet that is not observed, becomes zeros."""
    width = next((len(vector) for _, vector in rows if vector is not None), None)
    if width is None:  # nothing observed: one encoding tells the width
        width = len(encode(PLACEHOLDER)) + len(schema.features)
    vectors = np.stack([np.zeros(width, dtype=np.float32) if vector is None else vector for _, vector in rows])
    return Profile(tuple(facet for facet, _ in rows), vectors, z, by)


def evidence_text(summary: str, sentences: Sequence[str]) -> str:
    """What a facet's embedding is made from: the summary, and sentences that bear on it while they fit."""
    return f"{summary}. {_cut(sentences, EVIDENCE_CHARACTERS)}"


def _cut(sentences: Sequence[str], characters: int) -> str:
    """Whole sentences in order while they fit; the first alone may be cut."""
    kept: list[str] = []
    for sentence in sentences:
        if kept and sum(map(len, kept)) + len(sentence) > characters:
            break
        kept.append(sentence[:characters])
    return " ".join(kept)


def placeholder_vector(schema: FacetSchema, encode: Encode) -> F32:
    """The vector of the neutral placeholder, its features zero. (D,) float32, not centred."""
    text = encode(PLACEHOLDER) * np.float32(1 - schema.feature_weight)
    return np.concatenate([text, np.zeros(len(schema.features), dtype=np.float32)])


class Centring(NamedTuple):
    """Layer means over observed people and the centred placeholder: both (M, D) float32. Shipped in the bundle."""

    means: F32
    placeholder: F32

    def __call__(self, vectors: F32, observed: Bool) -> F32:
        """Subtract the layer's mean, normalise; the placeholder where not observed. (..., M, D), (..., M) -> (...,
        M, D)."""
        centred = vectors - self.means
        norms = np.linalg.norm(centred, axis=-1, keepdims=True)
        unit = centred / np.maximum(norms, np.float32(1e-12))
        centred_or_neutral: F32 = np.where(observed[..., None], unit, self.placeholder).astype(np.float32)
        return centred_or_neutral


def fit_centring(vectors: F32, observed: Bool, neutral: F32) -> Centring:
    """Means over the people observed on each layer. (U, M, D), (U, M), (D,) -> Centring."""
    weight = observed[..., None].astype(np.float64)
    means = ((vectors * weight).sum(axis=0) / np.maximum(weight.sum(axis=0), 1.0)).astype(np.float32)
    centred = neutral - means
    norms = np.linalg.norm(centred, axis=-1, keepdims=True)
    placeholder: F32 = (centred / np.maximum(norms, np.float32(1e-12))).astype(np.float32)
    return Centring(means, placeholder)
