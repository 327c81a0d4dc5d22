"""A Hugging Face folder to a GGUF file, and a LoRA adapter into its base.

`write_gguf` uses only the `gguf` package: no code of llama.cpp and no list of known tokenizers, so that a vocabulary
trained from scratch or extended passes. What cannot be carried over exactly is refused by name, never approximated:
the architecture, the pre-tokenizer, the normaliser, rope scaling. Tensors are streamed, one in memory at a time.
The runtime applies NFC to all text itself, because llama.cpp does not know normalisers.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import gguf
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from ..runtime.errors import ExportError, ModelError
from ..runtime.gguf_check import check_gguf

ARCHITECTURES = {"Qwen2ForCausalLM": gguf.MODEL_ARCH.QWEN2}

# The pattern in tokenizer.json -> llama.cpp's name of the same pattern ("tokenizer.ggml.pre").
PRE_TOKENIZERS = {
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+": "qwen2"
}

LAYER_TENSORS = (
    *(f"attn_{part}.{kind}" for part in "qkv" for kind in ("weight", "bias")),
    "attn_output.weight", "attn_norm.weight", "ffn_norm.weight", "ffn_gate.weight", "ffn_up.weight", "ffn_down.weight",
)  # fmt: skip

TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja",
    "vocab.json", "merges.txt",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Source:
    """The JSON files of a model folder, as they are."""

    folder: Path
    config: dict[str, Any]
    tokenizer: dict[str, Any]
    tokenizer_config: dict[str, Any]


def write_gguf(model_dir: Path, target: Path, kind: Literal["f32", "f16"]) -> None:
    """Write the model and tokenizer in `model_dir` to the GGUF `target`, which is replaced in one step.

    Tensors of one dimension (norms, biases) stay float32 in both kinds, as llama.cpp wants them.

    Raises:
        ExportError: something in the folder is missing, or cannot be written exactly as a GGUF.
    """
    if kind not in ("f32", "f16"):
        raise ExportError(f"GGUF of kind {kind!r}: expected f32 or f16; quantise from these with the runtime")
    source = _read_source(Path(model_dir))
    target = Path(target)
    part = target.with_name(target.name + ".part")
    writer = gguf.GGUFWriter(part, gguf.MODEL_ARCH_NAMES[_architecture(source)])
    try:
        _add_model(writer, source, kind)
        _add_tokenizer(writer, source)
        _write_tensors(writer, source, np.dtype(np.float16 if kind == "f16" else np.float32))
        writer.close()
        check_gguf(part)
        os.replace(part, target)
    except ModelError as error:
        raise ExportError(f"{model_dir}: the GGUF written from it would be refused, {error}") from error
    except (KeyError, SafetensorError) as error:
        raise ExportError(f"{model_dir}: is missing {_first_line(error)}, or is damaged there") from error
    finally:
        writer.close()
        part.unlink(missing_ok=True)


def merge_lora(base_dir: Path, adapter_dir: Path, target_dir: Path) -> None:
    """Merge the peft LoRA in `adapter_dir` into the base; `target_dir` is a folder that `write_gguf` takes, in float32.

    Raises:
        ExportError: the base or the adapter cannot be read, or do not fit each other.
    """
    from peft import PeftModel

    base_dir, target_dir = Path(base_dir), Path(target_dir)
    part = target_dir.with_name(target_dir.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        try:
            adapted = PeftModel.from_pretrained(load_causal_lm(base_dir), str(adapter_dir))
            merged = adapted.merge_and_unload(safe_merge=True)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise ExportError(f"{adapter_dir}: cannot be merged into {base_dir}, {_first_line(error)}") from error
        merged.save_pretrained(part, safe_serialization=True)
        for name in TOKENIZER_FILES:
            if (base_dir / name).exists():
                shutil.copyfile(base_dir / name, part / name)
        shutil.rmtree(target_dir, ignore_errors=True)
        os.replace(part, target_dir)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def load_causal_lm(model_dir: Path) -> Any:
    """The causal language model in `model_dir`, by transformers: float32, on the CPU, for evaluation.

    Raises:
        ExportError: the folder holds no such model.
    """
    import torch
    from transformers import AutoModelForCausalLM

    try:
        model = AutoModelForCausalLM.from_pretrained(str(model_dir), dtype=torch.float32, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise ExportError(f"{model_dir}: cannot be loaded as a language model, {_first_line(error)}") from error
    return model.eval()


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _read_source(folder: Path) -> _Source:
    def read(name: str) -> dict[str, Any]:
        try:
            value = json.loads((folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ExportError(f"{folder / name}: cannot be read, {_first_line(error)}") from None
        if not isinstance(value, dict):
            raise ExportError(f"{folder / name}: expected a JSON object, found {type(value).__name__}")
        return value

    return _Source(folder, read("config.json"), read("tokenizer.json"), read("tokenizer_config.json"))


def _architecture(source: _Source) -> Any:
    names = source.config.get("architectures") or [None]
    if names[0] not in ARCHITECTURES:
        raise ExportError(f"{source.folder}: architecture {names[0]} is not one of {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[names[0]]


def _add_model(writer: Any, source: _Source, kind: str) -> None:
    config = source.config
    heads = config["num_attention_heads"]
    writer.add_name(source.folder.name)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(_rope_theta(source))
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(gguf.LlamaFileType.ALL_F32 if kind == "f32" else gguf.LlamaFileType.MOSTLY_F16)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    for key, wanted in (("hidden_act", "silu"), ("use_sliding_window", False)):
        if config.get(key, wanted) != wanted:
            raise ExportError(f"{source.folder}: {key} is {config[key]!r}, only {wanted!r} is supported")
    head = config["hidden_size"] // heads
    if config.get("head_dim") not in (None, head):
        raise ExportError(f"{source.folder}: head_dim is {config['head_dim']}, expected {head}")


def _rope_theta(source: _Source) -> float:
    """transformers 5 keeps it in `rope_parameters`, 4 beside the other keys."""
    rope = source.config.get("rope_parameters") or source.config.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != "default":
        raise ExportError(f"{source.folder}: rope of the type {kind!r} is not supported")
    return float(rope.get("rope_theta") or source.config.get("rope_theta") or 10_000.0)


def _add_tokenizer(writer: Any, source: _Source) -> None:
    vocabulary, tokens, types = _tokens(source)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_pre_tokenizer(source))
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    merges = source.tokenizer["model"]["merges"]
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    writer.add_add_bos_token(bool(source.tokenizer_config.get("add_bos_token")))
    for name in ("bos", "eos", "pad"):
        token = _special_id(source, name, vocabulary)
        if token is not None:
            writer.add_uint32(f"tokenizer.ggml.{name.replace('pad', 'padding')}_token_id", token)
    template = _chat_template(source)
    if template:
        writer.add_chat_template(template)


def _pre_tokenizer(source: _Source) -> str:
    """llama.cpp's name of the pre-tokenizer; only exactly the pipelines that llama.cpp has are let through."""
    tokenizer, where = source.tokenizer, source.folder / "tokenizer.json"
    model, normaliser = tokenizer["model"], (tokenizer.get("normalizer") or {"type": "NFC"})
    if model.get("type") != "BPE" or model.get("byte_fallback") or model.get("ignore_merges"):
        raise ExportError(f"{where}: only byte-level BPE is supported, found {model.get('type')}")
    if normaliser.get("type") != "NFC":
        raise ExportError(f"{where}: normalizer {normaliser.get('type')} is not supported, only NFC or none")
    steps = (tokenizer.get("pre_tokenizer") or {}).get("pretokenizers") or []
    kinds = [step.get("type") for step in steps]
    if kinds != ["Split", "ByteLevel"] or steps[1].get("add_prefix_space") or steps[1].get("use_regex", True):
        raise ExportError(f"{where}: pre-tokenizer {kinds} is not supported, expected Split, then plain ByteLevel")
    pattern = steps[0].get("pattern", {}).get("Regex")
    if pattern not in PRE_TOKENIZERS or steps[0].get("behavior") != "Isolated" or steps[0].get("invert"):
        raise ExportError(f"{where}: llama.cpp has no name for the pre-tokenizer pattern {pattern!r}")
    return PRE_TOKENIZERS[pattern]


def _tokens(source: _Source) -> tuple[dict[str, int], list[str], list[int]]:
    """(ids by token, token texts by id, token types by id), filled up with unused tokens to `vocab_size`."""
    added = {token["id"]: token for token in source.tokenizer.get("added_tokens", [])}
    vocabulary = {**source.tokenizer["model"]["vocab"], **{token["content"]: i for i, token in added.items()}}
    by_id = {i: token for token, i in vocabulary.items()}
    rows = source.config["vocab_size"]
    if max(by_id) >= rows or len(by_id) != len(vocabulary):
        raise ExportError(f"{source.folder}: {len(vocabulary)} tokens up to id {max(by_id)}, but vocab_size is {rows}")
    tokens, types = [], []
    for i in range(rows):
        tokens.append(by_id.get(i, f"[PAD{i}]"))
        if i not in by_id:
            types.append(gguf.TokenType.UNUSED)
        elif i not in added:
            types.append(gguf.TokenType.NORMAL)
        else:
            types.append(gguf.TokenType.CONTROL if added[i].get("special") else gguf.TokenType.USER_DEFINED)
    return vocabulary, tokens, types


def _special_id(source: _Source, name: str, vocabulary: dict[str, int]) -> int | None:
    token = source.tokenizer_config.get(f"{name}_token")
    token = token.get("content") if isinstance(token, dict) else token
    if token is not None:
        if token not in vocabulary:
            raise ExportError(f"{source.folder}: {name}_token {token!r} is not in the vocabulary")
        return vocabulary[token]
    number = source.config.get(f"{name}_token_id")
    return number[0] if isinstance(number, list) else number


def _chat_template(source: _Source) -> str | None:
    """transformers 5 writes it to a file of its own; a list of named templates has one named "default"."""
    file = source.folder / "chat_template.jinja"
    if file.exists():
        return file.read_text(encoding="utf-8")
    template = source.tokenizer_config.get("chat_template")
    if isinstance(template, list):
        template = next((entry["template"] for entry in template if entry.get("name") == "default"), None)
    return template


def _weight_files(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return [folder / "model.safetensors"]
    return sorted({folder / name for name in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()})


def _weights(source: _Source) -> Iterator[tuple[str, Any]]:
    """(name, open slice) of every tensor, file by file."""
    for path in _weight_files(source.folder):
        if not path.exists():
            raise ExportError(f"{path}: is missing")
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118  (not a dict)
                yield name, file.get_slice(name)


def _write_tensors(writer: Any, source: _Source, matrix_type: np.dtype[Any]) -> None:
    """Names, types and shapes first, then the data in the same order."""
    layers, tied = source.config["num_hidden_layers"], bool(source.config.get("tie_word_embeddings"))
    names = gguf.get_tensor_name_map(_architecture(source), layers)
    dtypes: dict[str, np.dtype[Any]] = {}
    written: set[str] = set()
    for name, weight in _weights(source):
        if name.endswith("rotary_emb.inv_freq") or (tied and name == "lm_head.weight"):
            continue
        renamed = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if renamed is None:
            raise ExportError(f"{source.folder}: tensor {name} has no place in a GGUF")
        shape = weight.get_shape()
        dtypes[name] = matrix_type if len(shape) > 1 else np.dtype(np.float32)
        writer.add_tensor_info(renamed, shape, dtypes[name], int(np.prod(shape)) * dtypes[name].itemsize)
        written.add(renamed)
    wanted = {"token_embd.weight", "output_norm.weight", *([] if tied else ["output.weight"])}
    wanted |= {f"blk.{layer}.{name}" for layer in range(layers) for name in LAYER_TENSORS}
    if written != wanted:
        raise ExportError(f"{source.folder}: tensors missing or too many: {', '.join(sorted(written ^ wanted)[:4])}")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name, weight in _weights(source):
        if name in dtypes:
            array: NDArray[Any] = weight[:].float().numpy().astype(dtypes[name], copy=False)
            writer.write_tensor_data(np.ascontiguousarray(array))
