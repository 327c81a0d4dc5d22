"""Training on another machine: what goes there and what comes back."""

from __future__ import annotations

import importlib
import json
import math
import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"

pytestmark = pytest.mark.export


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("away")


def test_a_row_is_trained_from_pieces_and_comes_back_in_shards(
    away: ModuleType, tiny_run: Path, tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from copersona.export.run.situations import run_targets

    monkeypatch.setattr(away, "PIECE", 300_000)
    monkeypatch.setattr(away, "SHARD", 50_000)
    pieces, out, work = tmp_path / "pieces", tmp_path / "out", tmp_path / "work"
    away.pack(tiny_run, tiny_gguf, pieces)
    files = sorted(path for path in pieces.iterdir() if path.suffix != ".json")
    assert len(files) > 2
    assert max(path.stat().st_size for path in files) <= 300_000
    assert away.missing(pieces) == []
    shutil.move(files[0], tmp_path / "late")
    files[1].write_bytes(files[1].read_bytes()[:-1])
    assert away.missing(pieces) == [files[0].name, files[1].name]
    away.pack(tiny_run, tiny_gguf, pieces)

    run = away.opened(pieces, work)
    for name in ("histories.jsonl", "peers.npy", "profiles.safetensors"):
        assert run.path(name).read_bytes() == (tiny_run / name).read_bytes()
    row = {"name": "one", "train": {"epochs": 1, "answer_tokens": 32}, "judge": "test", "people": 4}
    away.train_row(run, run_targets(run), row, out, work)
    body = json.loads((out / "one.json").read_text())
    assert len(body["people"]) == 4
    for losses in body["losses"].values():
        assert len(losses) == 4
        assert all(math.isfinite(nats) and count > 0 and size > 0 for nats, count, size in losses)
    assert body["losses"]["whole"] != body["losses"]["nobody"]

    target = tmp_path / "run"
    away.collect(out, target, "one")
    best = work / "one" / "best"
    for file in ("adapter/adapter_model.safetensors", "personalizer.safetensors"):
        assert (target / "train" / "best" / file).read_bytes() == (best / file).read_bytes()
    assert max(path.stat().st_size for path in (out / "one").iterdir()) <= 50_000


def test_losses_are_given_in_the_order_of_the_targets(
    away: ModuleType, tiny_run: Path, tiny_gguf: Path, tmp_path: Path
) -> None:
    import torch

    from copersona.export.run.run import Run
    from copersona.export.run.situations import run_targets
    from copersona.export.run.training import train_run

    run = Run.open(tiny_run)
    trainer = train_run(run, run_targets(run), tmp_path / "train").trainer
    held = away.held_out(run, "validation", 6)
    found = away.judged(trainer, held)["whole"]
    with torch.no_grad():
        alone = [away.judged(trainer, [one])["whole"][0] for one in held]
    np.testing.assert_allclose([row[0] for row in found], [row[0] for row in alone], rtol=1e-4)
    assert [row[1:] for row in found] == [row[1:] for row in alone]
