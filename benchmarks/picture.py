"""One person's persona as a picture: own evidence, what peers lend, gates. An SVG for light and for dark pages.

    python benchmarks/picture.py --bundle BUNDLE --person Bex --latest 2 > docs/persona.svg

The person is one of the demo's invented ones. Of peers it shows numbers and values of facets, never a sentence.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from copersona.runtime.common.terminal import one_line
from copersona.runtime.demo.data import Demo, demo_bundle
from copersona.runtime.engine.engine import Sampling
from copersona.runtime.session.session import open_bundle

WIDTH, TOP, ROW = 920, 92, 62
LEFT, EVIDENCE, GATE = 24, 250, 470  # where the columns begin
BAR = {"evidence": 180, "gate": 400}  # widths
CUTS = (0.3, 0.5, 0.75)  # of support: weak, moderate, strong from there
STYLE = """
  .page { fill: #ffffff; stroke: #d0d7de } .ink { fill: #1f2328 } .soft { fill: #59636e } .rail { fill: #eaeef2 }
  .own { fill: #0969da } .peers { fill: #9a6700 } .mark { stroke: #59636e } .on { fill: #ffffff }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117; stroke: #3d444d } .ink { fill: #f0f6fc } .soft { fill: #9198a1 } .rail { fill: #21262d }
    .own { fill: #4493f8 } .peers { fill: #d29922 } .mark { stroke: #9198a1 } .on { fill: #0d1117 }
  }
  text { font-family: -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif; font-size: 13px }
  .head { font-size: 17px; font-weight: 600 } .name { font-weight: 600 } .small { font-size: 11.5px }
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One facet as drawn: `peers` are (number within the picture, value of the facet)."""

    facet: str
    says: str
    reliability: str
    support: float
    own: float
    peers: tuple[tuple[int, str], ...]


def rows_of(demo: Demo, person: str) -> tuple[tuple[Row, ...], int]:
    """The facets of a person, and by how many texts they are known."""
    answer = demo.answer("Write a review.", person, Sampling(max_tokens=1)).finish()
    shown = demo.shown(answer)
    history = demo.history(person)
    supports = [facet.support for facet in demo.session.know(history).persona.profile.facets]
    numbers: dict[str, int] = {}
    rows = []
    for facet, support in zip(shown.facets, supports, strict=True):
        lent = [peer for peer in facet.lent if peer.in_prompt] or list(facet.lent[:1])
        peers = tuple((numbers.setdefault(p.peer, len(numbers) + 1), value_of(p.says)) for p in lent)
        rows.append(Row(facet.facet, value_of(facet.says), facet.reliability, support, facet.own, peers))
    return tuple(rows), len(history)


def value_of(says: str) -> str:
    """A facet's value without its notes."""
    return one_line(says).partition(" (")[0]


def draw(person: str, texts: int, rows: tuple[Row, ...]) -> str:
    """The picture as SVG."""
    height = TOP + ROW * len(rows) + 44
    known = f"{person}, an invented person known by {texts} {'text' if texts == 1 else 'texts'}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img">',
        f"<title>{escape(known)}: facets, evidence and gates</title><style>{STYLE}</style>",
        f'<rect class="page" x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>',
        text(LEFT, 36, known, "ink head"),
        text(LEFT, 68, "facet", "soft small"),
        text(EVIDENCE, 68, "evidence in their own texts", "soft small"),
        text(GATE, 68, "in the soft prompt: their own share, and the similar people's", "soft small"),
    ]
    for i, row in enumerate(rows):
        parts += draw_row(row, TOP + ROW * i)
    foot = (
        "Dotted: from where evidence is weak, moderate, strong. Below the right bars: peers, as numbers, whose facet "
        "stands in the prompt as someone else's."
    )
    parts += [text(LEFT, height - 18, foot, "soft small"), "</svg>"]
    return "\n".join(parts) + "\n"


def draw_row(row: Row, y: int) -> list[str]:
    """One facet: name and value, evidence with the cuts of the labels, shares, peers."""
    cut = BAR["gate"] * row.own
    parts = [
        text(LEFT, y + 14, one_line(row.facet, 32), "ink name"),
        text(LEFT, y + 33, one_line(row.says, 34) or "too little to say", "ink" if row.says else "soft"),
        bar(EVIDENCE, y + 3, BAR["evidence"], "rail"),
        bar(EVIDENCE, y + 3, BAR["evidence"] * row.support, "own"),
    ]
    for at in CUTS:
        x = EVIDENCE + BAR["evidence"] * at
        parts.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{y}" y2="{y + 20}" stroke-dasharray="2 2"/>')
    parts += [
        text(EVIDENCE, y + 35, f"{row.reliability} ({row.support:.2f})", "soft small"),
        bar(GATE, y + 3, cut, "own"),
        bar(GATE + cut, y + 3, BAR["gate"] - cut, "peers"),
        text(GATE + 6, y + 15, f"own {row.own:.2f}", "on small"),
    ]
    if BAR["gate"] - cut > 70:
        parts.append(text(GATE + cut + 6, y + 15, f"peers {1 - row.own:.2f}", "on small"))
    line = "; ".join(f"peer {number}: {value}" for number, value in row.peers) or "no peer near enough"
    parts.append(text(GATE, y + 35, one_line(line, 72), "soft small"))
    return parts


def bar(x: float, y: float, width: float, name: str) -> str:
    return f'<rect class="{name}" x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="16" rx="2"/>'


def text(x: float, y: float, line: str, name: str) -> str:
    return f'<text class="{name}" x="{x:.1f}" y="{y:.1f}">{escape(line)}</text>'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--bundle", type=Path, help="default: the demo's own")
    parser.add_argument("--person", default="Bex")
    parser.add_argument("--latest", type=int, default=2, help="know the person by their latest texts only")
    options = parser.parse_args()
    with open_bundle(demo_bundle(options.bundle)) as session, Demo(session, latest=options.latest) as demo:
        person = demo.find(options.person)
        rows, texts = rows_of(demo, person)
    sys.stdout.write(draw(person, texts, rows))


if __name__ == "__main__":
    main()
