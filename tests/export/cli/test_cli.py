"""How `copersona export` prints figures."""

from __future__ import annotations

import pytest

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


def test_two_runs_that_are_not_finished_cannot_be_compared(tmp_path: object) -> None:
    from click.testing import CliRunner

    from copersona.runtime.cli.main import main

    done = CliRunner().invoke(main, ["export", "compare", str(tmp_path), str(tmp_path)])
    assert done.exit_code == 1
    assert "cannot be compared" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
