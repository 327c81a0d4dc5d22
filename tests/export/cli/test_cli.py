"""What `copersona export` is asked for, and how it prints figures."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from copersona.runtime.cli.main import main

pytestmark = pytest.mark.export


def test_figures_are_lines_that_read_by_themselves() -> None:
    from copersona.export.common.figures import figure_lines

    figures = {"gain": {"mean": 0.25, "low": 0.125, "high": 0.5, "people": 9}, "parts": {"a": 1.0, "b": [1, 2]}}
    assert list(figure_lines("x", figures, "")) == [
        "x:",
        "  gain: 0.25 [0.125, 0.5] over 9 people",
        "  parts:",
        "    a: 1",
        "    b: 1, 2",
    ]
    assert list(figure_lines("layers", [{"facet": "f", "degree": 2.5}], "")) == ["layers: facet f, degree 2.5"]


def test_two_runs_that_are_not_finished_cannot_be_compared(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["export", "compare", str(tmp_path), str(tmp_path)])
    assert done.exit_code == 1
    assert "cannot be compared" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_what_a_measurement_needs_of_a_run_is_asked_for(tmp_path: Path) -> None:
    from copersona.export.run.run import Run, RunSettings

    Run(tmp_path, RunSettings(("people.jsonl",), "jsonl", "base", "encoder")).save_settings()
    for only, last in (("same person", "graph"), ("steps", "graph"), ("parity", "bundle")):
        done = CliRunner().invoke(main, ["export", "measure", str(tmp_path), "--only", only])
        assert done.exit_code == 1
        assert f"holds no {last} yet" in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def test_a_run_goes_no_further_than_it_was_asked_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from copersona.export.cli import main as commands
    from copersona.export.run.run import RunSettings

    (tmp_path / "people.jsonl").write_text("", encoding="utf-8")
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(
        commands, "run_settings", lambda **_: RunSettings(("people.jsonl",), "jsonl", "base", "encoder")
    )
    monkeypatch.setattr(commands, "_execute", lambda work, steps, as_json: asked.append(steps))
    call = [
        "export",
        "run",
        str(tmp_path / "people.jsonl"),
        "--base",
        "b",
        "--encoder",
        "e",
        "--out",
        str(tmp_path / "r"),
    ]
    for until in (["--until", "encoder"], ["--until", "graph"], []):
        assert CliRunner().invoke(main, [*call, *until]).exit_code == 0
    first, graph, every = asked
    assert first == ("prepare", "encoder")
    assert graph == ("prepare", "encoder", "discover", "profile", "graph")
    assert every == (*graph, "train", "convert", "bundle")
