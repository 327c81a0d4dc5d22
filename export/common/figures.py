"""Figures and sizes of a run as lines of a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Figures = dict[str, Any]
"""Figures by name, plain JSON: what a command prints and a file keeps."""


def sizes(folder: Path) -> list[tuple[str, int]]:
    """What takes the room, in bytes: the run folder, its bundle and the bundle's files, the largest first."""

    def held(path: Path) -> int:
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())

    bundle = folder / "bundle"
    files = sorted(((file.name, file.stat().st_size) for file in bundle.glob("*")), key=lambda row: -row[1])
    parts = [("bundle", held(bundle)), *((f"  {name}", size) for name, size in files)] if files else []
    return [("run folder", held(folder)), *parts]


def report_lines(figures: Mapping[str, Any], indent: str = "  ") -> Iterator[str]:
    """Figures by name as lines, one after the other."""
    for name, value in figures.items():
        yield from figure_lines(name, value, indent)


def figure_lines(name: str, value: Any, indent: str = "  ") -> Iterator[str]:
    """A figure as lines: nested ones indented, an interval on one line, a list of rows one line each."""
    if isinstance(value, dict) and {"mean", "low", "high", "people"} == set(value):
        mean, low, high = (f"{value[key]:.5g}" for key in ("mean", "low", "high"))
        yield f"{indent}{name}: {mean} [{low}, {high}] over {value['people']} people"
    elif isinstance(value, dict):
        yield f"{indent}{name}:"
        yield from report_lines(value, f"{indent}  ")
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for row in value:
            yield f"{indent}{name}: {', '.join(f'{k} {_number(v)}' for k, v in row.items())}"
    else:
        plain = value if isinstance(value, (list, tuple)) else [value]
        yield f"{indent}{name}: {', '.join(str(_number(v)) for v in plain)}"


def _number(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value
