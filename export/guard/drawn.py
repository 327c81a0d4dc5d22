"""The pictures of a guard's report: layers, and coverage against accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from copersona.export.guard.locator import Located
from copersona.export.guard.reliance import Curve
from copersona.runtime.common.arrays import F64

COLOURS = 32


def draw_layers(found: Located, by_layer: F64, path: Path) -> None:
    """Mean deviation of perplexity by layer in both groups, and the prober's AUC by layer, to a PNG."""
    figure, (left, right) = _figure(2)
    for name, values in (("degraded facts", found.degraded), ("helped personal questions", found.beneficial)):
        left.plot(range(len(values)), values, ".-", label=name)
    left.axhline(0, color="gray", linewidth=0.8)
    left.set_ylabel("relative deviation of perplexity")
    right.plot(range(len(by_layer)), by_layer, ".-", label="prober's AUC, validation")
    right.set_ylim(0, 1.02)
    for axes in (left, right):
        axes.axvline(found.layer, color="gray", linestyle=":", label=f"chosen: {found.layer}")
        axes.set_xlabel("layer")
        axes.legend(fontsize=7)
    _save(figure, path)


def draw_reliance(curves: Mapping[str, Curve], path: Path) -> None:
    """Accuracy of the surest part of the answers by how large it is, to a PNG."""
    figure, (axes,) = _figure(1)
    for name, (coverage, accuracy) in curves.items():
        axes.plot(coverage, accuracy, label=name)
    axes.set(xlabel="coverage: share of answers given", ylabel="accuracy of these", ylim=(0, 1))
    axes.legend(fontsize=7)
    _save(figure, path)


def _figure(columns: int) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * columns, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, columns, squeeze=False)[0]


def _save(figure: Any, path: Path) -> None:
    """Save it in few colours, which makes a third of the file."""
    from PIL import Image

    figure.savefig(path, dpi=90)
    few = Image.open(path).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
