"""Curves of growth as an SVG for light and for dark pages: both axes logarithmic, each path with its exponent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 920, 460, 60, 40, 400, 50  # of the picture, and the panel's margins
COLOURS = ("#0969da", "#9a6700", "#1a7f37", "#cf222e", "#8250df", "#bf3989", "#0550ae", "#bc4c00", "#116329",
           "#57606a", "#6639ba")  # fmt: skip
STYLE = """
  .page { fill: #ffffff; stroke: #d0d7de } .ink { fill: #1f2328 } .soft { fill: #59636e } .rail { stroke: #eaeef2 }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117; stroke: #3d444d } .ink { fill: #f0f6fc } .soft { fill: #9198a1 } .rail { stroke: #21262d }
    .line { filter: brightness(1.5) }
  }
  text { font-family: -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif; font-size: 12px }
"""


@dataclass(frozen=True, slots=True)
class Curve:
    """Milliseconds of a path at some sizes, and the slope of their logarithms."""

    name: str
    unit: str
    sizes: tuple[int, ...]
    found: tuple[float, ...]
    exponent: float


def draw_curves(curves: Sequence[Curve]) -> str:
    """The picture. Sizes are drawn as multiples of the smallest."""
    decades = [math.log10(value) for curve in curves for value in curve.found]
    low, high = math.floor(min(decades)), max(math.ceil(max(decades)), math.floor(min(decades)) + 1)

    def x(times: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log10(times) / 2

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - math.log10(value)) / (high - low)

    parts = [_text(LEFT, 24, "CPU time of each path at 1, 10 and 100 times a size", "ink")]
    for decade in range(low, high + 1):
        parts.append(_rail(LEFT, y(10.0**decade), WIDTH - RIGHT, y(10.0**decade)))
        parts.append(_text(8, y(10.0**decade) + 4, f"{10.0**decade:g} ms", "soft"))
    for times in (1, 10, 100):
        parts.append(_rail(x(times), TOP, x(times), HEIGHT - BOTTOM))
        parts.append(_text(x(times) - 8, HEIGHT - BOTTOM + 18, f"{times}x", "soft"))
    for number, curve in enumerate(curves):
        parts += _curve(curve, COLOURS[number % len(COLOURS)], number, x, y)
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Growth">\n'
        f"<style>{STYLE}</style>\n"
        f'<rect class="page" x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="6"/>\n{body}\n</svg>\n'
    )


def _curve(curve: Curve, colour: str, number: int, x, y) -> list[str]:  # type: ignore[no-untyped-def]
    """The line with its points, and its row in the legend."""
    spots = [(x(size / curve.sizes[0]), y(value)) for size, value in zip(curve.sizes, curve.found, strict=True)]
    line = " ".join(f"{a:.1f},{b:.1f}" for a, b in spots)
    dots = [f'<circle class="line" cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour}"/>' for a, b in spots]
    left, top = WIDTH - RIGHT + 20, TOP + 14 + number * 32
    return [
        f'<polyline class="line" points="{line}" fill="none" stroke="{colour}" stroke-width="1.8"/>',
        *dots,
        f'<rect class="line" x="{left}" y="{top - 9}" width="10" height="10" fill="{colour}"/>',
        _text(left + 16, top, f"{curve.name}: exponent {curve.exponent:.2f}", "ink"),
        _text(left + 16, top + 14, f"1x = {curve.sizes[0]:,} {curve.unit}, {curve.found[0]:.2g} ms", "soft"),
    ]


def _rail(left: float, top: float, right: float, bottom: float) -> str:
    return f'<line class="rail" x1="{left:.1f}" y1="{top:.1f}" x2="{right:.1f}" y2="{bottom:.1f}"/>'


def _text(left: float, top: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{left:.1f}" y="{top:.1f}">{escape(text)}</text>'
