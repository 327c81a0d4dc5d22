"""The page of promises names the tests that hold them, and every such test is on the page."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "trust.md").read_text(encoding="utf-8")


def names_of_tests() -> Counter[str]:
    """Names of all test functions, and how often there is one of that name."""
    return Counter(
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )


def test_every_promise_is_held_by_a_test_and_every_such_test_is_on_the_page() -> None:
    named = set(re.findall(r"\btest_promise_\w+", PAGE)) - {"test_promise_"}
    held = {name for name in names_of_tests() if name.startswith("test_promise_")}
    assert named == held
    assert len(named) >= 15


def test_a_promise_is_the_name_of_one_test() -> None:
    assert {
        name: count for name, count in names_of_tests().items() if name.startswith("test_promise_") and count > 1
    } == {}


def test_every_paragraph_that_promises_names_its_test() -> None:
    """A promise begins with bold words; between it and the next one stands the name of a test."""
    kept = PAGE.partition("## What is not there yet")[0]
    promises = re.split(r"^\*\*", kept, flags=re.MULTILINE)[1:]
    assert len(promises) >= 12
    assert [text.partition("**")[0] for text in promises if "test_promise_" not in text] == []
