"""Plots of an experiment: each trial's difference to the reference row with its 95 % interval, metric by metric.

Differences are paired over people, so that what people differ in anyway does not hide what a trial changes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from copersona.export.evaluation.report.results import Table

DRAWN = ("bits per byte", "ROUGE-1", "log-probability of own text", "agreement of samples")
APART = 0.12  # between series at one point, of the distance between points


def plot(table: Table, path: Path) -> bool:
    """Draw the table's main metrics to a PNG, up to two side by side; False where there is nothing to draw."""
    metrics = [m for m in DRAWN if m in table.metrics]
    if not metrics:
        return False
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(len(metrics), 2)
    rows = -(-len(metrics) // columns)
    figure = Figure(figsize=(5.6 * columns, 3.8 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes, metric in zip(panels, metrics, strict=False):
        _draw(axes, table, metric)
    for axes in panels[len(metrics) :]:
        axes.set_axis_off()
    figure.suptitle(table.experiment.title, fontsize=10)
    figure.savefig(path, dpi=110)
    return True


def _draw(axes: Any, table: Table, metric: str) -> None:
    """One metric: a line for each series, over the points in the order of the trials."""
    experiment = table.experiment
    there = {row.label for row in table.rows if row.people(metric)}
    trials = [t for t in experiment.trials if t.label in there]
    points = list(dict.fromkeys(t.point or t.label for t in trials))
    for k, series in enumerate(dict.fromkeys(t.series for t in trials)):
        where, means, below, above = [], [], [], []
        for trial in trials:
            if trial.series != series:
                continue
            compared = table.against(trial.label, metric)
            gap = compared.gap if compared else None
            where.append(points.index(trial.point or trial.label) + k * APART)
            means.append(gap.mean if gap else 0.0)
            below.append(max(gap.mean - gap.low, 0) if gap else 0.0)
            above.append(max(gap.high - gap.mean, 0) if gap else 0.0)
        style = "o-" if experiment.plot == "line" else "o"
        axes.errorbar(where, means, yerr=[below, above], fmt=style, capsize=3, label=series or experiment.against)
    if any(t.series for t in trials):
        axes.legend(fontsize=8)
    axes.axhline(0, color="gray", linewidth=0.8)
    axes.set_xticks(range(len(points)), points, rotation=30, ha="right", fontsize=8)
    axes.set_title(metric, fontsize=9)
    axes.set_ylabel(f"difference to: {experiment.against}", fontsize=8)
    axes.grid(axis="y", alpha=0.3)
