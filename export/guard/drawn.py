"""The picture of a guard's report: what each layer shows."""

from __future__ import annotations

from pathlib import Path

from copersona.export.guard.locator import Located
from copersona.runtime.common.arrays import F64

COLOURS = 32  # which makes a third of the file


def draw_layers(found: Located, by_layer: F64, path: Path) -> None:
    """Mean deviation of perplexity by layer in both groups, and the prober's AUC by layer, to a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    figure = Figure(figsize=(9.2, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
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
    figure.savefig(path, dpi=90)
    few = Image.open(path).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
