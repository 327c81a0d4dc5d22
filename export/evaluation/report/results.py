"""From values to tables: means, differences paired over people, Holm's correction over those of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from copersona.export.evaluation.bench.bench import Bench
from copersona.export.evaluation.bench.judge import MARKS
from copersona.export.evaluation.bench.statistics import Difference, holm, paired
from copersona.export.evaluation.bench.texts import TEXT_METRICS, corpus_bleu
from copersona.export.evaluation.bench.values import ValueStore
from copersona.export.evaluation.experiments.compute import WRITTEN, Plan, generated_key, people_key, writes
from copersona.export.evaluation.experiments.trials import Experiment
from copersona.runtime.common.arrays import F64

Values = Mapping[str, Mapping[str, float]]
"""Person to metric to value."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table with everybody's values."""

    label: str
    note: str
    values: Values

    @property
    def said(self) -> str:
        """The note, and for how many of its people a writer had nothing to say: refused, or answered with no lines."""
        told = self.people(WRITTEN)
        silent = sum(self.values[person][WRITTEN] == 0 for person in told)
        return f"{self.note}, nothing for {silent} of {len(told)} people" if silent else self.note

    def column(self, metric: str, people: Sequence[str]) -> F64:
        return np.array([self.values[p][metric] for p in people])

    def people(self, metric: str) -> list[str]:
        return [p for p, row in self.values.items() if metric in row]

    def mean(self, metric: str) -> float | None:
        """Mean over the people who have the metric; of BLEU the corpus's."""
        people = self.people(metric)
        if not people:
            return None
        if metric == "BLEU":
            return corpus_bleu([dict(self.values[p]) for p in people])
        return float(self.column(metric, people).mean())


@dataclass(frozen=True, slots=True)
class Comparison:
    """A row against another by one metric; differences are row minus the other, paired over people."""

    table: str
    method: str
    against: str
    metric: str
    gap: Difference
    p_holm: float

    def to_json(self) -> dict[str, Any]:
        gap = self.gap
        return {
            "method": self.method,
            "against": self.against,
            "metric": self.metric,
            "difference": round(gap.mean, 6),
            "low": round(gap.low, 6),
            "high": round(gap.high, 6),
            "p_holm": round(self.p_holm, 5),
            "people": gap.people,
            "table": self.table,
            "smallest": round(gap.smallest, 6) if np.isfinite(gap.smallest) else None,
        }


@dataclass(frozen=True, slots=True)
class Table:
    """An experiment with its values; `metrics` are the columns that hold something."""

    experiment: Experiment
    rows: Sequence[Row]
    metrics: Sequence[str]
    comparisons: Sequence[Comparison]

    def row(self, label: str) -> Row:
        return next(row for row in self.rows if row.label == label)

    def against(self, method: str, metric: str) -> Comparison | None:
        """The comparison of a row by a metric, if there is one."""
        return next((c for c in self.comparisons if (c.method, c.metric) == (method, metric)), None)


def collect(bench: Bench, store: ValueStore, experiment: Experiment, plan: Plan) -> Table:
    """The values of an experiment's trials as a table."""
    rows = []
    for trial in experiment.trials:
        bits_key, text_key = trial.key(bench), generated_key(bench, trial, plan)
        values = {}
        for case in plan.asked(experiment):  # the store may know of people whom this plan does not ask
            use = [bits_key] * (trial.bits and trial.asks(case)) + [text_key] * writes(trial, case, plan)
            merged = {n: v for key in use for n, v in store.get(key, case.person).items()}
            if merged:
                values[case.person] = merged
        rows.append(Row(trial.label, trial.method.note if trial.method else "", values))
    return table(experiment, rows)


def table(experiment: Experiment, rows: Sequence[Row], seed: int = 0) -> Table:
    """Compare each row with the experiment's, on the people that both have."""
    wanted = (*experiment.columns, *MARKS)
    metrics = [m for m in dict.fromkeys(wanted) if any(row.people(m) for row in rows)]
    return Table(experiment, rows, metrics, compare(experiment.name, rows, experiment.against, metrics, seed))


def compare(name: str, rows: Sequence[Row], against: str, metrics: Sequence[str], seed: int = 0) -> list[Comparison]:
    """All comparisons of a table, p corrected over those of one kind: of the true text, or of generated ones."""
    other = next((row for row in rows if row.label == against), None)
    found = []
    for row in rows if other is not None else ():
        for metric in metrics:
            assert other is not None
            there = set(other.people(metric))
            people = [p for p in row.people(metric) if p in there]
            if row is not other and people:
                gap = paired(row.column(metric, people), other.column(metric, people), seed)
                found.append(Comparison(name, row.label, against, metric, gap, gap.p))
    return [c for kind in (False, True) for c in corrected([c for c in found if of_texts(c.metric) is kind])]


def of_texts(metric: str) -> bool:
    """Whether a metric judges generated texts; the others are shown in a table of their own."""
    return metric in TEXT_METRICS or metric in MARKS


def corrected(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Comparisons with p corrected over all of them (Holm)."""
    adjusted = holm([c.gap.p for c in comparisons])
    return [replace(c, p_holm=p) for c, p in zip(comparisons, adjusted, strict=True)]


def restricted(whole: Table, people: set[str], name: str, title: str) -> Table:
    """The same table over some of the people."""
    rows = [replace(r, values={p: v for p, v in r.values.items() if p in people}) for r in whole.rows]
    experiment = replace(whole.experiment, name=name, title=title, changes=False, plot="")
    return table(experiment, [row for row in rows if row.values])


def about_people(bench: Bench, store: ValueStore, plan: Plan) -> Values:
    """What is said of people themselves."""
    key = people_key(bench)
    return {case.person: store.get(key, case.person) for case in plan.cases if store.get(key, case.person)}


def near_against_far(twins: Table) -> Table:
    """The most similar other's persona against the least similar's: is the near one worse, and as confident?"""
    near, far = (twins.row(label) for label in ("the most similar other's", "the least similar's"))
    experiment = replace(
        twins.experiment,
        name="twins, near against far",
        title="The most similar other against the least similar",
        against=far.label,
        text="The claim to test (PRIME): the most similar other's persona is of less use than the least similar's, and "
        "the model is more confident with it. It shows where bits per byte are higher and the log-probability is too.",
        plot="",
    )
    return table(experiment, [far, near])
