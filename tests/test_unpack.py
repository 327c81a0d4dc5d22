"""A bundle's language model as a folder to train on: the same tokens, the same answers as on the device."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from copersona.export.examples import FileTokens
from copersona.export.gguf import check_base, load_causal_lm, write_gguf
from copersona.runtime.cli import main
from copersona.runtime.engine import Engine

pytestmark = pytest.mark.export

TEXT = "It's 1984: the strap broke twice, naïve me!\n\n  Two stars."


def unpack(bundle: Path, out: Path) -> str:
    result = CliRunner().invoke(main, ["export", "unpack", str(bundle), "--out", str(out)])
    assert result.exit_code in (0, 1)
    assert "Traceback" not in result.output
    return result.output


def test_it_answers_as_the_device_does_and_can_be_exported_again(tiny_bundle: Path, tmp_path: Path) -> None:
    import torch

    out = tmp_path / "model"
    assert str(out) in unpack(tiny_bundle, out)
    check_base(out)
    write_gguf(out, tmp_path / "again.gguf", "f32")
    with (
        Engine(tiny_bundle / "model.gguf", n_ctx=256, threads=1, exact=True) as device,
        Engine(tmp_path / "again.gguf", n_ctx=256, threads=1, exact=True) as again,
    ):
        ids = FileTokens(out / "tokenizer.json").tokenize(TEXT)
        assert ids == device.tokenize(TEXT) == again.tokenize(TEXT)
        end = again.control("<|im_end|>")
        assert device.is_end(end)
        assert again.is_end(end)
        expected, found = device.logits(None, ids), again.logits(None, ids)
    with torch.no_grad():
        by_torch = load_causal_lm(out)(torch.tensor([ids])).logits[0].numpy()
    np.testing.assert_allclose(found, by_torch, atol=1e-3)
    assert np.abs(found - expected).mean() < 0.1 * np.abs(expected).mean()  # the device rounds activations too


def test_what_is_there_is_not_overwritten(tiny_bundle: Path, tmp_path: Path) -> None:
    assert "is there already" in unpack(tiny_bundle, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_damaged_bundle_is_refused_and_leaves_nothing(tiny_bundle: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(tiny_bundle, tmp_path / "broken"))
    weights = bytearray((broken / "model.gguf").read_bytes())
    weights[len(weights) // 2] ^= 1
    (broken / "model.gguf").write_bytes(weights)
    assert "changed or from another export" in unpack(broken, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["broken"]
