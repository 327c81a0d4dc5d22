"""What `check_gguf` says of good files, and that it says only `ModelError` of all others."""

from __future__ import annotations

import functools
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from copersona.runtime.common.errors import ModelError
from copersona.runtime.filecheck.gguf_check import GgufFacts, check_gguf

from ...random_models import add_key

quick = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def layer(number: int) -> dict[str, Any]:
    """Width 8, four heads of 2, two of keys and values, 16 inside."""
    shapes = {
        "attn_norm.weight": (8,), "attn_q.weight": (8, 8), "attn_k.weight": (4, 8), "attn_v.weight": (4, 8),
        "attn_output.weight": (8, 8), "attn_q.bias": (8,), "attn_k.bias": (4,), "attn_v.bias": (4,),
        "ffn_norm.weight": (8,), "ffn_gate.weight": (16, 8), "ffn_up.weight": (16, 8), "ffn_down.weight": (8, 16),
    }  # fmt: skip
    return {f"blk.{number}.{name}": np.zeros(shape, np.float32) for name, shape in shapes.items()}


TENSORS = {
    "token_embd.weight": np.zeros((3, 8), np.float32), "output_norm.weight": np.zeros(8, np.float32),
    **layer(0), **layer(1),
}  # fmt: skip
SIZE = sum(array.size for array in TENSORS.values())
PLACE = sum(-(-array.nbytes // 32) * 32 for array in TENSORS.values())  # where a further tensor begins


def write(path: Path, change: Callable[[dict[str, Any]], object] = lambda keys: None, **tensors: Any) -> Path:
    """A small good GGUF with its keys changed by `change` and more `tensors`; a key set to None is left out."""
    keys: dict[str, Any] = {
        "qwen2.block_count": 2, "qwen2.context_length": 64, "qwen2.embedding_length": 8,
        "qwen2.feed_forward_length": 16, "qwen2.attention.head_count": 4, "qwen2.attention.head_count_kv": 2,
        "qwen2.attention.layer_norm_rms_epsilon": 1e-6, "qwen2.rope.freq_base": 10_000.0, "general.file_type": 7,
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "qwen2", "tokenizer.ggml.tokens": ["a", "b", "ab"],
        "tokenizer.ggml.token_type": [1, 1, 3], "tokenizer.ggml.merges": ["a b"], "tokenizer.ggml.eos_token_id": 2,
    }  # fmt: skip
    change(keys)
    writer = gguf.GGUFWriter(path, keys.pop("general.architecture", "qwen2"))
    for key, value in keys.items():
        add_key(writer, key, value)
    for name, array in {**TENSORS, **tensors}.items():
        if array is not None:
            writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_facts_of_a_good_file(tmp_path: Path) -> None:
    path = write(tmp_path / "good.gguf", lambda keys: keys.update({"tokenizer.chat_template": "{{ messages }}"}))
    assert check_gguf(path) == GgufFacts("qwen2", 8, 2, 4, 2, 3, 64, "Q8_0", "{{ messages }}", None, 2, "", SIZE)


@pytest.mark.export
def test_facts_of_an_exported_model(tiny_gguf: Path) -> None:
    facts = check_gguf(tiny_gguf)
    assert (facts.width, facts.layers, facts.heads, facts.kv_heads, facts.context) == (64, 2, 4, 2, 1_024)
    assert facts.quantisation == "F32"
    assert "<|im_start|>" in str(facts.chat_template)


def test_a_check_takes_milliseconds(tiny_gguf: Path) -> None:
    start = time.process_time()
    check_gguf(tiny_gguf)
    assert time.process_time() - start < 0.1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"general.architecture": "gemma"}, "general.architecture is 'gemma', supported: qwen2, qwen3, llama"),
        ({"tokenizer.ggml.model": "t5"}, "tokenizer.ggml.model is 't5', supported: gpt2, llama"),
        ({"tokenizer.ggml.model": "llama"}, "tokenizer.ggml.pre is 'qwen2', supported: default"),
        ({"tokenizer.ggml.pre": None}, "tokenizer.ggml.pre is None"),
        ({"tokenizer.ggml.pre": "tekken"}, "tokenizer.ggml.pre is 'tekken'"),
        ({"tokenizer.ggml.tokens": ["a", "b", "a"]}, "token 2 b'a' is empty, there twice"),
        ({"tokenizer.ggml.tokens": ["a", "b", ""]}, "token 2 b'' is empty"),
        ({"tokenizer.ggml.tokens": ["a", "b", "a\0c"]}, "has a zero byte"),
        ({"tokenizer.ggml.tokens": [1, 2, 3]}, "tokenizer.ggml.tokens is missing or not an array"),
        ({"tokenizer.ggml.tokens": ["a", "b"]}, "2 tokens, but 3 token types"),
        ({"tokenizer.ggml.token_type": [1, 1, 9]}, "token types from 1 to 9"),
        ({"tokenizer.ggml.token_type": [1, 1, 6]}, "marked as a byte"),
        ({"tokenizer.ggml.token_type": None}, "tokenizer.ggml.token_type is missing"),
        ({"tokenizer.ggml.merges": None}, "tokenizer.ggml.merges is missing"),
        ({"tokenizer.ggml.scores": [1.0]}, "not one score for each of the 3 tokens"),
        ({"tokenizer.ggml.eos_token_id": 3}, "tokenizer.ggml.eos_token_id is 3, but there are 3 tokens"),
        ({"tokenizer.ggml.eos_token_id": "a"}, "tokenizer.ggml.eos_token_id has the type 8, expected 4"),
        ({"qwen2.block_count": 0}, "qwen2.block_count is 0, expected 1 to 512"),
        ({"qwen2.block_count": 513}, "qwen2.block_count is 513, expected 1 to 512"),
        ({"qwen2.block_count": None}, "qwen2.block_count is None"),
        ({"qwen2.block_count": 2.0}, "qwen2.block_count has the type 6, expected 4"),
        ({"qwen2.attention.head_count": 3}, "width 8, 3 heads and 2 key-value heads do not divide"),
        ({"qwen2.attention.head_count_kv": 3}, "width 8, 4 heads and 3 key-value heads do not divide"),
        ({"qwen2.rope.dimension_count": 4}, "qwen2.rope.dimension_count is 4, expected 2"),
        ({"qwen2.rope.freq_base": float("nan")}, "qwen2.rope.freq_base is nan"),
        ({"qwen2.vocab_size": 4}, "qwen2.vocab_size is 4, but there are 3 tokens"),
        ({"qwen2.expert_count": 300}, "qwen2.expert_count is not a key that is supported"),
        ({"general.alignment": 24}, "general.alignment is 24"),
        ({"split.count": 2}, "one part of a model in several files"),
        ({"general.name": "x" * 2_000_000}, "general.name has 2000000 bytes, at most 1048576"),
        ({"tokenizer.chat_template": "x" * 300_000}, "tokenizer.chat_template has more than 262144 bytes"),
        ({"general.tags": [["a"], ["b"]]}, "general.tags is an array of the type 9"),
    ],
)
def test_bad_keys_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "bad.gguf", lambda keys: keys.update(change))
    with pytest.raises(ModelError) as caught:
        check_gguf(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (np.zeros(4, np.float64), "has the type 28, which is not supported"),
        (np.zeros((2, 0), np.float32), "has 0 elements"),
    ],
)
def test_bad_tensors_are_refused(tmp_path: Path, tensor: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        check_gguf(write(tmp_path / "bad.gguf", more=tensor))


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"blk.0.attn_norm.weight": np.ones(8, np.float16)}, "'blk.0.attn_norm.weight' has one row of the type F16"),
        ({"blk.1.attn_q.bias": np.ones(8, np.float16)}, "one row of the type F16, expected F32"),
        ({"blk.0.attn_q.scale": np.ones(1, np.float32)}, "'blk.0.attn_q.scale' is none of a qwen2 model"),
        ({"output.bias": np.ones(3, np.float32)}, "'output.bias' is none of a qwen2 model"),
        ({"rope_freqs.weight": np.ones(1, np.float32)}, "'rope_freqs.weight' is none of"),
        ({"blk.2.attn_norm.weight": np.ones(8, np.float32)}, "'blk.2.attn_norm.weight' is none of"),
        ({"blk.0.ffn_up.weight": np.ones((16, 4), np.float32)}, r"is \[4, 16\], expected \[8, 16\]"),
        ({"token_embd.weight": np.ones((4, 8), np.float32)}, r"is \[8, 4\], expected \[8, 3\]"),
        ({"blk.1.attn_v.weight": None}, "1 tensors are missing: blk.1.attn_v.weight"),
    ],
)
def test_tensors_of_no_such_model_are_refused(tmp_path: Path, tensors: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        check_gguf(write(tmp_path / "bad.gguf", **tensors))


def test_an_output_matrix_may_be_there_or_not(tmp_path: Path) -> None:
    untied = {"output.weight": np.zeros((3, 8), np.float32)}
    assert check_gguf(write(tmp_path / "untied.gguf", **untied)).parameters == SIZE + 24


def edited(path: Path, old: bytes, new: bytes) -> Path:
    data = path.read_bytes()
    assert data.count(old) == 1
    path.write_bytes(data.replace(old, new))
    return path


def test_bad_places_are_refused(tmp_path: Path) -> None:
    def good() -> Path:
        return write(tmp_path / "places.gguf", second=np.zeros(8, np.float32))

    entry = b"second" + struct.pack("<IQIQ", 1, 8, 0, PLACE)
    with pytest.raises(ModelError, match=f"begins at {PLACE + 1}, expected {PLACE}"):
        check_gguf(edited(good(), entry, b"second" + struct.pack("<IQIQ", 1, 8, 0, PLACE + 1)))
    with pytest.raises(ModelError, match="5 dimensions"):
        check_gguf(edited(good(), entry, b"second" + struct.pack("<IQIQ", 5, 8, 0, PLACE)))
    with pytest.raises(ModelError, match="blocks of 32"):
        check_gguf(edited(good(), entry, b"second" + struct.pack("<IQIQ", 1, 8, 8, PLACE)))
    with pytest.raises(ModelError, match="expected 1 to 1099511627776"):
        check_gguf(edited(good(), entry, b"second" + struct.pack("<IQIQ", 1, 2**63, 0, PLACE)))
    path = good()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelError, match="cut, or added to"):
        check_gguf(path)


def test_doubled_names_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gguf", other=np.zeros(8, np.float32), third=np.zeros(8, np.float32))
    with pytest.raises(ModelError, match="same name"):
        check_gguf(edited(path, b"third" + struct.pack("<I", 1), b"other" + struct.pack("<I", 1)))
    path = write(tmp_path / "b.gguf", lambda keys: keys.update({"general.aaaa": 1, "general.bbbb": 1}))
    with pytest.raises(ModelError, match=r"'general\.aaaa' is empty, not plain ASCII or there twice"):
        check_gguf(edited(path, b"general.bbbb", b"general.aaaa"))


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (b"", "0 bytes"),
        (b"GGML" + bytes(40), "begins with b'GGML'"),
        (b"GGUF" + struct.pack("<IQQ", 1, 1, 1), "GGUF version 1"),
        (b"GGUF" + struct.pack(">IQQ", 3, 1, 1), "a big-endian GGUF, version 3"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1), "0 tensors"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1, 2**63), "9223372036854775808 keys"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 1, 1, 2**64 - 1), "has 18446744073709551615 bytes"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 1, 1, 200), "header needs 200 bytes"),
    ],
)
def test_bad_starts_are_refused(tmp_path: Path, start: bytes, message: str) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(start)
    with pytest.raises(ModelError, match=message):
        check_gguf(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.gguf", "a\0b", Path("/dev/zero")):
        with pytest.raises(ModelError):
            check_gguf(path)


@functools.cache
def small_file(folder: Path) -> bytes:
    return write(folder / "small.gguf").read_bytes()


def check_bytes(folder: Path, data: bytes) -> None:
    """Nothing but facts or a ModelError of one line."""
    path = folder / "some.gguf"
    path.write_bytes(data)
    try:
        assert isinstance(check_gguf(path), GgufFacts)
    except ModelError as error:
        assert "\n" not in str(error)  # noqa: PT017  (either outcome is right)


@quick
@given(data=st.binary(max_size=400))
def test_random_bytes(tmp_path: Path, data: bytes) -> None:
    check_bytes(tmp_path, data)
    check_bytes(tmp_path, b"GGUF" + struct.pack("<IQQ", 3, 1, 3) + data)


@quick
@given(data=st.data())
def test_promise_bad_model_is_refused_before_it_is_loaded(tmp_path: Path, data: st.DataObject) -> None:
    changed = bytearray(small_file(tmp_path))
    for at in data.draw(st.lists(st.integers(0, len(changed) - 1), max_size=3)):
        changed[at] = data.draw(st.integers(0, 255))
    check_bytes(tmp_path, bytes(changed[: data.draw(st.integers(0, len(changed)))]))
    check_bytes(tmp_path, bytes(changed))
