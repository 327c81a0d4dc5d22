"""The control on invented people, small: a run of its own is exported, evaluated, and every arrow is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from copersona.export.evaluation.command.control import control, invented_run
from copersona.export.evaluation.command.evaluate import Options
from copersona.export.measure.completion import HiddenFacets
from copersona.export.run.run import Run

from ...conftest import quiet

pytestmark = pytest.mark.export


def test_the_control_exports_evaluates_and_tells_every_arrow(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = HiddenFacets(0, 0, {}, {}, None)  # its figures have tests of their own (test_invented.py)
    monkeypatch.setattr("copersona.export.evaluation.command.control.hidden_facet_figures", lambda *_, **__: never)

    def converted(source: Path, model: Path, tokenizer: Path) -> None:
        """The same encoder was converted for `tiny_run`."""
        shutil.copyfile(tiny_run / "encoder.onnx", model)
        shutil.copyfile(tiny_run / "encoder_tokenizer.json", tokenizer)

    monkeypatch.setattr("copersona.export.steps.steps.convert_encoder", converted)
    shutil.copytree(tiny_run, tmp_path / "run")
    run, options = Run.open(tmp_path / "run"), Options(limit=3, sweeps=2, texts=0, threads=1)
    with quiet():
        found = control(run, tmp_path, options, people=40)
    names = [claim.claim for claim in found]
    assert names[0].startswith("completion: peers tell the topic that is never shown")
    assert any(name.startswith("gating: the best share") for name in names)
    assert "the persona pays: nobody costs more than oneself" in names
    assert all(claim.verdict in ("yes", "no", "not shown") for claim in found)
    told = (tmp_path / "invented" / "control.md").read_text()
    assert "LIMITED to 3 people" in told
    assert all(f"| {name} |" in told for name in names)
    body = json.loads((tmp_path / "invented" / "control.json").read_text())
    assert set(body) == {"gating", "completion"}
    done = {p.name: p.read_bytes() for p in (run.path("variants") / "invented" / "done").iterdir()}
    other = invented_run(run, 40)  # nothing is exported again
    assert {p.name: p.read_bytes() for p in other.path("done").iterdir()} == done
