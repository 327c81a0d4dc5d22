"""The language model of a bundle as a Hugging Face folder again, to train on from it where its base is not at hand.

The inverse of `gguf` and `gguf_tokenizer`. The weights are what the device has: with LoRA merged, and as exact as the
bundle's quantisation. What is written is exported again and compared, so that nothing differs unnoticed.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf.quants import dequantize
from numpy.typing import NDArray

from copersona.export.common.files import replacing_folder, scratch, write_text
from copersona.export.convert.base_tensors import ARCHITECTURES
from copersona.export.convert.gguf import check_base, write_gguf
from copersona.export.convert.pre_tokenizers import named
from copersona.runtime.assemble.assemble import whole_bundle
from copersona.runtime.bundle.verify import verify
from copersona.runtime.common.errors import ExportError
from copersona.runtime.common.files import sync_folder, write_whole
from copersona.runtime.common.progress import track
from copersona.runtime.common.tensors import TensorRow, safetensors_chunks
from copersona.runtime.filecheck.gguf_check import check_gguf

INSTEAD = "train from the Hugging Face folder of the model instead"
CLASSES = {gguf.MODEL_ARCH_NAMES[architecture]: name for name, architecture in ARCHITECTURES.items()}
SIZES = {
    "hidden_size": "embedding_length", "intermediate_size": "feed_forward_length", "num_hidden_layers": "block_count",
    "num_attention_heads": "attention.head_count", "num_key_value_heads": "attention.head_count_kv",
    "max_position_embeddings": "context_length", "rms_norm_eps": "attention.layer_norm_rms_epsilon",
    "rope_theta": "rope.freq_base",
}  # fmt: skip
SPECIAL = {"bos": "bos", "eos": "eos", "pad": "padding"}
UNUSED = (
    "tokenizer.ggml.unknown_token_id", "tokenizer.ggml.seperator_token_id", "tokenizer.ggml.cls_token_id",
    "tokenizer.ggml.mask_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id",
)  # fmt: skip
UNUSED_BYTEWISE = ("tokenizer.ggml.scores", "tokenizer.ggml.add_space_prefix")
WHOLE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
LAYER = {
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}  # fmt: skip


def unpack_model(bundle: Path, out: Path) -> Path:
    """Write the model and tokenizer of `bundle` to the folder `out`, which must not be there; float32.

    Raises:
        BundleError: the bundle is damaged.
        ExportError: `out` is there or in the bundle, or the model's tokenizer is not byte-level BPE.
    """
    if os.path.lexists(out):
        raise ExportError(f"{out}: is there already; give a folder that is not")
    if bundle.resolve() in out.resolve().parents:
        raise ExportError(f"{out}: is in the bundle, which holds what its manifest lists and no more; give another")
    bundle = whole_bundle(bundle)
    manifest = verify(bundle, full=True)
    model = manifest.path(bundle, "model").resolve()
    facts = check_gguf(model)
    with scratch(out.with_name(f".{out.name}.unpacking")) as beside:
        with replacing_folder(beside / "model") as part:
            for row in manifest.files:
                if row.role == "licence":
                    (part / row.path).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(bundle / row.path, part / row.path)
            dequantise(model, part)  # after them, so that none stands in the place of what is checked
            base = manifest.settings.get("base", "a base that it does not name")
            write_text(part / "README.md", _card(manifest.bundle_id, str(base), facts.quantisation))
        (beside / "model").rename(out)
        sync_folder(out.parent)
    return out


def dequantise(model: Path, folder: Path) -> None:
    """Write the GGUF `model` to `folder` as model and tokenizer that a run can train on, float32.

    Raises:
        ExportError: its tokenizer is by pieces, whose merges a GGUF does not hold; or the folder is not the same model.
    """
    reader = gguf.GGUFReader(model)
    said = _said(reader)
    if said["tokenizer.ggml.model"] != "gpt2":
        raise ExportError(f"{model}: has a tokenizer by pieces, whose merges are not in a GGUF; {INSTEAD}")
    try:
        config = _config(said, {tensor.name for tensor in reader.tensors})
        write_text(folder / "config.json", json.dumps(config, indent=1))
        _save_tokenizer(said, folder)
        _save_weights(reader, config, folder)
    except KeyError as error:
        raise ExportError(f"{model}: has no {error}, as every model of ours; {INSTEAD}") from error
    with scratch(folder / "again") as again:
        check_base(folder)
        write_gguf(folder, again / "model.gguf", "f32")
        differs = differences(model, again / "model.gguf")
    if differs:
        raise ExportError(f"{model}: would not be the same model as a folder ({', '.join(differs[:4])}); {INSTEAD}")


def _said(reader: Any) -> dict[str, Any]:
    """What a GGUF says of model and tokenizer, but for its name and precision; what it leaves to llama.cpp's defaults
    filled in, and what has no effect left out, so that files by different writers compare."""
    said = {key: field.contents() for key, field in reader.fields.items() if not key.startswith(("general.", "GGUF."))}
    kind = str(reader.fields["general.architecture"].contents())
    bytewise = said["tokenizer.ggml.model"] == "gpt2"
    for key in (*UNUSED, *(UNUSED_BYTEWISE if bytewise else ())):
        said.pop(key, None)
    pre = named(said["tokenizer.ggml.pre"]) if bytewise else None
    if pre is not None:
        said["tokenizer.ggml.pre"] = pre.name
    said.setdefault("tokenizer.ggml.add_bos_token", pre.adds_bos if pre is not None else not bytewise)
    said.setdefault(f"{kind}.attention.head_count_kv", said[f"{kind}.attention.head_count"])
    said.setdefault(f"{kind}.vocab_size", len(said["tokenizer.ggml.tokens"]))
    head = said[f"{kind}.embedding_length"] // said[f"{kind}.attention.head_count"]
    for name in ("attention.key_length", "attention.value_length", "rope.dimension_count"):
        said.setdefault(f"{kind}.{name}", head)
    return said


def _config(said: dict[str, Any], tensors: set[str]) -> dict[str, Any]:
    """The `config.json` of a model with these keys and tensors."""
    kind = next(key.partition(".")[0] for key in said if key.endswith(".block_count"))
    config = {name: said[f"{kind}.{key}"] for name, key in SIZES.items()}
    config |= {
        "architectures": [CLASSES[kind]],
        "model_type": kind,
        "vocab_size": len(said["tokenizer.ggml.tokens"]),
        "tie_word_embeddings": "output.weight" not in tensors,
        "torch_dtype": "float32",
    }
    if kind != "qwen2":
        config |= {"head_dim": said[f"{kind}.attention.key_length"], "attention_bias": "blk.0.attn_q.bias" in tensors}
    return config | {f"{name}_token_id": said.get(f"tokenizer.ggml.{key}_token_id") for name, key in SPECIAL.items()}


def _save_tokenizer(said: dict[str, Any], folder: Path) -> None:
    """Byte-level BPE; control tokens and those that a user defined are found in text as before: never, and always."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers
    from transformers import PreTrainedTokenizerFast

    tokens, types = said["tokenizer.ggml.tokens"], said["tokenizer.ggml.token_type"]
    pre = named(said["tokenizer.ggml.pre"])
    if pre is None:
        raise KeyError("tokenizer.ggml.pre")
    vocabulary = {token: i for i, token in enumerate(tokens) if types[i] != gguf.TokenType.UNUSED}
    merges = [tuple(merge.split(" ")) for merge in said["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, ignore_merges=pre.whole))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre.build()
    tokenizer.decoder = decoders.ByteLevel()
    for kind, special in ((gguf.TokenType.CONTROL, True), (gguf.TokenType.USER_DEFINED, False)):
        added = [
            AddedToken(tokens[i], normalized=False, special=special) for i in range(len(tokens)) if types[i] == kind
        ]
        tokenizer.add_tokens(added)
    ids = {f"{name}_token": said.get(f"tokenizer.ggml.{key}_token_id") for name, key in SPECIAL.items()}
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        add_bos_token=said.get("tokenizer.ggml.add_bos_token", False),
        chat_template=said.get("tokenizer.chat_template"),
        **{name: tokens[i] for name, i in ids.items() if i is not None},
    ).save_pretrained(folder)


def _save_weights(reader: Any, config: dict[str, Any], folder: Path) -> None:
    """All tensors in float32 under the names of Hugging Face, one in memory at a time."""

    def row(tensor: Any) -> TensorRow:
        shape = tuple(int(n) for n in tensor.shape[::-1])  # a GGUF names the rows' length first
        return TensorRow(_name(tensor.name), "F32", shape, lambda: _as_halves(tensor, config))

    chunks = safetensors_chunks([row(tensor) for tensor in reader.tensors], {"format": "pt"})
    what, count = f"dequantising {len(reader.tensors)} tensors", len(reader.tensors) + 1
    write_whole(folder / "model.safetensors", track(chunks, what, total=count))


def _name(tensor: str) -> str:
    """The name in a folder of a tensor in a GGUF."""
    part, _, kind = tensor.rpartition(".")
    if part in WHOLE:
        return f"{WHOLE[part]}.{kind}"
    pieces = part.split(".")
    if len(pieces) != 3 or pieces[2] not in LAYER:
        raise ExportError(f"tensor {tensor} has no place in a dense {', '.join(CLASSES)}; {INSTEAD}")
    _, layer, part = pieces
    return f"model.layers.{layer}.{LAYER[part]}.{kind}"


def _as_halves(tensor: Any, config: dict[str, Any]) -> NDArray[np.float32]:
    """A tensor dequantised; a Llama's rows of queries and keys in the order in which transformers turns them (see
    `gguf.as_rotated`)."""
    array = np.ascontiguousarray(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
    part = tensor.name.split(".")[-2]
    if config["model_type"] != "llama" or part not in ("attn_q", "attn_k"):
        return array
    heads = config["num_attention_heads" if part == "attn_q" else "num_key_value_heads"]
    return np.ascontiguousarray(array.reshape(heads, -1, 2, *array.shape[1:]).swapaxes(1, 2).reshape(array.shape))


def differences(before: Path, after: Path) -> list[str]:
    """What two GGUF files say or hold differently of model and tokenizer, by key and tensor; precision apart."""
    readers = gguf.GGUFReader(before), gguf.GGUFReader(after)
    said = [_said(reader) for reader in readers]
    found = sorted(key for key in said[0].keys() | said[1].keys() if said[0].get(key) != said[1].get(key))
    tensors = [{tensor.name: tensor for tensor in reader.tensors} for reader in readers]
    found += sorted(tensors[0].keys() ^ tensors[1].keys())
    for name in sorted(tensors[0].keys() & tensors[1].keys()):
        numbers = (dequantize(rows[name].data, rows[name].tensor_type) for rows in tensors)
        found += [] if np.array_equal(*numbers) else [name]
    return found


def _card(bundle_id: str, base: str, quantisation: str) -> str:
    return f"""# The language model of the bundle {bundle_id[:12]}

Unpacked to train on from it: {base} with the LoRA of that bundle merged, as exact as {quantisation}.
The terms are the bundle's.
"""
