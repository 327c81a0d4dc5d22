"""A base or an encoder that an export could not use to its end is refused by name, before the first step."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from copersona.export.convert import rope
from copersona.export.convert.rope import check_rope, rope_theta
from copersona.export.run.run import Run, RunSettings
from copersona.export.steps.pipeline import run_steps
from copersona.export.steps.steps import STEPS, check_inputs
from copersona.runtime.common.errors import ExportError
from copersona.runtime.prompt.settings import ContextSettings

pytestmark = pytest.mark.export

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n"


def inputs(base: Path, encoder: Path) -> Any:
    """What `check_inputs` looks at of a run."""
    train = SimpleNamespace(soft_tokens=4)
    return SimpleNamespace(
        settings=SimpleNamespace(
            thin=False,
            base=str(base),
            encoder=str(encoder),
            keep=None,
            context_length=1_024,
            context=ContextSettings(),
            train=train,
        )
    )


def config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def weights(folder: Path) -> Path:
    return folder / "model.safetensors"


def cut(path: Path, share: float) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    from safetensors.torch import load_file, save_file

    held = load_file(weights(folder))
    change(held)
    save_file(held, weights(folder), {"format": "pt"})


def shard(folder: Path) -> Path:
    """The weights in several files; the last of them."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder)
    weights(folder).unlink()
    model.save_pretrained(folder, max_shard_size="100KB")
    return sorted(folder.glob("model-*.safetensors"))[-1]


NORM = "model.norm.weight"
FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no weights": (lambda f: weights(f).unlink(), "holds no weights"),
    "cut": (lambda f: cut(weights(f), 0.5), "model.safetensors: is cut short, or is damaged"),
    "cut by little": (lambda f: cut(weights(f), 0.9999), "model.safetensors: is cut short, or is damaged"),
    "cut in its head": (lambda f: weights(f).write_bytes(weights(f).read_bytes()[:100]), "is cut short, or is damaged"),
    "empty": (lambda f: weights(f).write_bytes(b""), "is cut short, or is damaged"),
    "a pointer": (lambda f: weights(f).write_bytes(POINTER), "is cut short, or is damaged"),
    "a shard gone": (lambda f: shard(f).unlink(), "of-0"),
    "a shard cut": (lambda f: cut(shard(f), 0.7), "is cut short, or is damaged"),
    "an index of nothing": (
        lambda f: (shard(f), (f / "model.safetensors.index.json").write_text("{}")), "no index of weights",
    ),
    "torch, cut": (
        lambda f: (weights(f).unlink(), (f / "pytorch_model.bin").write_bytes(b"PK\x03\x04 and no end")),
        "pytorch_model.bin: is cut short, or is damaged",
    ),
    "a tensor gone": (lambda f: rewrite(f, lambda held: held.pop(NORM)), "tensors missing or too many: output_norm"),
    "another shape": (
        lambda f: rewrite(f, lambda held: held.update({NORM: held[NORM][:32].clone()})),
        "tensor model.norm.weight is [32], config.json makes it [64]",
    ),
    "of whole numbers": (
        lambda f: rewrite(f, lambda held: held.update({NORM: held[NORM].round().char()})), "is of the type I8",
    ),
    "more layers": (lambda f: config(f, num_hidden_layers=3), "tensors missing or too many: blk.2."),
    "scaling beside": (
        lambda f: config(
            f, rope_parameters={"rope_type": "default", "rope_theta": 1e4},
            rope_scaling={"rope_type": "linear", "factor": 2.0},
        ),
        "rope of the type 'linear'",
    ),
    "scaling of the older name": (lambda f: config(f, rope_scaling={"type": "dynamic", "factor": 2}), "type 'dynamic'"),
    "two angles": (
        lambda f: config(f, rope_theta=1e4, rope_parameters={"rope_type": "default", "rope_theta": 1e6}),
        "rope_theta is 1e+06 in rope_parameters and 10000 in the other keys",
    ),
    "rope is a word": (lambda f: config(f, rope_scaling="linear"), "rope_scaling is 'linear', expected an object"),
    "an angle of words": (lambda f: config(f, rope_theta="10000"), "rope_theta is '10000', expected a number"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_base_that_is_not_whole_is_refused_before_any_step(
    fault: str, tiny_base: Path, encoder_dir: Path, tmp_path: Path
) -> None:
    base = Path(shutil.copytree(tiny_base, tmp_path / "base"))
    spoil, said = FAULTS[fault]
    spoil(base)
    history = tmp_path / "people.jsonl"
    history.write_text('{"person": "a", "output": "b"}\n')
    run = Run(tmp_path / "run", RunSettings((str(history),), "jsonl", str(base), str(encoder_dir)))
    with pytest.raises(ExportError) as caught:
        run_steps(run, tuple(STEPS), lambda line: None)
    assert said in str(caught.value)
    assert str(base) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("fault", ["no weights", "cut", "empty", "a pointer"])
def test_an_encoder_that_is_not_whole_is_refused_before_any_step(
    fault: str, tiny_base: Path, encoder_dir: Path, tmp_path: Path
) -> None:
    encoder = Path(shutil.copytree(encoder_dir, tmp_path / "encoder"))
    spoil, said = FAULTS[fault]
    spoil(encoder)
    with pytest.raises(ExportError, match=said) as caught:
        check_inputs(inputs(tiny_base, encoder))
    assert str(encoder) in str(caught.value)


def test_a_base_that_is_whole_passes_in_one_file_in_shards_and_as_files_of_torch(
    tiny_base: Path, encoder_dir: Path, tmp_path: Path
) -> None:
    import torch

    base = Path(shutil.copytree(tiny_base, tmp_path / "base"))
    check_inputs(inputs(base, encoder_dir))
    torch.save({"a": torch.zeros(2)}, tmp_path / "pytorch_model.bin")
    shard(base)
    check_inputs(inputs(base, encoder_dir))
    for path in base.glob("model*"):
        path.unlink()
    shutil.move(tmp_path / "pytorch_model.bin", base)
    check_inputs(inputs(base, encoder_dir))


def test_an_angle_is_read_from_wherever_it_stands_and_only_where_transformers_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    new = {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}
    both = {**new, "rope_theta": 5e5}
    for said, theta in (({}, 1e4), ({"rope_theta": 5e5}, 5e5), (new, 5e5), (both, 5e5), ({"rope_scaling": None}, 1e4)):
        assert rope_theta(said, "x") == theta
    for installed in ("4.57.6", "5.0.0"):
        monkeypatch.setattr(rope, "version", lambda name, v=installed: v)
        for said in ({}, {"rope_theta": 5e5}, both):
            check_rope(said, "x")
    check_rope(new, "x")
    monkeypatch.setattr(rope, "version", lambda name: "4.57.6")
    with pytest.raises(
        ExportError, match=r"x: rope_theta 500000 stands in rope_parameters, which transformers 4\.57\.6"
    ):
        check_rope(new, "x")
