"""Each parser of what comes in takes a small file of its kind, and takes or refuses whatever becomes of it.

The files are those of `benchmarks/parsers.py`, which reads a million of each.
"""

from __future__ import annotations

import importlib
import random
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
SIGNED = () if find_spec("minisign") is None else ("signature",)
NAMES = ("manifest", "facets", "tokenizer", "gguf", "onnx", "safetensors", "npy", "importers", *SIGNED)
MODULES = ("parsers", "parser_cases", "parser_seeds", "spoiling")


@pytest.fixture(scope="module")
def parsers() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        patch.setenv("COPERSONA_HOME", "of signatures")
        yield importlib.import_module("parsers")
    for name in MODULES:
        sys.modules.pop(name, None)


def test_every_parser_is_here(parsers: ModuleType) -> None:
    assert set(parsers.PARSERS) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_promise_any_file_is_read_or_refused(parsers: ModuleType, name: str) -> None:
    @settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)
    @given(at=st.integers(0, 2**40))
    def held(at: int) -> None:
        found = parsers.read_one(parsers.PARSERS[name], 0, at)
        assert found.partition(":")[0] in ("accepted", "refused"), at

    held()


@pytest.mark.parametrize("name", NAMES)
def test_some_are_read_and_most_are_refused_for_many_reasons(parsers: ModuleType, name: str) -> None:
    counts = parsers.Counts()
    parsers.block(name, counts, 0, 200)
    assert counts.findings == {}
    assert counts.accepted + counts.refused == counts.executions == 200
    assert 0 < counts.accepted < 100
    assert len(counts.ways) >= 8


def test_what_is_wrong_is_found_and_counted(parsers: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """A parser that raises, one that ends the process, one that never ends."""

    def read(path: Path, draw: random.Random) -> None:
        if path.read_bytes() == b"7":
            raise ZeroDivisionError("by nothing")

    def ends(path: Path, draw: random.Random) -> None:
        if path.read_bytes() == b"5":
            import os

            os._exit(3)

    def hangs(path: Path, draw: random.Random) -> None:
        while path.name:
            pass

    def digit(draw: random.Random) -> bytes:
        return str(draw.randrange(10)).encode()

    monkeypatch.setattr(parsers, "SECONDS", 0.2)
    cases: dict[str, tuple[Callable[[Path, random.Random], None], str, int]] = {
        "raises": (read, "ZeroDivisionError", 100), "ends": (ends, "ended with 3", 1), "hangs": (hangs, "no end", 1),
    }  # fmt: skip
    for name, (parse, said, least) in cases.items():
        monkeypatch.setitem(parsers.PARSERS, name, parsers.Parser("file", digit, parse))
        counts = parsers.Counts()
        while not counts.findings:
            parsers.block(name, counts, 0, 100)
        ((found, times),) = counts.findings.items()
        assert found.startswith(said)
        assert 1 <= times < 100
        assert counts.executions >= least
