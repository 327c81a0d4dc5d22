"""What layers put out, read and changed, against torch and against each sequence alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from copersona.runtime.common.arrays import F32
from copersona.runtime.common.errors import ModelError, ModelRefused
from copersona.runtime.engine.engine import Engine
from copersona.runtime.engine.layers import layer_states

from ...random_models import ARCHITECTURES

IDS = np.random.default_rng(3).integers(3, 250, 90).tolist()


@pytest.fixture(scope="module")
def engine(tiny_gguf: Path) -> Iterator[Engine]:
    with Engine(tiny_gguf, n_ctx=512, threads=1, exact=True, sequences=3, reads=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def plain(tiny_gguf: Path) -> Iterator[Engine]:
    with Engine(tiny_gguf, n_ctx=512, threads=1, exact=True, sequences=3) as opened:
        yield opened


def soft_of(engine: Engine) -> F32:
    return np.random.default_rng(0).normal(0, 0.1, (20, engine.width)).astype(np.float32)


def torch_states(folder: Path, soft: F32, ids: list[int], shifts: dict[int, F32] | None = None) -> tuple[F32, F32]:
    """What each block puts out at each token, (layers, n, H), and the logits, with `shifts` added behind blocks."""
    import torch

    from copersona.export.convert.gguf import load_causal_lm

    model, found = load_causal_lm(folder), []

    def hook(layer: int) -> Any:
        def seen(module: Any, inputs: Any, output: Any) -> Any:
            rows = output[0] if isinstance(output, tuple) else output
            found.append(rows[0, len(soft) :].float().numpy().copy())
            if shifts and layer in shifts:
                rows = rows + torch.from_numpy(shifts[layer])
            return (rows, *output[1:]) if isinstance(output, tuple) else rows

        return seen

    hooks = [block.register_forward_hook(hook(n)) for n, block in enumerate(model.model.layers)]
    with torch.no_grad():
        rows = model.get_input_embeddings()(torch.tensor([ids]))
        logits = model(inputs_embeds=torch.cat([torch.from_numpy(soft)[None], rows], 1)).logits[0, len(soft) :]
    for one in hooks:
        one.remove()
    return np.stack(found), logits.float().numpy()


@pytest.mark.export
def test_layer_k_is_what_block_k_puts_out_in_torch_before_the_final_norm(engine: Engine, tiny_base: Path) -> None:
    soft = soft_of(engine)
    theirs, _ = torch_states(tiny_base, soft, IDS)
    ours = layer_states(engine, soft, IDS, last=70)  # more than one batch of wanted logits
    assert ours.shape == (2, 70, engine.width)
    assert ours.dtype == np.float32
    assert np.abs(ours - theirs[:, -70:]).max() <= 1e-4
    assert np.abs(layer_states(engine, soft, IDS)[:, 0] - theirs[:, -1]).max() <= 1e-4


@pytest.mark.export
@pytest.mark.parametrize("layer", [0, 1])
def test_rows_that_are_given_back_are_gone_on_with_as_in_torch(engine: Engine, tiny_base: Path, layer: int) -> None:
    shift = np.random.default_rng(1).normal(0, 0.5, engine.width).astype(np.float32)
    soft = np.empty((0, engine.width), np.float32)
    assert engine.layers is not None
    with engine.layers.meeting([layer], lambda layer, first, rows: rows + shift):
        ours = engine.logits(None, IDS[:60])
    theirs = torch_states(tiny_base, soft, IDS[:60], {layer: shift})[1]
    assert np.abs(ours - theirs).max() <= 1e-4
    assert np.abs(engine.logits(None, IDS[:60]) - theirs).max() > 0.1, "it would be no test"


def test_a_context_that_can_be_read_gives_the_same_numbers_to_the_bit(engine: Engine, plain: Engine) -> None:
    soft = soft_of(engine)
    expected = plain.logits(soft, IDS)
    assert (engine.logits(soft, IDS) == expected).all()
    assert engine.layers is not None
    with engine.layers.meeting([0, 1], lambda layer, first, rows: None):
        assert (engine.logits(soft, IDS) == expected).all()
        assert (engine.logits(soft, IDS) == expected).all(), "known by address"
    assert plain.layers is None


def test_states_are_the_same_whether_tensors_are_known_by_name_or_by_address(engine: Engine) -> None:
    first = layer_states(engine, None, IDS, last=3)
    layer_states(engine, soft_of(engine), IDS[:50], last=50)
    assert (layer_states(engine, None, IDS, last=3) == first).all()


def test_what_is_raised_at_a_layer_is_raised_by_the_call_and_the_next_one_goes_well(engine: Engine) -> None:
    def fails(layer: int, first: int, rows: F32) -> None:
        raise ModelRefused("not this one")

    expected = engine.logits(None, IDS)
    assert engine.layers is not None
    with engine.layers.meeting([1], fails), pytest.raises(ModelRefused, match="not this one"):
        engine.logits(None, IDS)
    assert (engine.logits(None, IDS) == expected).all()


def test_what_llama_cpp_cannot_decode_is_said_and_not_that_a_layer_is_missing(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert engine.layers is not None
    monkeypatch.setattr(engine._context._llama, "llama_decode", lambda *_: 1)
    with engine.layers.meeting([1], lambda *_: None), pytest.raises(ModelError, match="cannot decode"):
        engine.logits(None, IDS)
    monkeypatch.undo()
    with engine.layers.meeting([1], lambda *_: None):
        engine.logits(None, IDS)


def test_a_layer_that_the_model_has_not_is_one_line(engine: Engine) -> None:
    assert engine.layers is not None
    with engine.layers.meeting([2], lambda *_: None), pytest.raises(ModelError, match="layer 2 cannot be read"):
        engine.logits(None, IDS)


def test_an_engine_without_layers_says_how_it_would_have_them(plain: Engine) -> None:
    with pytest.raises(ModelError, match="reads=True"):
        layer_states(plain, None, IDS)


@pytest.mark.parametrize("last", [0, 91])
def test_more_tokens_than_there_are_have_no_states(engine: Engine, last: int) -> None:
    with pytest.raises(ValueError, match="expected 1 to 90"):
        layer_states(engine, None, IDS, last=last)


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_every_layer_of_every_architecture_here_is_read(tmp_path: Path, architecture: str) -> None:
    model = ARCHITECTURES[architecture](tmp_path / "m.gguf")
    with Engine(model, n_ctx=256, threads=1, any_model=True, reads=True) as engine:
        found = layer_states(engine, None, IDS, last=2)
    assert found.shape == (engine.facts.layers, 2, engine.width)
    assert np.isfinite(found).all()
