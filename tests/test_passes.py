"""`make test` runs the tests in two environments; together they run all, and so does plain `pytest` in the second."""

from __future__ import annotations

import itertools
import re
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MARKS = ("export", "twice")
PASSES = dict(
    re.findall(
        r'^\t\$\((\w+)\)/\S*python \$\(PYTEST\) -m "([^"]+)"', (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE
    )
)
"""Environment -> which tests are run in it."""


@pytest.mark.parametrize("marks", [*itertools.product((False, True), repeat=len(MARKS))])
def test_whatever_marks_a_test_has_it_is_run(marks: tuple[bool, ...]) -> None:
    has = dict(zip(MARKS, marks, strict=True))
    without, full = (eval(PASSES[name], {}, has) for name in ("RUNTIME_VENV", "BIN"))  # another mark is a NameError
    assert without != has["export"]
    assert full == any(marks)
    assert without or full


def test_nothing_is_left_out_where_nothing_is_asked_for() -> None:
    options = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["pytest"]["ini_options"]
    assert options["testpaths"] == ["tests"]
    assert set(options["addopts"].split()) == {"--import-mode=importlib", "--strict-markers"}


def test_nothing_is_skipped_for_a_package_that_its_environment_lacks() -> None:
    """What is skipped where there is no torch is not run again where there is."""
    texts = {path: path.read_text("utf-8") for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__)}
    asked = {(name, path) for path, text in texts.items() for name in re.findall(r'importorskip\(\s*"(\w+)"', text)}
    assert len(asked) > 5
    ours = {(name, path) for name, path in asked if name not in sys.stdlib_module_names}
    assert [(name, path) for name, path in ours if find_spec(name) is None] == []
