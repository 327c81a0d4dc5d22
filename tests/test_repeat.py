"""The same data, settings and seed give the same export; another seed gives another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from copersona.export.run.run import Run, RunSettings
from copersona.export.steps.steps import discover_facets, graph, prepare, profile, train
from copersona.export.training.settings import TrainSettings
from copersona.runtime.common.arrays import F32
from copersona.runtime.history.importers import load_history
from copersona.runtime.profile.encoder import Encoder
from copersona.runtime.profile.segments import words_of
from copersona.runtime.prompt.settings import ContextSettings

pytestmark = pytest.mark.export

SAMPLE = Path(__file__).resolve().parent.parent / "assets" / "invented" / "people.jsonl"


class QuickRun(Run):
    """A run with a stand-in encoder: a bag of words."""

    def encode(self, text: str) -> F32:
        vector = np.zeros(32, np.float32)
        for word in words_of(text):
            vector[sum(map(ord, word)) % 32] += 1
        return vector / np.float32(max(float(np.linalg.norm(vector)), 1e-9))


def export(folder: Path, base: Path, seed: int = 0) -> QuickRun:
    settings = TrainSettings(
        epochs=1, batch=4, graph=16, hidden=16, soft_tokens=2, answer_tokens=32, validation=5, lora_rank=2, seed=seed
    )
    inputs, context = ((str(SAMPLE),), "jsonl", str(base), ""), ContextSettings(256, profile_tokens=64, peer_tokens=64)
    run = QuickRun(folder, RunSettings(*inputs, facets=4, limit_people=30, train=settings, context=context, seed=seed))
    for step in (prepare, discover_facets, profile, graph, train):
        step(run)
        run.forget()
    return run


def dump(run: QuickRun) -> dict[str, bytes]:
    """What a seed decides: facets, profiles, graph, pseudonyms and weights."""
    import sqlite3

    database = sqlite3.connect(run.path("graph.sqlite"))
    rows = "\n".join(database.iterdump()).encode()
    database.close()
    names = ("facets.json", "clusters.json", "profiles.jsonl", "profiles.safetensors", "peers.npy", "anchors.npy",
             "arrays.safetensors", "pseudonyms.json", "items.json", "splits.json",
             "train/best/personalizer.safetensors", "train/best/adapter/adapter_model.safetensors")  # fmt: skip
    return {"edges and peers": rows, **{name: run.path(name).read_bytes() for name in names}}


def test_two_runs_with_one_seed_are_equal_bit_for_bit(tiny_base: Path, tmp_path: Path) -> None:
    one, other = dump(export(tmp_path / "one", tiny_base)), dump(export(tmp_path / "other", tiny_base))
    assert one.keys() == other.keys()
    assert [name for name in one if one[name] != other[name]] == []
    assert min(map(len, one.values())) > 100
    third = dump(export(tmp_path / "third", tiny_base, seed=1))
    for name in ("pseudonyms.json", "splits.json", "train/best/personalizer.safetensors"):
        assert third[name] != one[name], name


def test_training_that_is_interrupted_ends_with_the_same_weights(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from copersona.export.training.train import Trainer

    whole = export(tmp_path / "whole", tiny_base)
    update = Trainer._update
    calls = 0

    def failing(self: Trainer, group: object, step: int, total: int) -> float:
        nonlocal calls
        calls += 1
        if calls == 6:
            raise KeyboardInterrupt
        return update(self, group, step, total)  # type: ignore[arg-type]

    cut = QuickRun(tmp_path / "cut", whole.settings)
    cut.settings = replace(whole.settings, train=replace(whole.settings.train, checkpoint_seconds=0.0))
    for step in (prepare, discover_facets, profile, graph):
        step(cut)
        cut.forget()
    monkeypatch.setattr(Trainer, "_update", failing)
    with pytest.raises(KeyboardInterrupt):
        train(cut)
    assert cut.path("train/checkpoint.pt").is_file()
    monkeypatch.setattr(Trainer, "_update", update)
    cut.forget()
    report = train(cut)
    assert report["steps"] > 6
    name = "train/best/personalizer.safetensors"
    assert cut.path(name).read_bytes() == whole.path(name).read_bytes()


def test_the_shipped_encoder_gives_a_text_one_vector_in_any_company(tiny_run: Path) -> None:
    encoder = Encoder(tiny_run / "encoder.onnx", tiny_run / "encoder_tokenizer.json")
    texts = [item.output for item in load_history([SAMPLE]).interactions[:12]]
    alone = np.stack([encoder.encode(text) for text in texts])
    np.testing.assert_array_equal(encoder.encode_all(texts, workers=2), alone)
    np.testing.assert_array_equal(encoder.encode_all(texts[::-1], workers=1)[::-1], alone)
    np.testing.assert_allclose(np.linalg.norm(alone, axis=1), 1, atol=1e-5)
    again = Encoder(tiny_run / "encoder.onnx", tiny_run / "encoder_tokenizer.json")
    np.testing.assert_array_equal(again.encode(texts[0]), alone[0])
