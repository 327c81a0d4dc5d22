"""How often what is said of a person holds for their next text, and whether saying less is more often right.

What is said of a facet is one of its values; it is right where the next text measures the same one. The least support
(`confidence` of the context settings) is the one with which COVERAGE of what could be said is said, at validation; at
the test it is used as it is.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from copersona.export.common.figures import Figures
from copersona.export.common.statistics import DRAWS
from copersona.export.population.profile import State
from copersona.export.run.run import Run
from copersona.runtime.common.arrays import F32, F64
from copersona.runtime.history.interactions import outputs
from copersona.runtime.profile.facets import Facet, FacetSchema
from copersona.runtime.profile.profiler import facet_score, measure, standardise

COVERAGE = 0.8


def abstention(run: Run, people: int | None) -> Figures:
    """The confidence by validation, and accuracies at the test with it and without, over people."""
    sample = [person for person, split in run.splits.items() if split.held_out][:people]
    least = float(np.quantile(np.concatenate([support for support, _ in _said(run, sample, 0)]), 1 - COVERAGE))
    counts = []
    for support, right in _said(run, sample, 1):
        kept = support >= least
        counts.append((right.sum(), len(right), right[kept].sum(), kept.sum()))
    return {"confidence": round(least, 3), **_accuracies(np.array(counts, np.float64), run.settings.seed)}


def _said(run: Run, people: list[str], later: int) -> Iterator[tuple[F64, F64]]:
    """Of each person's observed facets, as they stand `later` texts after the training: support, and whether the next
    text measures what is said, 1 or 0."""
    schema = run.schema
    for person in people:
        cut = run.splits[person].seen + later
        profile = run.profiles[State(person, cut)]
        z = standardise(measure(outputs(run.histories[person][cut : cut + 1]), schema).values, schema)
        rows = [
            (facet.support, float(_value(which, profile.z, schema) == _value(which, z, schema)))
            for which, facet in zip(schema.facets, profile.facets, strict=True)
            if facet.reliability.observed
        ]
        support, right = np.array(rows, np.float64).reshape(-1, 2).T
        yield support, right


def _value(facet: Facet, z: F32, schema: FacetSchema) -> int:
    """Which of the facet's values is said of someone with this z (F,)."""
    if facet.kind == "categorical":
        return int(z[schema.columns(facet)].argmax())
    return int(np.searchsorted(facet.cuts, facet_score(facet, z, schema), side="right"))


def _accuracies(counts: F64, seed: int) -> Figures:
    """Right and said, of all and of what is kept: (people, 4)."""
    draw, n = np.random.default_rng(seed), len(counts)
    sums = np.stack([counts[draw.integers(0, n, n)].sum(axis=0) for _ in range(DRAWS)])
    right, said, right_kept, kept = counts.sum(axis=0)
    low, high = np.percentile(sums[:, 2] / sums[:, 3] - sums[:, 0] / sums[:, 1], [2.5, 97.5])
    gain = {"mean": right_kept / kept - right / said, "low": low, "high": high}
    return {
        "said": round(float(kept / said), 4),
        "accuracy of all": round(float(right / said), 4),
        "accuracy of what is said": round(float(right_kept / kept), 4),
        "gain": {**{name: round(float(value), 4) for name, value in gain.items()}, "people": n},
    }
