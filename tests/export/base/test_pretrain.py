"""Pre-training: Muon by its formula, the schedule, and a training that was interrupted ends like one that was not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from copersona.runtime.common.errors import ExportError

pytestmark = pytest.mark.export


def settings(**changes: Any) -> Any:
    from copersona.export.base.pretrain import PretrainSettings

    small = PretrainSettings(batch=64, micro=32, window=16, last_window=32, last_share=0.25, checkpoint_seconds=1e9)
    return replace(small, **changes)


def training(folder: Path, seed: int = 0, **changes: Any) -> Any:
    from copersona.export.base.folder import Shape, new_model
    from copersona.export.base.pretrain import Pretraining

    folder.mkdir(exist_ok=True)
    shape = Shape(width=32, layers=2, feed_forward=64, heads=2, kv_heads=1)
    stream = np.random.default_rng(seed).integers(0, 64, 64 * 12 + 1).astype(np.uint32)
    return Pretraining(new_model(shape, 64, 0), stream, settings(**changes), folder)


def weights(one: Any) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in one.model.state_dict().items()}


def test_a_resumed_training_ends_with_the_same_weights_byte_for_byte(tmp_path: Path) -> None:
    whole = training(tmp_path / "whole")
    whole.run(lambda: None)
    first = training(tmp_path / "cut")
    first.run(lambda: None, stop_after=5)
    assert weights(first) != weights(whole)
    second = training(tmp_path / "cut")
    second.run(lambda: None)
    assert weights(second) == weights(whole)
    assert (tmp_path / "cut" / "checkpoint.pt").is_file()
    assert not (tmp_path / "cut" / "checkpoint.pt.part").exists()


def test_a_checkpoint_of_another_text_is_refused(tmp_path: Path) -> None:
    training(tmp_path / "run").run(lambda: None, stop_after=1)
    with pytest.raises(ExportError, match="another text, plan or shape"):
        training(tmp_path / "run", seed=1).run(lambda: None)
    with pytest.raises(ExportError, match="another text, plan or shape"):
        training(tmp_path / "run", lr=1e-3).run(lambda: None)


def test_the_plateau_can_be_left_out_and_the_tokens_say_so(tmp_path: Path) -> None:
    training(tmp_path / "run").run(lambda: None, stop_after=3)
    short = training(tmp_path / "run")
    short.run(lambda: None, decay_now=True, stop_after=9)
    assert (short.step, short.skipped) == (9, 5)  # of 12 steps the last 4 are the decay
    last = training(tmp_path / "run")
    last.run(lambda: None, decay_now=True)
    assert (last.step, last.tokens) == (12, 7 * 64)


def test_windows_hold_the_row_in_order_and_the_last_ones_are_longer(tmp_path: Path) -> None:
    one = training(tmp_path / "run")
    parts = one.windows(2)
    assert [tuple(inputs.shape) for inputs, _ in parts] == [(2, 16), (2, 16)]
    row = one._stream[128 : 128 + 65]
    assert np.concatenate([inputs.numpy().ravel() for inputs, _ in parts]).tolist() == row[:-1].tolist()
    assert np.concatenate([targets.numpy().ravel() for _, targets in parts]).tolist() == row[1:].tolist()
    assert [tuple(inputs.shape) for inputs, _ in one.windows(11)] == [(1, 32), (1, 32)]


def test_the_loss_and_its_gradient_are_those_of_the_whole_batch(tmp_path: Path, monkeypatch: Any) -> None:
    import torch

    from copersona.export.base import pretrain

    monkeypatch.setattr(pretrain, "HEAD_ROWS", 7)
    one = training(tmp_path / "run")
    value = sum(one._backward(*part) for part in one.windows(0))
    found = {name: p.grad.clone() for name, p in one.model.named_parameters()}
    one.model.zero_grad()
    inputs, targets = (torch.cat(parts) for parts in zip(*one.windows(0), strict=True))
    logits = one.model(input_ids=inputs).logits
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
    loss.backward()
    assert value == pytest.approx(float(loss.detach()), abs=1e-5)
    for name, p in one.model.named_parameters():
        assert torch.allclose(found[name], p.grad, atol=1e-6), name


def test_the_rate_rises_stays_and_falls_to_nothing() -> None:
    from copersona.export.base.pretrain import learning_rate

    rates = [learning_rate(step, 100, 0.1, 0.25) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:76] == [1.0] * 67
    assert rates[99] == pytest.approx(1 / 25)
    assert learning_rate(100, 100, 0.1, 0.25) == 0.0


def test_lengths_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ExportError, match="must be a multiple"):
        settings(micro=24).check()


def test_muon_is_what_torch_has() -> None:
    import torch

    from copersona.export.base.muon import Muon

    reference = getattr(torch.optim, "Muon", None)
    if reference is None:
        pytest.skip("this torch has no Muon")
    torch.manual_seed(0)
    start = torch.randn(24, 40)
    ours, theirs = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    a = Muon([ours], lr=0.01)
    b = reference([theirs], lr=0.01, momentum=0.95, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        gradient = torch.randn(24, 40)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        a.step()
        b.step()
    assert torch.allclose(ours, theirs, atol=2e-3)  # torch's iteration is in bfloat16


def test_an_update_of_muon_is_nearly_orthogonal_for_tall_and_wide() -> None:
    import torch

    from copersona.export.base.muon import orthogonal

    torch.manual_seed(0)
    for shape in ((30, 12), (12, 30)):
        values = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
        assert values.shape == (12,)
        assert 0.5 < values.min() < values.max() < 1.3
