"""A report as blocks, written as Markdown and as HTML that needs nothing from elsewhere."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Heading:
    text: str
    level: int = 2


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Grid:
    """A table: head, rows of cells, and which cells are bold."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    bold: frozenset[tuple[int, int]] = frozenset()


@dataclass(frozen=True, slots=True)
class Picture:
    path: Path
    text: str


Block = Heading | Text | Grid | Picture

STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:75em;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:1em 0;font-variant-numeric:tabular-nums}td,th{padding:.25em .7em;text-align:right;
border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left}th{border-bottom:2px solid #888}
img{max-width:100%}"""


def markdown(blocks: Sequence[Block]) -> str:
    """The blocks as Markdown; pictures by their file names."""
    return "\n\n".join(_markdown(block) for block in blocks) + "\n"


def _markdown(block: Block) -> str:
    if isinstance(block, Heading):
        return f"{'#' * block.level} {block.text}"
    if isinstance(block, Text):
        return block.text
    if isinstance(block, Picture):
        return f"![{block.text}]({block.path.name})"
    rows = [
        [f"**{c}**" if (i, j) in block.bold else c.replace("|", "\\|") for j, c in enumerate(row)]
        for i, row in enumerate(block.rows)
    ]
    lines = [block.head, ["---", *["---:"] * (len(block.head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page(blocks: Sequence[Block], title: str) -> str:
    """The blocks as one HTML page with its pictures inside."""
    body = "\n".join(_html(block) for block in blocks)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def _html(block: Block) -> str:
    if isinstance(block, Heading):
        return f"<h{block.level}>{html.escape(block.text)}</h{block.level}>"
    if isinstance(block, Text):
        return f"<p>{html.escape(block.text)}</p>"
    if isinstance(block, Picture):
        data = base64.b64encode(block.path.read_bytes()).decode()
        return f'<p><img alt="{html.escape(block.text)}" src="data:image/png;base64,{data}"></p>'
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in block.head)
    rows = []
    for i, row in enumerate(block.rows):
        cells = (f"<b>{html.escape(c)}</b>" if (i, j) in block.bold else html.escape(c) for j, c in enumerate(row))
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return f"<table><tr>{head}</tr>\n{chr(10).join(rows)}</table>"
