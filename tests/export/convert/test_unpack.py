"""A bundle's language model as a folder to train on: the same tokens, the same answers as on the device."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from copersona.export.convert.file_tokens import FileTokens
from copersona.export.convert.gguf import check_base, load_causal_lm, write_gguf
from copersona.runtime.bundle.verify import open_manifest, write_manifest
from copersona.runtime.cli.main import main
from copersona.runtime.engine.engine import Engine

pytestmark = pytest.mark.export

TEXT = "It's 1984: the strap broke twice, naïve me!\n\n  Two stars."


def unpack(bundle: Path, out: Path) -> str:
    result = CliRunner().invoke(main, ["export", "unpack", str(bundle), "--out", str(out)])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.output


def test_it_answers_as_the_device_does_and_can_be_exported_again(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    (tmp_path / "model.gguf").write_bytes(b"another model, in the folder where the command is given")
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "model"
    assert str(out) in unpack(tiny_bundle, out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "model.gguf"]
    assert json.loads((out / "tokenizer_config.json").read_text())["eos_token"] == "<|im_end|>"
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


def test_nothing_of_the_users_is_overwritten_and_no_bundle_added_to(tiny_bundle: Path, tmp_path: Path) -> None:
    assert "is there already" in unpack(tiny_bundle, tmp_path)
    assert not list(tmp_path.iterdir())
    assert "is in the bundle" in unpack(tiny_bundle, tiny_bundle / "model")
    for name in ("model.old", "model.part"):
        (tmp_path / name).mkdir()
    unpack(tiny_bundle, tmp_path / "model")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "model.old", "model.part"]


def test_terms_go_with_the_weights(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    old = open_manifest(bundle)
    (bundle / "NOTICE").write_text("terms")
    (bundle / "manifest.json").unlink()
    files = {row.path: row.role for row in old.files} | {"NOTICE": "licence"}
    write_manifest(bundle, files, old.shapes, {})
    unpack(bundle, tmp_path / "model")
    assert (tmp_path / "model" / "NOTICE").read_text() == "terms"


def test_a_damaged_bundle_is_refused_and_leaves_nothing(tiny_bundle: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(tiny_bundle, tmp_path / "broken"))
    weights = bytearray((broken / "model.gguf").read_bytes())
    weights[len(weights) // 2] ^= 1
    (broken / "model.gguf").write_bytes(weights)
    assert "changed or from another export" in unpack(broken, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["broken"]
