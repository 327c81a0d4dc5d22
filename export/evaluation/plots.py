"""Plots of an experiment: each trial's difference to the reference row with its 95 % interval, metric by metric.

Differences are paired over people, so that what people differ in anyway does not hide what a trial changes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from copersona.export.evaluation.results import Table

DRAWN = ("bits per byte", "ROUGE-1", "log-probability of own text", "agreement of samples")


def plot(table: Table, path: Path) -> bool:
    """Draw the table's main metrics side by side to a PNG; False where there is nothing to draw."""
    metrics = [m for m in DRAWN if m in table.metrics]
    if not metrics:
        return False
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * len(metrics), 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, metric in zip(np.atleast_1d(figure.subplots(1, len(metrics))), metrics, strict=True):
        rows = [row for row in table.rows if row.people(metric)]
        found = [(0.0, 0.0, 0.0) for _ in rows]
        for i, row in enumerate(rows):
            if compared := table.against(row.label, metric):
                gap = compared.found
                found[i] = (gap.mean, gap.mean - gap.low, gap.high - gap.mean)
        means, spread = np.array(found)[:, 0], np.array(found)[:, 1:].T
        style = "o-" if table.experiment.plot == "line" else "o"
        axes.errorbar(range(len(rows)), means, yerr=np.maximum(spread, 0), fmt=style, capsize=3)
        axes.axhline(0, color="gray", linewidth=0.8)
        axes.set_xticks(range(len(rows)), [row.label for row in rows], rotation=30, ha="right", fontsize=8)
        axes.set_ylabel(f"{metric}, minus that of: {table.experiment.against}", fontsize=8)
        axes.grid(axis="y", alpha=0.3)
    figure.suptitle(table.experiment.title, fontsize=10)
    figure.savefig(path, dpi=110)
    return True
