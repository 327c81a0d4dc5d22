"""What the measurements are made with: the random-weight model, the rows, and the table of the docs."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from copersona.runtime.engine.engine import Engine, Sampling
from copersona.runtime.filecheck.gguf_check import check_gguf

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    """The modules of that folder, which is no package: a script there finds its neighbours by name."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    before = set(sys.modules)
    names = ("against", "report", "rows", "settings", "shapes", "engine")
    yield {name: importlib.import_module(name) for name in names}
    for name in set(names) - before:
        del sys.modules[name]


@pytest.mark.export
def test_a_seed_gives_the_same_model_of_the_shape_and_it_runs(modules: dict[str, ModuleType], tmp_path: Path) -> None:
    shapes = modules["shapes"]
    small = shapes.Shape(layers=2, width=128, heads=4, kv_heads=2, inner=256, vocabulary=700, context=256)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        shapes.write_model(tmp_path / name, small, seed)
    raw = [(tmp_path / name).read_bytes() for name in "abc"]
    assert raw[0] == raw[1]
    assert raw[0] != raw[2]
    facts = check_gguf(tmp_path / "a")
    assert (facts.width, facts.layers, facts.vocabulary, facts.quantisation) == (128, 2, 700, "Q8_0")
    with Engine(tmp_path / "a", threads=1) as engine:
        assert engine.detokenize(engine.tokenize("Übung, 2 Saiten!")) == "Übung, 2 Saiten!"
        logits = engine.logits(None, [engine.control("<|im_start|>"), 5, 6])
        assert np.isfinite(logits).all()
        assert len(list(engine.generate(None, [5, 6], Sampling(0, 1.0, 8)))) == 8


def test_rows_know_their_bars_and_replace_those_of_their_name(modules: dict[str, ModuleType], tmp_path: Path) -> None:
    rows, report = modules["rows"], modules["report"]
    found = rows.row("a", [1.0, 2.0, 3.0], [2.0, 2.0, 2.0], "ratio <= 1.02")
    assert (found.value, found.reference, found.ratio, found.low, found.high) == (2.0, 2.0, 1.0, 0.5, 1.5)
    assert found.met
    assert not rows.row("a", [1.0, 2.0, 3.0], [2.0] * 3, "value >= 2.5 MB").met
    assert rows.row("a", [1.0], [1.0], "").met is None
    other = rows.row("b", [4.0], [2.0], "value <= 3 ms")
    report.write_rows(tmp_path / "results.json", report.merged([other, found], [rows.row("b", [2.0], [2.0], "")]))
    read = report.read_rows(tmp_path / "results.json")
    assert [(row.name, row.value) for row in read] == [("b", 2.0), ("a", 2.0)]
    wanted = {"name", "value", "reference", "ratio", "low", "high", "must"}
    assert all(set(entry) == wanted for entry in json.loads((tmp_path / "results.json").read_text()))
    document = tmp_path / "performance.md"
    document.write_text(f"Before.\n{report.BEGIN}\nold\n{report.END}\nAfter.\n")
    for _ in range(2):
        report.write_table(document, [other], {"cores": "2"})
    text = document.read_text()
    assert text.startswith("Before.\n")
    assert text.endswith("\nAfter.\n")
    assert text.count("| b | 4 | 2 | 2 (2 to 2) | value ≤ 3 ms | **missed** |") == 1
    assert "old" not in text


@pytest.mark.export
def test_llama_bench_is_a_reference_where_it_is_installed(
    modules: dict[str, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parts, shapes = modules["engine"], modules["shapes"]
    small = shapes.Shape(layers=1, width=128, heads=4, kv_heads=2, inner=256, vocabulary=700)
    shapes.write_model(tmp_path / "a", small)
    settings = modules["settings"].Settings(tmp_path, True, None, 1, None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with Engine(tmp_path / "a", threads=1) as engine:
        assert not list(parts.against_llama_bench(engine, tmp_path / "a", settings))
        assert "llama-bench" in capsys.readouterr().out
        tool = tmp_path / "llama-bench"
        tool.write_text(f'#!{sys.executable}\nprint(\'[{{"n_gen": 48, "avg_ts": 12.5}}]\')\n')
        tool.chmod(0o755)
        (row,) = parts.against_llama_bench(engine, tmp_path / "a", settings)
    assert row.reference == 12.5
    assert row.value > 0


def test_two_bundles_that_differ_in_their_moment_alone_are_the_same(
    modules: dict[str, ModuleType], tmp_path: Path
) -> None:
    path = tmp_path / "manifest.json"
    hashes = []
    for body in (
        {"created": "yesterday", "sha256": "a", "files": [1]},
        {"created": "today", "sha256": "b", "files": [1]},
        {"created": "today", "sha256": "b", "files": [2]},
    ):
        path.write_text(json.dumps(body), encoding="utf-8")
        hashes.append(modules["against"].file_hash(path))
    assert hashes[0] == hashes[1]
    assert hashes[1] != hashes[2]


@pytest.mark.parametrize("answers", [("one", "one"), ("one", "two")])
def test_a_change_of_answers_or_of_time_is_told(
    answers: tuple[str, str],
    modules: dict[str, ModuleType],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    against = modules["against"]
    monkeypatch.setattr(modules["rows"].gc, "collect", lambda: 0)  # all that the tests before it left: 0.1 s a measure

    class Version:
        def __init__(self, answer: str, milliseconds: float) -> None:
            self.demo = lambda bundle: answer
            self.milliseconds = lambda code, bundle: milliseconds

    asked = type("Asked", (), {"base": None, "encoder": None, "rounds": 2})
    same = answers[0] == answers[1]
    assert against.against(Version(answers[0], 10.0), Version(answers[1], 10.0), asked) is same
    assert ("answers of the demo: the same" in capsys.readouterr().out) is same
    assert not against.against(Version("one", 11.0), Version("one", 10.0), asked)
    assert "MISSED" in capsys.readouterr().out


def test_a_large_store_is_measured_step_by_step(tiny_bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    script = [sys.executable, BENCHMARKS / "large.py", "30", "--people", "3", "--bundle", tiny_bundle, "--no-again"]
    subprocess.run(script, check=True)
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].startswith("30 texts of 3 people")
    steps = [line for line in lines if line.endswith(" MB") and " s " in line]
    assert len(steps) == 7
    assert all(float(line.split()[-2]) > 1 for line in steps)  # megabytes that were resident
