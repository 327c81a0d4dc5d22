"""What the method claims, asked of the tables: does it show, does the opposite, or neither.

A claim is a pair of rows of which one should have more than the other of a metric, bits per byte where no other is
named, paired over people. p is corrected over all claims that a report asks (Holm).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from copersona.export.evaluation.bench.bits import BITS
from copersona.export.evaluation.bench.statistics import bootstrap_means, holm, interval, paired
from copersona.export.evaluation.methods.ablated import HISTORY_TEXT
from copersona.export.evaluation.methods.copersona import COPERSONA
from copersona.export.evaluation.methods.lora import LORA_RAG
from copersona.export.evaluation.methods.switched import EPISODES_ONLY, FACETS_ONLY, NOBODY
from copersona.export.evaluation.methods.twins import RANKS
from copersona.export.evaluation.report.results import Row, Table, Values
from copersona.runtime.common.arrays import F64

Verdict = Literal["yes", "no", "not shown"]
SURE = "log-probability of own text"
OWN, NEAREST, FARTHEST = COPERSONA.name, RANKS[0].name, RANKS[-1].name
ASKED = (  # table, the row that should cost more, the one that should cost less, the claim
    ("methods", NOBODY.name, OWN, "the persona pays: nobody costs more than oneself"),
    ("ablations", LORA_RAG.name, HISTORY_TEXT.name, "the soft prompt pays: with own texts alone beside it, retrained"),
    ("twins", FARTHEST, NEAREST, "likeness helps: the most similar other's costs less than the least similar's"),
    ("twins", NEAREST, FARTHEST, "the near twin misleads (PRIME): it costs more than the least similar's"),
    ("twins", NEAREST, FARTHEST, "the near twin is believed (PRIME): the model is surer of what it writes as it", SURE),
    ("cold", NOBODY.name, "1", "cold start: one interaction is better than nobody"),
    ("cold", NOBODY.name, "all", "cold start: all interactions are better than nobody"),
    ("cold", "1", "all", "cold start: all interactions are better than one"),
    ("show", "inputs", "outputs", "outputs over inputs: what people wrote tells more than what they were asked"),
    ("place", "middle", "first", "early placement: persona first is better than in the middle"),
    ("place", "last", "first", "early placement: persona first is better than last"),
    ("retrieval", "BM25", "recency", "recency over similarity: better than BM25"),
    ("retrieval", "dense", "recency", "recency over similarity: better than dense retrieval"),
    (
        "memory",
        EPISODES_ONLY.name,
        FACETS_ONLY.name,
        "summaries over episodes: facets alone are better than texts alone",
    ),
)
SWEEPS = ("show", "place", "retrieval", "memory")
UNTRAINED = " (nothing retrained)"
EACH = {  # table: the row that every other should cost more than, and the claim
    "methods": (OWN, "CoPersona is better than {}"),
    "ablations": (OWN, "retrained, this is worse: {}"),
    "twins": ("one's own", "one's own persona is better than {}"),
}
NO_RIVALS = (("methods", "unigram reference"), ("methods", NOBODY.name), ("ablations", LORA_RAG.name))
HALF = 0.5  # of the gain of people in the graph, for people whom no step has seen


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim of the method: what was found, and whether its interval is on the right side of zero."""

    claim: str
    figure: str
    people: int
    verdict: Verdict


def claims(tables: Sequence[Table], people: Values) -> list[Claim]:
    """The claims that these tables can answer."""
    by_name = {table.experiment.name: table for table in tables}
    pairs = list(_pairs(by_name))
    found = [_gaps(more, less, metric) for _, more, less, metric in pairs]
    differences = [paired(gaps, np.zeros_like(gaps)) for gaps in found]
    corrected = holm([d.p for d in differences])
    rows = [
        Claim(claim, f"{d.mean:+.5f} [{d.low:+.5f}, {d.high:+.5f}], p {p:.2g}", d.people, verdict(d.low, d.high, p))
        for (claim, *_), d, p in zip(pairs, differences, corrected, strict=True)
    ]
    return rows + ([_new_people(by_name["methods"], people)] if _has_both(by_name, people) else [])


def verdict(low: float, high: float, p: float = 0.0) -> Verdict:
    """Of an interval that should lie above zero, and its corrected p."""
    if p >= 0.05 or low <= 0 <= high:
        return "not shown"
    return "yes" if low > 0 else "no"


def _pairs(tables: Mapping[str, Table]) -> Iterator[tuple[str, Row, Row, str]]:
    """Claims with the row that should have more and the one that should have less, both with values, and of what."""
    for name, (label, claim) in EACH.items():
        rows = _rows(tables, name)
        for other, row in rows.items():
            if label in rows and other != label and (name, other) not in NO_RIVALS:
                yield claim.format(other), row, rows[label], BITS
    for name, more, less, claim, *other_metric in ASKED:
        metric = other_metric[0] if other_metric else BITS
        rows = _rows(tables, name, metric)
        if more in rows and less in rows:
            yield claim + UNTRAINED * (name in SWEEPS), rows[more], rows[less], metric


def _rows(tables: Mapping[str, Table], name: str, metric: str = BITS) -> dict[str, Row]:
    return {row.label: row for row in tables[name].rows if row.people(metric)} if name in tables else {}


def _gaps(more: Row, less: Row, metric: str = BITS) -> F64:
    """A metric of a row minus another's, (people of both,)."""
    both = set(less.people(metric))
    people = [p for p in more.people(metric) if p in both]
    return more.column(metric, people) - less.column(metric, people)


def _has_both(tables: Mapping[str, Table], people: Values) -> bool:
    rows = _rows(tables, "methods")
    return OWN in rows and NOBODY.name in rows and len({row["new"] for row in people.values()}) == 2


def _new_people(methods: Table, people: Values) -> Claim:
    """New people gain at least half as much as those in the graph, if these gain at all: the interval of what they
    gain beyond half, both groups drawn anew."""
    gains, draws = {}, {}
    for new in (0.0, 1.0):
        inside = {p for p, row in people.items() if row["new"] == new}
        own, nobody = (
            Row(label, "", {p: v for p, v in methods.row(label).values.items() if p in inside})
            for label in (OWN, NOBODY.name)
        )
        gaps = _gaps(nobody, own)
        gains[new], draws[new] = interval(gaps), bootstrap_means(gaps, seed=int(new))
    (trained, low, high), (new, new_low, new_high) = gains[0.0], gains[1.0]
    share = f": {new / trained:.0%}" if trained > 0 else ""
    figure = f"{new:.5f} [{new_low:+.5f}, {new_high:+.5f}] against {trained:.5f} [{low:+.5f}, {high:+.5f}]{share}"
    claim = "new people gain at least half of what people in the graph gain"
    if low <= 0:
        return Claim(claim, f"{figure}; these do not gain", len(people), "not shown")
    least, most = np.percentile(draws[1.0] - HALF * draws[0.0], [2.5, 97.5])
    figure += f"; beyond half {new - HALF * trained:+.5f} [{least:+.5f}, {most:+.5f}]"
    return Claim(claim, figure, len(people), verdict(least, most))
