"""The merge against numpy by hand, and LoRA files that are not what they must be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf.quants import dequantize

from copersona.runtime.assemble.lora import Lora, read_lora
from copersona.runtime.assemble.merge import make_model, merge
from copersona.runtime.common.errors import ModelError
from copersona.runtime.filecheck.gguf_check import check_gguf

NAME = "blk.0.ffn_down.weight"


def tensors(path: Path) -> dict[str, Any]:
    return {t.name: dequantize(t.data, t.tensor_type) for t in gguf.GGUFReader(path).tensors}


@pytest.fixture
def lora(tiny_gguf: Path) -> Lora:
    rows, width = tensors(tiny_gguf)[NAME].shape
    draw = np.random.default_rng(3)
    a, b = draw.normal(0, 0.1, (4, width)), draw.normal(0, 0.1, (rows, 4))
    return Lora(2.0, {NAME: (a.astype(np.float16), b.astype(np.float16))})


def test_only_the_named_matrix_is_changed_and_by_the_formula(tiny_gguf: Path, lora: Lora, tmp_path: Path) -> None:
    merge(tiny_gguf, lora, tmp_path / "merged.gguf")
    before, after = tensors(tiny_gguf), tensors(tmp_path / "merged.gguf")
    assert before.keys() == after.keys()
    a, b = lora.pairs[NAME]
    expected = before.pop(NAME).astype(np.longdouble) + 2.0 * (b.astype(np.longdouble) @ a.astype(np.longdouble))
    np.testing.assert_array_equal(after.pop(NAME), expected.astype(np.float32))
    for name in before:
        np.testing.assert_array_equal(before[name], after[name])


def test_keys_are_kept_and_the_precision_is_said(tiny_gguf: Path, tmp_path: Path) -> None:
    merge(tiny_gguf, None, tmp_path / "half.gguf", "f16")
    facts, half = check_gguf(tiny_gguf), check_gguf(tmp_path / "half.gguf")
    assert (half.quantisation, half.vocabulary, half.width) == ("F16", facts.vocabulary, facts.width)
    one, two = (gguf.GGUFReader(path) for path in (tiny_gguf, tmp_path / "half.gguf"))
    apart = {"general.file_type", "general.quantization_version"}
    keys = [key for key in one.fields if not key.startswith("GGUF.") and key not in apart]
    assert all(one.fields[key].contents() == two.fields[key].contents() for key in keys)
    kinds = {t.name: t.tensor_type.name for t in two.tensors}
    assert kinds[NAME] == "F16"
    assert kinds["output_norm.weight"] == "F32"


def test_twice_the_same_file(tiny_gguf: Path, lora: Lora, tmp_path: Path) -> None:
    for name in ("one", "two"):
        make_model(tiny_gguf, lora, tmp_path / name, "q8_0")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_a_lora_of_another_model_is_refused_and_nothing_is_left(tiny_gguf: Path, lora: Lora, tmp_path: Path) -> None:
    for name in ("blk.99.ffn_down.weight", "blk.0.ffn_up.weight"):
        with pytest.raises(ModelError, match=name):
            merge(tiny_gguf, Lora(1.0, {name: lora.pairs[NAME]}), tmp_path / "merged.gguf")
    assert list(tmp_path.iterdir()) == []


def test_a_lora_is_read_as_it_was_written(lora: Lora, tmp_path: Path) -> None:
    lora.write(tmp_path / "lora.safetensors")
    again = read_lora(tmp_path / "lora.safetensors")
    assert again.scale == lora.scale
    for one, two in zip(lora.pairs[NAME], again.pairs[NAME], strict=True):
        np.testing.assert_array_equal(one, two)


def bad_loras() -> dict[str, Any]:
    half, ones = np.float16, np.ones
    return {
        "half of the pair": {f"{NAME}.a": ones((2, 3), half)},
        "no pair of float16": {f"{NAME}.a": ones((2, 3), np.float32), f"{NAME}.b": ones((5, 2), half)},
        "the ranks of": {f"{NAME}.a": ones((2, 3), half), f"{NAME}.b": ones((5, 3), half)},
        "not finite": {f"{NAME}.a": np.full((2, 3), np.inf, half), f"{NAME}.b": ones((5, 2), half)},
        "expected pairs": {},
    }


@pytest.mark.parametrize("what", bad_loras())
def test_a_wrong_lora_is_refused_in_one_line(tmp_path: Path, what: str) -> None:
    from safetensors.numpy import save_file

    path = tmp_path / "lora.safetensors"
    save_file(bad_loras()[what], path, {"scale": "1.0"})
    with pytest.raises(ModelError, match=what) as caught:
        read_lora(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"\xff" * 8])
def test_what_is_no_file_of_tensors(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "lora").write_bytes(content)
    with pytest.raises(ModelError, match="not a LoRA"):
        read_lora(tmp_path / "lora")
