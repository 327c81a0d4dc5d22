"""An encoder's tokenizer is refused before the library sees it: what it panics, grows or hangs at."""

from __future__ import annotations

import base64
import contextlib
import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from copersona.runtime.common.errors import BundleError, ModelError
from copersona.runtime.filecheck.tokenizer_check import check_tokenizer
from copersona.runtime.profile.encoder import Encoder

from ...onnx_files import mean_encoder
from ...small_bundle import ROWS, tokenizer

Change = Callable[[dict[str, Any]], object]


def put(*path: Any) -> Change:
    """Set the last of `path` at the place that the others lead to."""
    *places, last, value = path

    def change(body: Any) -> None:
        for place in places:
            body = body[place]
        body[last] = value

    return change


def replaced(pattern: object, content: str, times: int = 1) -> Change:
    one = {"type": "Replace", "pattern": pattern, "content": content}
    return put("normalizer", {"type": "Sequence", "normalizers": [one] * times})


def charsmap(units: dict[int, int], texts: bytes = b"b\0", size: int = 512) -> str:
    """A double array in which the byte 97 leads from its root to a leaf, unless `units` says otherwise."""
    trie = np.zeros(size, np.uint32)
    trie[0], trie[256 ^ 97], trie[256 ^ 97 ^ 1] = 256 << 10, 97 | 1 << 8 | 1 << 10, 1 << 31
    for place, unit in units.items():
        trie[place] = unit
    return base64.b64encode(struct.pack("<I", 4 * size) + trie.tobytes() + texts).decode()


def precompiled(table: str) -> Change:
    return put("normalizer", {"type": "Precompiled", "precompiled_charsmap": table})


BPE = {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]], "unk_token": "a"}
UNIGRAM = {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["a", -1.5], ["▁b", -2]]}
DIGITS = 10**399


def plain(model: dict[str, Any]) -> Change:
    """Another model, with nothing around a text."""
    return lambda body: body.update(model=model, post_processor=None, added_tokens=[], decoder=None)


GOOD: dict[str, Change] = {
    "as it is": lambda body: None,
    "BPE": plain(BPE),
    "BPE, merges as text": plain(BPE | {"merges": ["a b"]}),
    "Unigram": plain(UNIGRAM),
    "blanks as one": replaced({"Regex": " {2,}"}, "▁"),
    "a sign for another": replaced({"String": "``"}, '"'),
    "a table of characters": precompiled(charsmap({})),
    "words that are not known yet": lambda body: body["added_tokens"].append(
        body["added_tokens"][0] | {"content": "[MORE]", "id": len(body["model"]["vocab"])}
    ),
    "bytes": put(
        "pre_tokenizer", {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
    ),
}  # fmt: skip

BAD: dict[str, tuple[Change, str]] = {
    "a pattern that does not end": (replaced({"Regex": "(a*)*b"}, ""), "not known here"),
    "something longer, again and again": (replaced({"String": "a"}, "aaaaaaaa", 8), "something longer"),
    "nothing replaced": (replaced({"String": ""}, "a"), "not known here"),
    "many steps": (replaced({"String": "a"}, "b", 9), "9 components"),
    "a split by a pattern": (
        put("pre_tokenizer", {"type": "Split", "pattern": {"Regex": "(a*)*b"}, "behavior": "Removed", "invert": False}),
        "component 'Split'",
    ),
    "a text before each": (put("normalizer", {"type": "Prepend", "prepend": "x" * 9}), "component 'Prepend'"),
    "sequences inside": (put("normalizer", {"type": "Sequence", "normalizers": [{"type": "Sequence"}]}), "'Sequence'"),
    "another model": (put("model", "type", "WordLevel"), "component 'WordLevel'"),
    "the text twice": (lambda b: b["post_processor"]["single"].append({"Sequence": {"id": "A", "type_id": 0}}), "once"),
    "no text": (lambda b: b["post_processor"]["single"].pop(1), "does not stand once"),
    "many tokens around": (
        lambda b: b["post_processor"]["single"].extend([{"SpecialToken": {"id": "[SEP]", "type_id": 0}}] * 20), "once",
    ),
    "a token for many": (
        put("post_processor", "special_tokens", "[SEP]", {"id": "[SEP]", "ids": [3] * 99, "tokens": ["[SEP]"] * 99}),
        "stands for too much",
    ),
    "an id that the encoder lacks": (put("model", "vocab", "guitar", ROWS), f"the encoder knows {ROWS}"),
    "an id below 0": (put("model", "vocab", "guitar", -1), "has the id -1"),
    "an id of 400 digits": (put("model", "vocab", "guitar", DIGITS), "has the id 1000"),
    "an id of text": (put("model", "vocab", "guitar", "7"), "has the id 7"),
    "an id twice": (put("model", "vocab", "guitar", 5), "two tokens have the same id"),
    "a special id that the encoder lacks": (
        put("post_processor", "special_tokens", "[SEP]", "ids", [ROWS]), f"the encoder knows {ROWS}",
    ),
    "an added id elsewhere": (put("added_tokens", 0, "id", 9), "has the id 9, expected 0"),
    "an added token twice": (lambda b: b["added_tokens"].append(b["added_tokens"][0]), "there twice"),
    "an added token of nothing": (put("added_tokens", 0, "content", ""), "is empty"),
    "a type that there is not": (
        put("post_processor", "single", 0, "SpecialToken", "type_id", 2), "parts that are not known",
    ),
    "a long word": (put("model", "max_input_chars_per_word", 10**9), "out of 1 to 1,000"),
    "no unknown token": (put("model", "unk_token", "[NONE]"), "unk_token is no token"),
    "no tokens": (put("model", "vocab", {}), "0 tokens"),
    "by chance": (plain(BPE | {"dropout": 0.5}), "by chance"),
    "a merge of nothing": (plain(BPE | {"merges": [["a", "c"]]}), "joins no two tokens"),
    "a score of 400 digits": (plain(UNIGRAM | {"vocab": [["a", DIGITS]]}), "token 0 is"),
    "a score of text": (plain(UNIGRAM | {"vocab": [["a", "1"]]}), "token 0 is"),
    "an unknown that is not there": (plain(UNIGRAM | {"unk_id": 3}), "unk_id is 3"),
    "a table that leads out": (precompiled(charsmap({0: 2**20 << 10})), "leads out"),
    "a table of far texts": (precompiled(charsmap({256 ^ 97 ^ 1: 1 << 31 | 9})), "not there"),
    "a table of half a character": (precompiled(charsmap({256 ^ 97 ^ 1: 1 << 31 | 1}, "é\0".encode())), "not there"),
    "a table of long texts": (precompiled(charsmap({}, b"x" * 1000 + b"\0")), "too long"),
    "a table that is cut": (precompiled(charsmap({})[:100]), "a table of characters"),
    "more entries": (put("more", 1), "other entries"),
    "a list": (put("model", []), "a component is"),
}  # fmt: skip


def write(folder: Path, change: Change) -> Path:
    body = json.loads(json.dumps(tokenizer()))
    change(body)
    path = folder / "encoder_tokenizer.json"
    path.write_text(json.dumps(body), encoding="utf-8")
    return path


@pytest.mark.parametrize("case", GOOD)
def test_tokenizers_that_encoders_have_are_taken_and_run(tmp_path: Path, case: str) -> None:
    path = write(tmp_path, GOOD[case])
    check_tokenizer(path, ROWS)
    (tmp_path / "encoder.onnx").write_bytes(mean_encoder(ROWS))
    assert np.isfinite(Encoder(tmp_path / "encoder.onnx", path).encode("a good  guitar b" * 9)).all()


@pytest.mark.parametrize("case", BAD)
def test_a_bad_tokenizer_is_refused(tmp_path: Path, case: str) -> None:
    change, expected = BAD[case]
    path = write(tmp_path, change)
    with pytest.raises(BundleError) as caught:
        check_tokenizer(path, ROWS)
    assert str(caught.value).startswith(f"{path}: not a tokenizer that may be opened: ")
    assert "\n" not in str(caught.value)
    assert expected in str(caught.value)


def places(body: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where each value of a JSON text stands."""
    inside = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for key, value in inside:
        yield (*path, key)
        yield from places(value, (*path, key))


@pytest.mark.parametrize("case", GOOD)
def test_whatever_stands_in_a_place_it_is_read_or_refused(tmp_path: Path, case: str) -> None:
    path = write(tmp_path, GOOD[case])
    whole = path.read_text(encoding="utf-8")
    for place in places(json.loads(whole)):
        for value in ("x", "", 3, -1, 0.5, True, None, [], [3], ["x"], {}, {"x": 3}, [{}], [[]]):
            body = json.loads(whole)
            put(*place, value)(body)
            path.write_text(json.dumps(body), encoding="utf-8")
            with contextlib.suppress(BundleError):
                check_tokenizer(path, ROWS)


def test_the_table_of_the_tests_does_what_it_says(tmp_path: Path) -> None:
    from tokenizers.normalizers import Precompiled

    table = base64.b64decode(charsmap({}))
    assert Precompiled(table).normalize_str("a c a") == "b c b"


def test_a_panic_of_the_library_is_one_line(tmp_path: Path) -> None:
    path = write(tmp_path, precompiled(charsmap({0: 2**20 << 10})))  # what the check refuses
    (tmp_path / "encoder.onnx").write_bytes(mean_encoder(ROWS))
    with pytest.raises(ModelError, match=r"encoder\.onnx: the encoder (fails at a text|cannot be loaded)") as caught:
        Encoder(tmp_path / "encoder.onnx", path).encode("a")
    assert "\n" not in str(caught.value)


def test_what_is_none_of_the_librarys_errors_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "encoder.onnx").write_bytes(mean_encoder(ROWS))
    encoder = Encoder(tmp_path / "encoder.onnx", write(tmp_path, GOOD["as it is"]))

    def stopped(text: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(encoder, "_run", stopped)
    with pytest.raises(KeyboardInterrupt):
        encoder.encode("a")


@pytest.mark.parametrize("scale", [np.inf, 1e37])  # finite, and its length is not
def test_vectors_that_are_not_finite_are_one_line(tmp_path: Path, scale: float) -> None:
    content = mean_encoder(ROWS)
    table = np.random.default_rng(0).normal(0, 1, (ROWS, 8)).astype(np.float32)
    assert table.tobytes() in content
    (tmp_path / "encoder.onnx").write_bytes(content.replace(table.tobytes(), (table * np.float32(scale)).tobytes()))
    with pytest.raises(ModelError, match="none of 8 finite numbers"):
        Encoder(tmp_path / "encoder.onnx", write(tmp_path, GOOD["as it is"])).encode("a")


def test_the_format_of_onnxruntime_itself_is_not_loaded(tmp_path: Path) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "encoder.onnx")
    options.add_session_config_entry("session.save_model_format", "ORT")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(mean_encoder(ROWS), options, providers=["CPUExecutionProvider"])
    assert (tmp_path / "encoder.onnx").read_bytes()[4:8] == b"ORTM"
    onnxruntime.InferenceSession((tmp_path / "encoder.onnx").read_bytes(), providers=["CPUExecutionProvider"])
    with pytest.raises(ModelError, match="cannot be loaded"):
        Encoder(tmp_path / "encoder.onnx", write(tmp_path, GOOD["as it is"]))
