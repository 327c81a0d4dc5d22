"""GGUF files of random weights, written without torch: of an architecture that bundles are trained on and others."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from .tiny_tokenizer import CHAT_TEMPLATE, SPECIAL, train_tokenizer

Values = Mapping[str, Any]
HEADS, KV_HEADS, HEAD, INNER, CONTEXT = 4, 2, 16, 128, 1_024
WIDTH = HEADS * HEAD


@functools.cache
def _vocabulary() -> tuple[list[str], list[str], list[int]]:
    """Tokens, merges and types of the tests' tokenizer."""
    body = json.loads(train_tokenizer().to_str())["model"]
    tokens = sorted(body["vocab"], key=body["vocab"].__getitem__)
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in body["merges"]]
    return tokens, merges, [3 if token in SPECIAL else 1 for token in tokens]


def write_model(
    path: Path,
    architecture: str,
    keys: Values,
    shapes: Mapping[str, tuple[int, ...]],
    added: Sequence[str] = (),
    **more: Any,
) -> Path:
    """A model of random weights; keys are below the architecture's name, shapes as numpy has them. `added` are tokens
    of the type USER_DEFINED, `more` keys of the whole file, None leaves one out."""
    tokens, merges, types = _vocabulary()
    tokens, types = [*tokens, *added], [*types, *(gguf.TokenType.USER_DEFINED for _ in added)]
    whole = {
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "qwen2", "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.merges": merges, "tokenizer.ggml.token_type": types, "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.chat_template": CHAT_TEMPLATE, **{f"{architecture}.{key}": value for key, value in keys.items()},
        **more,
    }  # fmt: skip
    writer, random = gguf.GGUFWriter(path, architecture), np.random.default_rng(0)
    for key, value in whole.items():
        add_key(writer, key, value)
    last = {} if "token_embd_norm.weight" in shapes else {"output_norm.weight": (WIDTH,)}
    for name, shape in {"token_embd.weight": (len(tokens), WIDTH), **last, **shapes}.items():
        scale, mean = (0.1, 1.0) if "norm" in name else (0.1, 0.0)
        writer.add_tensor(name, random.normal(mean, scale, shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def add_key(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    """A key of the type that its value says; None leaves it out."""
    if isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    elif value is not None:
        writer.add_array(key, value)


def _attention(layer: int) -> dict[str, tuple[int, ...]]:
    sizes = {"attn_q": HEADS, "attn_k": KV_HEADS, "attn_v": KV_HEADS}
    found = {f"blk.{layer}.{name}.weight": (heads * HEAD, WIDTH) for name, heads in sizes.items()}
    return {**found, f"blk.{layer}.attn_output.weight": (WIDTH, HEADS * HEAD)}


def _feed_forward(layer: int) -> dict[str, tuple[int, ...]]:
    return {
        f"blk.{layer}.ffn_gate.weight": (INNER, WIDTH),
        f"blk.{layer}.ffn_up.weight": (INNER, WIDTH),
        f"blk.{layer}.ffn_down.weight": (WIDTH, INNER),
    }


def _norms(layer: int, *names: str, size: int = WIDTH) -> dict[str, tuple[int, ...]]:
    return {f"blk.{layer}.{name}.weight": (size,) for name in names}


def _sizes(layers: int, **more: Any) -> dict[str, Any]:
    return {
        "context_length": CONTEXT, "embedding_length": WIDTH, "block_count": layers, "feed_forward_length": INNER,
        "attention.head_count": HEADS, "attention.head_count_kv": KV_HEADS,
        "attention.layer_norm_rms_epsilon": 1e-6, "rope.freq_base": 10_000.0, **more,
    }  # fmt: skip


def qwen2(path: Path, **more: Any) -> Path:
    """Attention throughout, as the models that bundles are trained on."""
    shapes: dict[str, tuple[int, ...]] = {}
    for n in range(2):
        shapes |= _norms(n, "attn_norm", "ffn_norm") | _attention(n) | _feed_forward(n)
        for name, heads in (("attn_q", HEADS), ("attn_k", KV_HEADS), ("attn_v", KV_HEADS)):
            shapes[f"blk.{n}.{name}.bias"] = (heads * HEAD,)
    return write_model(path, "qwen2", _sizes(2), shapes, **more)


def gemma3(path: Path) -> Path:
    """A sliding window of 32 in five of six layers."""
    shapes: dict[str, tuple[int, ...]] = {}
    for n in range(6):
        shapes |= _norms(n, "attn_norm", "ffn_norm", "post_attention_norm", "post_ffw_norm")
        shapes |= _norms(n, "attn_q_norm", "attn_k_norm", size=HEAD) | _attention(n) | _feed_forward(n)
    keys = {"attention.key_length": HEAD, "attention.value_length": HEAD, "attention.sliding_window": 32}
    return write_model(path, "gemma3", _sizes(6, **keys), shapes)


def mamba(path: Path) -> Path:
    """No attention: a state for all that was read."""
    inner, states, rank, kernel = 2 * WIDTH, 8, 4, 4
    shapes: dict[str, tuple[int, ...]] = {}
    for n in range(2):
        shapes |= _norms(n, "attn_norm") | {
            f"blk.{n}.ssm_in.weight": (2 * inner, WIDTH), f"blk.{n}.ssm_conv1d.weight": (inner, kernel),
            f"blk.{n}.ssm_conv1d.bias": (inner,), f"blk.{n}.ssm_x.weight": (rank + 2 * states, inner),
            f"blk.{n}.ssm_dt.weight": (inner, rank), f"blk.{n}.ssm_dt.bias": (inner,),
            f"blk.{n}.ssm_a": (inner, states), f"blk.{n}.ssm_d": (inner,), f"blk.{n}.ssm_out.weight": (WIDTH, inner),
        }  # fmt: skip
    keys = {
        "context_length": CONTEXT, "embedding_length": WIDTH, "block_count": 2, "feed_forward_length": 0,
        "attention.head_count": 0, "attention.layer_norm_rms_epsilon": 1e-6, "ssm.conv_kernel": kernel,
        "ssm.inner_size": inner, "ssm.state_size": states, "ssm.time_step_rank": rank,
    }  # fmt: skip
    return write_model(path, "mamba", keys, shapes)


def lfm2(path: Path) -> Path:
    """Short convolutions with a state, and attention in every other layer."""
    cache = 3
    shapes: dict[str, tuple[int, ...]] = {"token_embd_norm.weight": (WIDTH,)}
    for n in range(4):
        shapes |= _norms(n, "attn_norm", "ffn_norm") | _feed_forward(n)
        if n % 2:
            shapes |= _attention(n) | _norms(n, "attn_q_norm", "attn_k_norm", size=HEAD)
        else:
            shapes |= {
                f"blk.{n}.shortconv.conv.weight": (WIDTH, cache),
                f"blk.{n}.shortconv.in_proj.weight": (3 * WIDTH, WIDTH),
                f"blk.{n}.shortconv.out_proj.weight": (WIDTH, WIDTH),
            }
    heads = {"attention.head_count_kv": [0, KV_HEADS, 0, KV_HEADS], "shortconv.l_cache": cache}
    return write_model(path, "lfm2", _sizes(4, **heads), shapes)


def random_bundle(like: Path, model: Path, out: Path) -> Path:
    """A bundle with the population of another one, thin or whole, and a personalizer of random weights for a model."""
    from safetensors.numpy import save_file

    from copersona.runtime.assemble.folder import copy_file
    from copersona.runtime.assemble.thin import read_thin
    from copersona.runtime.assemble.training_free import ROLES
    from copersona.runtime.bundle.manifest import Shapes
    from copersona.runtime.bundle.verify import open_manifest, write_manifest
    from copersona.runtime.engine.engine import Engine
    from copersona.runtime.engine.turns import chatml, turns_json
    from copersona.runtime.persona.personalizer import tensor_shapes

    manifest, soft_tokens, random = open_manifest(like), 4, np.random.default_rng(0)
    thin, roles = read_thin(manifest) if manifest.thin else None, {"model.gguf": "model", "README.md": "card"}
    for row in manifest.files:
        if row.role in ROLES:
            copy_file(like, row, out, thin)
            roles[row.path] = row.role
    shutil.copyfile(model, out / "model.gguf")
    (out / "README.md").write_text("# A bundle of random weights, for tests\n")
    (out / "LICENSE.txt").write_text("These weights are random.\n")
    shapes = manifest.shapes
    sizes = tensor_shapes(shapes.facets, shapes.width, 32, 32, soft_tokens, WIDTH)
    tensors = {name: random.normal(0, 0.1, size).astype(np.float32) for name, size in sizes.items()}
    save_file(tensors, out / "personalizer.safetensors")
    with Engine(model) as engine:
        turns = turns_json(chatml(engine))
    settings = {k: v for k, v in manifest.settings.items() if k != "thin"} | {"turns": turns, "context_length": CONTEXT}
    found = Shapes(shapes.facets, shapes.peers, shapes.width, shapes.neighbors, soft_tokens, WIDTH)
    write_manifest(out, roles | {"personalizer.safetensors": "personalizer", "LICENSE.txt": "licence"}, found, settings)
    return out


ARCHITECTURES: dict[str, Callable[[Path], Path]] = {"qwen2": qwen2, "gemma3": gemma3, "mamba": mamba, "lfm2": lfm2}
