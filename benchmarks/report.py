"""The table of docs/performance.md, made from results.json: what stands between its two marks is written anew."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rows import Row

BEGIN, END = "<!-- figures: benchmarks/run.py -->", "<!-- end of figures -->"


def read_rows(path: Path) -> list[Row]:
    """What was measured before; nothing where there is no such file."""
    return [Row(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))] if path.exists() else []


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    path.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")


def merged(before: Sequence[Row], now: Sequence[Row]) -> list[Row]:
    """Rows of before, replaced by those of now that bear the same name; new ones at the end."""
    fresh = {row.name: row for row in now}
    return [fresh.pop(row.name, row) for row in before] + list(fresh.values())


def write_table(document: Path, rows: Sequence[Row], machine: Mapping[str, str]) -> None:
    """Put table and machine between the marks."""
    text = document.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    document.write_text(f"{head}{BEGIN}\n{table(rows, machine)}\n{END}{tail}", encoding="utf-8")


def table(rows: Sequence[Row], machine: Mapping[str, str]) -> str:
    lines = ["| measured | value | reference | ratio (quartiles) | must | |", "| --- | --- | --- | --- | --- | --- |"]
    for row in rows:
        mark = {None: "", True: "met", False: "**missed**"}[row.met]
        spread = f"{row.ratio:.3g} ({row.low:.3g} to {row.high:.3g})"
        must = row.must.replace("<=", "≤").replace(">=", "≥")
        lines.append(f"| {row.name} | {row.value:.4g} | {row.reference:.4g} | {spread} | {must} | {mark} |")
    return "\n".join(
        [*lines, "", "Measured on: " + "; ".join(f"{name} {what}" for name, what in machine.items()) + "."]
    )
