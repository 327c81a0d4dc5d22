"""The tensors of a base: what they are called in its folder and in a GGUF, and what shape its config makes them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf

from copersona.export.convert.gguf_tokenizer import read_json
from copersona.export.convert.rope import check_rope
from copersona.export.convert.weight_files import FLOATS, check_weight_files
from copersona.runtime.common.errors import ExportError

ARCHITECTURES = {
    "Qwen2ForCausalLM": gguf.MODEL_ARCH.QWEN2,
    "Qwen3ForCausalLM": gguf.MODEL_ARCH.QWEN3,
    "LlamaForCausalLM": gguf.MODEL_ARCH.LLAMA,
}

LAYER_TENSORS = (
    "attn_q.weight", "attn_k.weight", "attn_v.weight", "attn_output.weight", "attn_norm.weight", "ffn_norm.weight",
    "ffn_gate.weight", "ffn_up.weight", "ffn_down.weight",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Source:
    """A model folder and its `config.json`, as it is but checked by `supported`."""

    folder: Path
    config: dict[str, Any]

    @property
    def architecture(self) -> Any:
        return ARCHITECTURES[self.config["architectures"][0]]

    @property
    def heads(self) -> tuple[int, int]:
        """How many of queries, and of keys and values."""
        queries = self.config["num_attention_heads"]
        return queries, self.config.get("num_key_value_heads") or queries

    @property
    def layer_tensors(self) -> tuple[str, ...]:
        """Names of the tensors of each layer."""
        if self.architecture == gguf.MODEL_ARCH.QWEN2:
            return (*LAYER_TENSORS, "attn_q.bias", "attn_k.bias", "attn_v.bias")
        if self.architecture == gguf.MODEL_ARCH.QWEN3:
            return (*LAYER_TENSORS, "attn_q_norm.weight", "attn_k_norm.weight")
        parts = ("q", "k", "v", "output") if self.config.get("attention_bias") else ()
        return (*LAYER_TENSORS, *(f"attn_{part}.bias" for part in parts))

    def shape(self, name: str) -> list[int] | None:
        """What a tensor's shape is by the config, by its name in a GGUF; None for biases, which need none."""
        config, (heads, kv_heads) = self.config, self.heads
        width, inner = config["hidden_size"], config["intermediate_size"]
        head = self.head
        shapes = {
            "token_embd": [config["vocab_size"], width],
            "output": [config["vocab_size"], width],
            "output_norm": [width],
            "attn_norm": [width],
            "ffn_norm": [width],
            "attn_q": [heads * head, width],
            "attn_k": [kv_heads * head, width],
            "attn_v": [kv_heads * head, width],
            "attn_output": [width, heads * head],
            "ffn_gate": [inner, width],
            "ffn_up": [inner, width],
            "ffn_down": [width, inner],
        }
        kind = name.removesuffix(".weight").rpartition(".")[2]
        return shapes.get(kind) if name.endswith(".weight") else None

    @property
    def head(self) -> int:
        """The width of a head."""
        default = 128 if self.architecture == gguf.MODEL_ARCH.QWEN3 else self.config["hidden_size"] // self.heads[0]
        return int(self.config.get("head_dim") or default)


def check_weights(folder: Path) -> None:
    """Whether the weights in `folder` are there, whole, and those of its `config.json`, judged by their headers; and
    whether training turns them as the device will.

    Raises:
        ExportError: they are not; names the file or the tensor.
    """
    source = Source(folder, read_json(folder / "config.json"))
    check_rope(source.config, folder)
    found = check_weight_files(folder)
    if found is None:
        return
    for name, renamed in renamed_tensors(source, found).items():
        (kind, shape), wanted = found[name], source.shape(renamed)
        if kind not in FLOATS:
            raise ExportError(f"{folder}: tensor {name} is of the type {kind}; use weights that were not quantised")
        if wanted is not None and list(shape) != wanted:
            raise ExportError(f"{folder}: tensor {name} is {list(shape)}, config.json makes it {wanted}")


def renamed_tensors(source: Source, names: Iterable[str]) -> dict[str, str]:
    """The tensors that a GGUF holds, by their names in the folder, and what they are called there.

    Raises:
        ExportError: one is missing, or has no place.
    """
    layers, tied = source.config["num_hidden_layers"], bool(source.config.get("tie_word_embeddings"))
    known = gguf.get_tensor_name_map(source.architecture, layers)
    renamed: dict[str, str] = {}
    for name in names:
        if name.endswith("rotary_emb.inv_freq") or (tied and name == "lm_head.weight"):
            continue
        found = known.get_name(name, try_suffixes=(".weight", ".bias"))
        if found is None:
            raise ExportError(f"{source.folder}: tensor {name} has no place in a GGUF")
        renamed[name] = found
    wanted = {"token_embd.weight", "output_norm.weight", *([] if tied else ["output.weight"])}
    wanted |= {f"blk.{layer}.{name}" for layer in range(layers) for name in source.layer_tensors}
    if differ := wanted ^ set(renamed.values()):
        raise ExportError(f"{source.folder}: tensors missing or too many: {', '.join(sorted(differ)[:4])}")
    return renamed
