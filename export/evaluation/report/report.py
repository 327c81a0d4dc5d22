"""The report: bare facts first, then every experiment as a table with its differences, then how it was made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from copersona.export.common.files import write_text
from copersona.export.evaluation.bench.bench import Bench
from copersona.export.evaluation.bench.bits import BITS, names
from copersona.export.evaluation.bench.judge import MARKS
from copersona.export.evaluation.bench.texts import SHORT, TEXT_METRICS
from copersona.export.evaluation.experiments.compute import Plan
from copersona.export.evaluation.report.claims import Claim, claims
from copersona.export.evaluation.report.document import Block, Grid, Heading, Picture, Text, markdown, page
from copersona.export.evaluation.report.facts import Facts
from copersona.export.evaluation.report.plots import plot
from copersona.export.evaluation.report.results import Comparison, Table, Values, of_texts
from copersona.export.evaluation.report.results_file import write_results

LOWER = {BITS, "words", "punctuation and case", "end of text"}
TEST = (
    "Held out: everyone's last interaction is the test, the one before it served validation; nothing induced or "
    "trained has seen either."
)
VALIDATION = (
    "VALIDATION (--validation): asked at everyone's last interaction but one, to choose settings by; no step of the "
    "training has learnt from it, checkpoints were chosen by some of them. The test is untouched."
)
SMALL = 500_000_000  # parameters below which likeness of texts is said to be descriptive


def write_report(folder: Path, bench: Bench, plan: Plan, tables: Sequence[Table], people: Values, facts: Facts) -> None:
    """Write report.md, report.html, plots and results.json.gz."""
    asked = claims(tables, people)
    head = Heading(f"Evaluation of {facts.bundle[:12]}", 1)
    blocks: list[Block] = [head, *_facts(facts, tables, people), *_claims(asked)]
    for table in tables:
        blocks += _section(folder, table)
    blocks += [*_gating(facts.gating), *_people(people), *_making(plan, facts)]
    write_text(folder / "report.md", markdown(blocks))
    write_text(folder / "report.html", page(blocks, f"Evaluation of {facts.bundle[:12]}"))
    write_results(folder, results_json(tables, asked, facts))


def results_json(tables: Sequence[Table], asked: Sequence[Claim], facts: Facts) -> dict[str, Any]:
    """Everything as figures: comparisons, and each person's values by table and row, to five decimals."""
    return {
        "dataset": facts.dataset,
        "people": facts.people,
        "base": asdict(facts.base),
        "comparisons": [c.to_json() for table in tables for c in table.comparisons],
        "claims": [asdict(claim) for claim in asked],
        "values": {table.experiment.name: {row.label: _rounded(row.values) for row in table.rows} for table in tables},
        "facts": facts.to_json(),
    }


def _rounded(values: Values) -> dict[str, dict[str, float]]:
    return {person: {name: round(value, 5) for name, value in row.items()} for person, row in values.items()}


def _facts(facts: Facts, tables: Sequence[Table], people: Values) -> list[Block]:
    base = facts.base
    lines = [
        f"{facts.people} people of {facts.dataset}, {facts.new_people} of them seen by no step of the export.",
        VALIDATION if facts.validation else TEST,
        "The rating and the title of the target are given to the model with the item, in every condition, "
        "as in the paper.",
        f"Base: {base.name}, {base.parameters:,} parameters, {base.training}; then {facts.training}.",
    ]
    if facts.profiles_by:
        lines.append("Training had profiles by a language model; people are known here by statistics alone.")
    if facts.limit:
        lines.insert(0, f"LIMITED to {facts.people} people (--limit): to try things out, not to conclude from.")
    if base.parameters < SMALL:
        lines.append(
            "The base is small: what it generates is far from fluent, so likeness of texts (ROUGE, METEOR, BLEU, "
            "BERTScore) is descriptive only. Bits per byte of the true text is what the conclusions rest on."
        )
    if cut := int(sum(row.get("cut", 0.0) for row in people.values())):
        lines.append(
            f"{cut} of the true texts are longer than the room that the longest prompt leaves: of these the beginning "
            "is scored, the same for every row."
        )
    blocks: list[Block] = [Heading("Bare facts"), *(Text(line) for line in lines)]
    if tables:
        smallest = [c.gap.smallest for c in tables[0].comparisons if c.metric == BITS]
        if smallest:
            there = max(c.gap.people for c in tables[0].comparisons)
            reach = f"from {min(smallest):.5f} to {max(smallest):.5f}, by the row compared,"
            text = f"With {there} people, differences in bits per byte {reach} are shown in four cases of five"
            blocks.append(Text(f"{text} (two-sided 5 %, before correction)."))
    return blocks


def _claims(asked: Sequence[Claim]) -> list[Block]:
    """Each claim of the method, and whether it shows."""
    if not asked:
        return []
    text = (
        "What should cost more minus what should cost less, in bits per byte of the true text, paired over people; of "
        "how sure the model is, nats a token. 95 % intervals, Holm over all of these. yes: the interval lies above "
        "zero and p, where there is one, is below 0.05; no: the opposite shows; not shown: neither does."
    )
    grid = Grid(["Claim", "found", "people", "shows"], [[c.claim, c.figure, str(c.people), c.verdict] for c in asked])
    return [Heading("What is claimed, and whether it shows"), Text(text), grid]


def _section(folder: Path, table: Table) -> list[Block]:
    experiment = table.experiment
    blocks: list[Block] = [Heading(experiment.title), Text(experiment.text)]
    if not any(row.values for row in table.rows):
        return [*blocks, Text("Nothing measured.")]
    bits = [m for m in table.metrics if not of_texts(m)]
    texts = [m for m in table.metrics if m in TEXT_METRICS]
    for metrics in (bits, texts):
        if metrics:
            blocks.append(_grid(table, metrics))
    if any(m in MARKS for m in table.metrics):
        blocks.append(_marks(table))
    if experiment.plot and plot(table, folder / f"{experiment.name}.png"):
        blocks.append(Picture(folder / f"{experiment.name}.png", experiment.title))
    for kind in (False, True):
        rows = [c for c in table.comparisons if of_texts(c.metric) is kind]
        if rows:
            text = (
                f"Differences to {experiment.against}, paired over people; 95 % bootstrap intervals, p by sign flips, "
            )
            blocks += [Text(f"{text}Holm over these {len(rows)}."), _differences(rows)]
    return blocks


def _grid(table: Table, metrics: Sequence[str]) -> Grid:
    """Means, laid out as the paper's; the best of a column bold, changes against the full model in parentheses."""
    means = [[row.mean(metric) for metric in metrics] for row in table.rows]
    bold = set()
    for j, metric in enumerate(metrics):
        there = [(value, i) for i, value in enumerate(row[j] for row in means) if value is not None]
        if there:
            bold.add(((min if metric in LOWER else max)(there)[1], j + 1))
    full = next((row for row in table.rows if row.label == table.experiment.against), None)
    rows = []
    for row, values in zip(table.rows, means, strict=True):
        cells = [_label(row.label, row.said)]
        for metric, value in zip(metrics, values, strict=True):
            cell = "" if value is None else _number(value, metric)
            reference = full.mean(metric) if full is not None and table.experiment.changes else None
            if value is not None and reference is not None and row is not full:
                cell += f" ({value - reference:+.4f})"
            cells.append(cell)
        rows.append([*cells, str(max((len(row.people(m)) for m in metrics), default=0))])
    return Grid(["Method", *(SHORT.get(m, m) for m in metrics), "people"], rows, frozenset(bold))


def _label(label: str, note: str) -> str:
    return f"{label} ({note})" if note else label


def _number(value: float, metric: str) -> str:
    return f"{value:.2f}" if metric == "BLEU" else f"{value:.4f}"


def _marks(table: Table) -> Grid:
    """The judge's marks as mean ± standard deviation (Table 3), and how often it abstained."""
    rows = []
    for row in table.rows:
        cells = []
        for mark in MARKS:
            people = row.people(mark)
            column = row.column(mark, people)
            cells.append(f"{column.mean():.2f} ± {column.std():.2f}" if people else "")
        judged = row.people("abstained")
        share = f"{row.column('abstained', judged).mean():.0%}" if judged else ""
        rows.append([row.label, *cells, share])
    return Grid(["Method", *MARKS, "abstained"], rows)


def _differences(comparisons: Sequence[Comparison]) -> Grid:
    rows = []
    for c in comparisons:
        gap = c.gap
        cells = f"{gap.mean:+.5f}", f"[{gap.low:+.5f}, {gap.high:+.5f}]", f"{c.p_holm:.4g}"
        rows.append([c.method, SHORT.get(c.metric, c.metric), *cells, f"{gap.smallest:.5f}", str(gap.people)])
    return Grid(
        ["Method", "metric", "difference", "95 % interval", "p (Holm)", "smallest shown, uncorrected", "people"], rows
    )


def _gating(shares: Mapping[str, Mapping[str, float]]) -> list[Block]:
    """Best and trained gates by reliability."""
    if not shares:
        return []
    head = list(next(iter(shares.values())))
    text = (
        "A facet's score guessed from one's own latest texts and from the shared neighbours, against one's other "
        "texts. The best share of one's own, with its 95 % interval over people, should rise with the label, as the "
        "trained gate does by construction."
    )
    rows = [[label, *(f"{row[name]:g}" for name in head)] for label, row in shares.items()]
    return [Heading("Gates"), Text(text), Grid(["Reliability", *head], rows)]


def _people(people: Values) -> list[Block]:
    """Statistics of the data as in the paper's Table 4."""
    if not people:
        return []
    column = {name: np.array([row[name] for row in people.values()]) for name in next(iter(people.values()))}
    biased = int((column["facets not strong"] >= 1).sum())
    cells = [
        str(len(people)),
        f"{column['interactions'].mean():.2f} ± {column['interactions'].std():.2f}",
        f"{column['characters'].mean():.2f} ± {column['characters'].std():.2f}",
        f"{biased} ({biased / len(people):.2%})",
    ]
    head = ["#data", "Profile size", "Output length", "Facet-biased"]
    return [Heading("The data (the paper's Table 4)"), Grid(head, [cells])]


def _making(plan: Plan, facts: Facts) -> list[Block]:
    """Settings, seeds, hashes, versions, and what the metrics are."""
    rows: dict[str, Any] = {
        "bundle": facts.bundle,
        "run settings": json.dumps(facts.settings, ensure_ascii=False),
        "decoding": json.dumps(asdict(plan.sampling)),
        "texts generated for": f"{len(plan.texts)} people",
        "judge": plan.judge.name if plan.judge else "none",
        "versions": ", ".join(f"{name} {value}" for name, value in facts.versions.items()),
        **facts.hashes,
        **{f"variant {name}": json.dumps(value) for name, value in facts.variants.items()},
    }
    meanings = [*names().items(), *(plan.metrics.signatures().items() if plan.metrics else ())]
    return [
        Heading("How it was made"),
        Grid(["what", "value"], [[name, str(value)] for name, value in rows.items()]),
        Heading("The metrics", 3),
        Grid(["metric", "how"], [list(row) for row in meanings]),
    ]
