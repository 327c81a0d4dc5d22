"""The methods' table cut into groups of people: by facets without strong support (Table 4), by earlier interactions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from copersona.export.evaluation.bench.bits import BITS, PARTS
from copersona.export.evaluation.experiments.trials import Trial
from copersona.export.evaluation.methods.copersona import COPERSONA
from copersona.export.evaluation.methods.lora import LORA_RAG
from copersona.export.evaluation.methods.switched import NOBODY
from copersona.export.evaluation.report.results import Comparison, Row, Table, Values, compare, corrected

RIVALS = (NOBODY.name, LORA_RAG.name)


@dataclass(frozen=True, slots=True)
class Cut:
    """People grouped by a figure about them: group i holds those from `starts[i]` up to before the next."""

    name: str
    title: str
    figure: str
    unit: str
    starts: Sequence[int]

    def groups(self, people: Values) -> dict[str, set[str]]:
        """Label to the people of each group that has any."""
        found = {}
        for start, after in zip(self.starts, [*self.starts[1:], None], strict=True):
            inside = {p for p, row in people.items() if start <= row[self.figure] < (after or float("inf"))}
            last = "" if after is None or after == start + 1 else f"-{after - 1}"
            if inside:
                found[f"{start}{'+' if after is None else last} {self.unit}"] = inside
        return found


CUTS = (
    Cut("coverage", "Quality by facet coverage", "facets not strong", "facets not strong", range(7)),
    Cut(
        "history", "Quality by how much was written before", "interactions", "earlier interactions", (0, 1, 3, 5, 8, 11)
    ),
)


def grouped(methods: Table, people: Values, cut: Cut) -> Table | None:
    """Own against nobody and against LoRA with RAG, group by group; None without any of them."""
    there = {row.label: row for row in methods.rows if row.values}
    rivals = [there[name] for name in RIVALS if name in there]
    if COPERSONA.name not in there or not rivals:
        return None
    rows: list[Row] = []
    comparisons: list[Comparison] = []
    drawn: list[Trial] = []
    for label, inside in cut.groups(people).items():
        group = [
            replace(row, label=f"{label}: {row.label}", values={p: v for p, v in row.values.items() if p in inside})
            for row in (there[COPERSONA.name], *rivals)
        ]
        if group[0].values:
            rows += group
            comparisons += compare(cut.name, group, group[0].label, [BITS])
            names = zip(group[1:], rivals, strict=True)
            drawn += [Trial(row.label, None, series=rival.label, point=label) for row, rival in names]
    experiment = replace(
        methods.experiment,
        name=cut.name,
        title=cut.title,
        against=COPERSONA.name,
        text=f"People by {cut.unit}; each group's other rows against {COPERSONA.name}: above zero, it is better.",
        trials=drawn,
        plot="line",
        changes=False,
    )
    return Table(experiment, rows, [BITS, *PARTS], corrected(comparisons))
