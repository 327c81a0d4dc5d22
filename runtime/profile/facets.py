"""Facets, the schema of a population, the profiles of a person, and their one JSON form.

A facet is one human-readable dimension along which people differ. It is measured by *features*: columns of
`style.py` (`words` empty) or induced word lists (`words` given). The schema carries the population's statistics of each
feature, so that a profile means the same on the device as it did in the export. `facets.json` is meant to be read
and edited by hand: names, definitions, values, rubrics, features and word lists; it holds nobody's sentences.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from copersona.runtime.common.arrays import F32, I32
from copersona.runtime.common.errors import FacetError
from copersona.runtime.common.strict_json import strict_json
from copersona.runtime.filecheck import values
from copersona.runtime.profile.served import LATIN
from copersona.runtime.profile.style import STYLE_FEATURES

SCHEMA_VERSION = 1
PLACEHOLDER = "No explicit profile information provided."
PERSON = "the person"
"""The source of a facet that they said themselves."""
MAX_FILE = 32 * 1024**2  # bytes of facets.json
MAX_FACETS = 256
MAX_NAMES = 100_000  # features, or words of one
SHORT, LONG = 400, 8_000  # characters of a name or value, and of a definition or rubric
FAULTS = (ValueError, KeyError, TypeError, AttributeError, RecursionError)


class Reliability(IntEnum):
    """How well a history supports a facet (paper, section 3.1)."""

    NONE = 0
    WEAK = 1
    MODERATE = 2
    STRONG = 3

    @property
    def label(self) -> str:
        return self.name.lower()

    @property
    def observed(self) -> bool:
        """Moderate or strong: the facet has an embedding and edges of its own."""
        return self >= Reliability.MODERATE


LABELS = {reliability.label: reliability for reliability in Reliability}

OMEGA: F32 = np.array([0.05, 0.25, 0.60, 0.95], dtype=np.float32)
"""Reliability weights ω of graph construction, by label (paper, appendix C). (4,) float32."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One measured quantity of a text and its statistics over the population.

    A person's z is `(mean over their interactions - mean) / between`; `within` is the spread of one interaction
    around its author's mean, in the same units. `words` makes it the share of these words in a text; empty means a
    style column.
    """

    name: str
    phrase: str
    mean: float
    between: float
    within: float
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Facet:
    """One dimension: its score is the weighted mean of its features' z, cut into `values` at `cuts`.

    kind "ordinal": `values` run from low to high, len(cuts) = len(values) - 1.
    kind "categorical": one value a feature, the value is the feature with the highest z; `cuts` is empty.
    `separates` names the clusters with the lowest and the highest score by number and top terms (evidence of
    discovery).
    """

    name: str
    definition: str
    kind: str
    values: tuple[str, ...]
    rubric: str
    features: tuple[str, ...]
    weights: tuple[float, ...]
    cuts: tuple[float, ...] = ()
    separates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FacetSchema:
    """The M facets of a population and the F features that measure them."""

    facets: tuple[Facet, ...]
    features: tuple[Feature, ...]
    feature_weight: float
    """Share of the measured features against the text embedding in a facet's vector, in [0, 1]."""
    scripts: tuple[str, ...] = (LATIN,)
    """What the population writes in; the measured features say nothing of texts in other scripts (`served.py`)."""

    def __len__(self) -> int:
        return len(self.facets)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(facet.name for facet in self.facets)

    def columns(self, facet: Facet) -> list[int]:
        """Indices into `features` of a facet's features."""
        index = {feature.name: i for i, feature in enumerate(self.features)}
        return [index[name] for name in facet.features]


@dataclass(frozen=True, slots=True)
class FacetProfile:
    """What a history says of one facet: summary, up to two verbatim quotes, reliability and the figure behind it.
    `source` is PERSON where they said it themselves."""

    facet: str
    summary: str
    quotes: tuple[str, ...]
    reliability: Reliability
    support: float
    """Expected agreement of the facet's measurement with a second history of the same size, in [0, 1]."""
    source: str = ""


class Profile(NamedTuple):
    """A person's M facet profiles and their raw (not centred) vectors: (M, D) float32, zeros where not observed."""

    facets: tuple[FacetProfile, ...]
    vectors: F32
    z: F32
    """(F,) float32, the person's standardised features."""
    by: str = ""
    """Name and prompt of the language model that made it; empty for the statistical profiler."""

    @property
    def reliabilities(self) -> I32:
        """(M,) int32 labels."""
        return np.array([int(f.reliability) for f in self.facets], dtype=np.int32)


def schema_to_json(schema: FacetSchema) -> str:
    """The schema as indented JSON, stable in order."""
    body = {"version": SCHEMA_VERSION, **asdict(schema)}
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"


def schema_from_json(text: str, source: str = "facets.json") -> FacetSchema:
    """Read a schema and check that it holds together.

    Raises:
        FacetError: not JSON, another version, a field that is missing or of the wrong type, a facet that names an
            unknown feature, weights or cuts of the wrong number; the message names the facet.
    """
    try:
        body = strict_json(text)
        if not isinstance(body, dict) or body.get("version") != SCHEMA_VERSION:
            found = values.shown(body.get("version")) if isinstance(body, dict) else type(body).__name__
            raise FacetError(f"{source}: expected a facet schema of version {SCHEMA_VERSION}, found {found}")
        schema = FacetSchema(
            facets=tuple(map(_facet, values.rows("facets", body["facets"], MAX_FACETS))),
            features=tuple(map(_feature, values.rows("features", body["features"], MAX_NAMES))),
            feature_weight=values.number("feature_weight", body["feature_weight"]),
            scripts=values.lines("scripts", body.get("scripts", [LATIN]), 64, SHORT),
        )
    except FAULTS as error:
        raise FacetError(f"{source}: not a facet schema ({_what(error)})") from error
    check_schema(schema, source)
    return schema


def read_schema(path: Path) -> FacetSchema:
    """`schema_from_json` of a file, which an editor may have begun with a byte order mark. Raises FacetError, also when
    it cannot be read."""
    try:
        if path.stat().st_size > MAX_FILE:
            raise FacetError(f"{path}: {path.stat().st_size:,} bytes, expected at most {MAX_FILE:,}")
        return schema_from_json(path.read_text(encoding="utf-8-sig"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise FacetError(f"{path}: cannot be read ({error})") from error


def _facet(row: Any) -> Facet:
    return Facet(
        name=values.line("a facet's name", row["name"], SHORT),
        definition=values.text("definition", row["definition"], LONG),
        kind=values.line("kind", row["kind"], SHORT),
        values=values.lines("values", row["values"], MAX_FACETS, SHORT),
        rubric=values.text("rubric", row["rubric"], LONG),
        features=values.lines("features", row["features"], MAX_NAMES, SHORT),
        weights=values.numbers("weights", row["weights"], MAX_NAMES),
        cuts=values.numbers("cuts", row.get("cuts", []), MAX_NAMES),
        separates=values.lines("separates", row.get("separates", []), MAX_FACETS, LONG),
    )


def _feature(row: Any) -> Feature:
    return Feature(
        name=values.line("a feature's name", row["name"], SHORT),
        phrase=values.line("phrase", row["phrase"], SHORT, blank=True),
        mean=values.number("mean", row["mean"]),
        between=values.number("between", row["between"]),
        within=values.number("within", row["within"]),
        words=tuple(word.lower() for word in values.lines("words", row.get("words", []), MAX_NAMES, SHORT)),
    )


def _what(error: Exception) -> str:
    said = f"{error} is missing" if isinstance(error, KeyError) else str(error)
    return " ".join(f"{type(error).__name__}: {said}".split())[:300]


def check_schema(schema: FacetSchema, source: str) -> None:
    """Raise FacetError if names repeat, features are unknown, or the numbers of values, weights and cuts disagree."""
    names = [feature.name for feature in schema.features]
    try:
        values.all_different("facet", schema.names)
        values.all_different("feature", names)
    except ValueError as error:
        raise FacetError(f"{source}: {error}") from None
    if not 0 < len(schema) <= MAX_FACETS:
        raise FacetError(f"{source}: {len(schema)} facets, a schema needs at least one facet, at most {MAX_FACETS}")
    if not 0.0 <= schema.feature_weight <= 1.0:
        raise FacetError(f"{source}: feature_weight must lie in [0, 1], found {schema.feature_weight:g}")
    for feature in schema.features:
        if not feature.words and feature.name not in STYLE_FEATURES:
            raise FacetError(f"{source}: feature '{feature.name}' has no words and is no style feature")
        numbers = (feature.mean, feature.between, feature.within)
        if not np.isfinite(numbers).all() or feature.between < 1e-9 or feature.within < 0:
            raise FacetError(
                f"{source}: feature '{feature.name}' needs finite statistics and between > 0, has {numbers}"
            )
    listed = frozenset(names)
    for facet in schema.facets:
        _check_facet(source, facet, listed)


def _check_facet(source: str, facet: Facet, listed: frozenset[str]) -> None:
    where = f"{source}: facet '{facet.name}'"
    unknown = [name for name in facet.features if name not in listed]
    if unknown or not facet.features:
        raise FacetError(f"{where} names features that are not listed: {unknown or 'none at all'}")
    if len(facet.weights) != len(facet.features) or not np.isfinite(facet.weights).all() or not any(facet.weights):
        raise FacetError(f"{where} has {len(facet.features)} features but {len(facet.weights)} usable weights")
    if facet.kind == "ordinal":
        if len(facet.cuts) != len(facet.values) - 1 or list(facet.cuts) != sorted(facet.cuts):
            raise FacetError(f"{where} needs {len(facet.values) - 1} rising cuts for {len(facet.values)} values")
    elif facet.kind == "categorical":
        if len(facet.values) != len(facet.features):
            raise FacetError(f"{where} has {len(facet.values)} values but {len(facet.features)} features")
    else:
        raise FacetError(f"{where} is of kind '{facet.kind}', expected ordinal or categorical")


def profile_to_json(facets: Sequence[FacetProfile]) -> str:
    """Facet profiles as one line of JSON (a peer's row in the graph)."""
    return json.dumps(
        [
            {
                "facet": f.facet,
                "summary": f.summary,
                "quotes": list(f.quotes),
                "reliability": f.reliability.label,
                "support": round(f.support, 4),
            }
            for f in facets
        ],
        ensure_ascii=False,
    )


def profile_from_json(text: str, *, own: bool = False) -> tuple[FacetProfile, ...]:
    """Inverse of `profile_to_json`; of a file of one's `own` whatever people wrote stands in its texts, of a bundle
    what may stand in a prompt alone. Raises FacetError."""
    words = (lambda what, value, most: str(value)) if own else values.text
    try:
        return tuple(
            FacetProfile(
                facet=values.line("facet", row["facet"], SHORT),
                summary=words("summary", row["summary"], LONG),
                quotes=tuple(words("a quote", quote, LONG) for quote in values.listed("quotes", row["quotes"], 8)),
                reliability=LABELS[row["reliability"]],
                support=values.number("support", row["support"], 0, 1),
            )
            for row in values.rows("profile", strict_json(text), MAX_FACETS)
        )
    except FAULTS as error:
        raise FacetError(f"not a facet profile ({_what(error)})") from error
