"""A GGUF as base model: what another writer's file becomes, the cache, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from click.testing import CliRunner

from copersona.export.common.hub import model_name
from copersona.export.common.source import read_source
from copersona.export.convert import gguf_base
from copersona.export.convert.file_tokens import FileTokens
from copersona.export.convert.gguf_base import base_folder
from copersona.export.convert.pre_tokenizers import PRE_TOKENIZERS, named, steps_of
from copersona.runtime.cli.main import main
from copersona.runtime.common.errors import ExportError
from copersona.runtime.engine.engine import Engine, quantize
from copersona.runtime.filecheck.gguf_check import TOKENIZERS

pytestmark = pytest.mark.export


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COPERSONA_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "bases"


def rewritten(source: Path, target: Path, changes: dict[str, Any]) -> Path:
    """The GGUF again with some keys changed (None: left out), as another program would write it."""
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, str(reader.fields["general.architecture"].contents()))
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture" or (key in changes and changes[key] is None):
            continue
        value = changes.get(key, field.contents())
        writer.add_key_value(key, value, field.types[0], field.types[-1] if len(field.types) > 1 else None)
    for key in changes.keys() - reader.fields.keys():
        value = changes[key]
        kind = gguf.GGUFValueType.STRING if isinstance(value, str) else gguf.GGUFValueType.UINT32
        writer.add_key_value(key, value, kind)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def test_a_gguf_by_another_writer_is_a_base(tiny_gguf: Path, tmp_path: Path, cache: Path) -> None:
    small = tmp_path / "small.gguf"
    quantize(tiny_gguf, small, "q8_0")
    changes = {
        "tokenizer.ggml.add_bos_token": None,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.pre": "stablelm2",
        "general.license": "apache-2.0",
    }
    theirs = rewritten(small, tmp_path / "theirs.gguf", changes)
    folder = base_folder(str(theirs))
    assert folder.parent == cache
    source = read_source(folder)
    assert source is not None
    assert (source.file, source.bytes, source.licence) == ("theirs.gguf", theirs.stat().st_size, "apache-2.0")
    assert (source.architecture, source.quantisation) == ("qwen2", "Q8_0")
    assert model_name(folder) == f"theirs.gguf@{source.sha256[:12]}"
    with Engine(theirs, n_ctx=64) as engine:
        text = "Strings, 1234 of them\n\n  don't"
        assert FileTokens(folder / "tokenizer.json").tokenize(text) == engine.tokenize(text)
    from safetensors.numpy import load_file

    reader = gguf.GGUFReader(theirs)
    rows = next(t for t in reader.tensors if t.name == "token_embd.weight")
    weights = load_file(folder / "model.safetensors")
    np.testing.assert_array_equal(weights["model.embed_tokens.weight"], gguf.dequantize(rows.data, rows.tensor_type))


def test_it_is_made_once(tiny_gguf: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = base_folder(str(tiny_gguf))
    monkeypatch.setattr(gguf_base, "dequantise", lambda *_: pytest.fail("made again"))
    assert base_folder(str(tiny_gguf)) == folder


def test_it_is_there_whole_or_not_at_all(tiny_gguf: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut_short(model: Path, folder: Path) -> None:
        (folder / "config.json").write_text("{}")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(gguf_base, "dequantise", cut_short)
        with pytest.raises(KeyboardInterrupt):
            base_folder(str(tiny_gguf))
    assert [path for path in cache.iterdir() if path.is_dir()] == []
    assert (base_folder(str(tiny_gguf)) / "model.safetensors").is_file()


def damaged(tiny_gguf: Path, path: Path, name: str) -> Path:
    content = tiny_gguf.read_bytes()
    if name == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif name == "big-endian":
        path.write_bytes(content[:4] + content[4:8][::-1] + content[8:])
    elif name == "no GGUF":
        path.write_text("weights, surely")
    else:
        changes: dict[str, dict[str, Any]] = {
            "unknown pre-tokenizer": {"tokenizer.ggml.pre": "tekken"},
            "unknown architecture": {"general.architecture": None},
            "split": {"split.count": 2},
            "scaled": {"qwen2.rope.scaling.type": "yarn"},
        }
        rewritten(tiny_gguf, path, changes[name])
        if name == "unknown architecture":
            path.write_bytes(path.read_bytes().replace(b"qwen2", b"mamba"))
    return path


DAMAGE = {
    "cut": "cut, or added to",
    "big-endian": "a big-endian GGUF, version 3",
    "no GGUF": "not a GGUF",
    "unknown pre-tokenizer": "tokenizer.ggml.pre is 'tekken', supported: qwen2, llama-bpe, smollm",
    "unknown architecture": "general.architecture is 'mamba'",
    "split": "one part of a model in several files",
    "scaled": "qwen2.rope.scaling.type is not a key that is supported",
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_is_no_base_is_refused_in_one_line(tiny_gguf: Path, tmp_path: Path, cache: Path, name: str) -> None:
    bad = damaged(tiny_gguf, tmp_path / "bad.gguf", name)
    (tmp_path / "h.jsonl").write_text("{}\n")
    asked = ["export", "run", str(tmp_path / "h.jsonl"), "--base", str(bad), "--encoder", str(tmp_path)]
    result = CliRunner().invoke(main, [*asked, "--out", str(tmp_path / "run")])
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    (line,) = result.output.strip().splitlines()
    assert line.startswith("error: ")
    assert str(bad) in line
    assert DAMAGE[name] in line
    assert not cache.exists()
    assert not (tmp_path / "run").exists()


def test_a_file_that_is_not_there(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(ExportError, match=r"gone\.gguf"):
        base_folder(str(tmp_path / "gone.gguf"))


@pytest.mark.parametrize("alias", [alias for one in PRE_TOKENIZERS for alias in one.aliases])
def test_other_names_of_a_pre_tokenizer_mean_the_same(tiny_gguf: Path, tmp_path: Path, alias: str) -> None:
    """llama.cpp gives the same tokens under either name."""
    known = named(alias)
    assert known is not None
    files = [rewritten(tiny_gguf, tmp_path / f"{n}.gguf", {"tokenizer.ggml.pre": n}) for n in (known.name, alias)]
    hard = ["don't 12345 x²½ ①٣", "  two  spaces\n\n\tand\r\n tabs", "naïve 漢字🎸 ʼs 'S'", "a.b,c!? --- def f(x):"]
    tokens = []
    for file in files:
        with Engine(file, n_ctx=64) as engine:
            tokens.append([engine.tokenize(text) for text in hard])
    assert tokens[0] == tokens[1]


def test_the_runtime_and_the_export_know_the_same_pre_tokenizers() -> None:
    names = [name for one in PRE_TOKENIZERS for name in (one.name, *one.aliases)]
    assert sorted(names) == sorted(TOKENIZERS["gpt2"])


@pytest.mark.parametrize("one", PRE_TOKENIZERS, ids=lambda one: one.name)
def test_a_pre_tokenizer_is_found_again_by_its_steps(one: Any) -> None:
    from tokenizers import Tokenizer, models

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = one.build()
    assert steps_of(json.loads(tokenizer.to_str())["pre_tokenizer"]) == one.steps


@pytest.mark.parametrize(
    "body",
    [
        None,
        {"type": "Sequence", "pretokenizers": []},
        {"type": "Whitespace"},
        {"type": "ByteLevel", "add_prefix_space": True, "use_regex": True},
        {"type": "Split", "pattern": {"Regex": "x"}, "behavior": "Removed", "invert": False},
        {"type": "Split", "pattern": {"String": "x"}, "behavior": "Isolated", "invert": False},
    ],
)
def test_other_steps_are_none(body: Any) -> None:
    assert steps_of(body) is None


def test_a_damaged_cache_is_said(tiny_gguf: Path, cache: Path) -> None:
    folder = base_folder(str(tiny_gguf))
    (folder / "source.json").write_text("{}")
    with pytest.raises(ExportError, match="it is made again"):
        model_name(folder)
    shutil.rmtree(folder)
    assert read_source(base_folder(str(tiny_gguf))) is not None
