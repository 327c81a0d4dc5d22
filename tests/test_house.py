"""The house: packages in a strict order, each importing only from those above it, and what is kept true of all code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
RUNTIME = (
    "common", "history", "importing", "filecheck", "engine", "chat", "profile", "persona", "prompt", "bundle",
    "assemble", "people", "session", "batch", "serve", "demo", "elsewhere", "cli",
)  # fmt: skip
EXPORT = (
    "common", "data", "population", "discovery", "convert", "training", "run", "measure", "steps",
    "evaluation", "guard", "cli",
)  # fmt: skip
EVALUATION = ("bench", "variants", "methods", "experiments", "report", "command")
HOUSES = {"runtime": RUNTIME, "export": EXPORT, "export/evaluation": EVALUATION}
SOURCES = sorted(path for top in ("runtime", "export") for path in (ROOT / top).rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of what a file imports anywhere in it, for typing too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: imports are absolute"
            base = node.module or ""
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def backward(house: str, order: tuple[str, ...]) -> list[str]:
    """The lines of a house that import from a package that stands below their own."""
    prefix = "copersona." + house.replace("/", ".") + "."
    found = []
    for path in sorted((ROOT / house).rglob("*.py")):
        parts = path.relative_to(ROOT / house).parts
        if len(parts) < 2:  # the house's own door
            continue
        for line, name in imports(path):
            if name.startswith(prefix):
                package = name.removeprefix(prefix).split(".")[0]
                assert package in order, f"{path}:{line}: {package} has no place in the order of {house}"
                if order.index(package) > order.index(parts[0]):
                    found.append(f"{path.relative_to(ROOT)}:{line}: {parts[0]} imports {name}, which stands below it")
    return found


@pytest.mark.parametrize("house", HOUSES)
def test_a_package_imports_only_from_those_above_it(house: str) -> None:
    assert backward(house, HOUSES[house]) == []


@pytest.mark.parametrize("house", HOUSES)
def test_every_folder_has_its_place_in_the_order(house: str) -> None:
    folders = {path.name for path in (ROOT / house).iterdir() if (path / "__init__.py").is_file()}
    assert folders == set(HOUSES[house])


@pytest.mark.parametrize("house", HOUSES)
def test_a_package_says_what_it_is_for_and_imports_nothing(house: str) -> None:
    for package in HOUSES[house]:
        tree = ast.parse((ROOT / house / package / "__init__.py").read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), package
        assert len(tree.body) == 1, f"{house}/{package}/__init__.py: holds more than its docstring"


def test_files_stay_below_300_lines_and_functions_below_40() -> None:
    long = []
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        if (lines := len(text.splitlines())) > 300:
            long.append(f"{path.relative_to(ROOT)}: {lines} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = (node.end_lineno or 0) - node.lineno + 1
                if size > 40:
                    long.append(f"{path.relative_to(ROOT)}:{node.lineno}: {node.name} has {size} lines")
    assert long == []


CITED = re.compile(r"\b(METHOD|MEASURED|HOUSE|MODELS|TRUST|PEERS|STYLE)\.? ?\d[\d.]*")
"""Documents that are not in the repository, by section."""


def test_no_docstring_cites_what_is_not_in_the_repository() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in SOURCES
        for match in CITED.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == []
