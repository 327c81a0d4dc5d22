"""A language model of a real one's shape with random weights, written straight as a q8_0 GGUF, block by block.

    python benchmarks/shapes.py model.gguf [--seed 0]

The same seed gives the same bytes. No weights are downloaded, nothing is quantised, and no tensor is held in memory: a
block of q8_0 is a half-precision scale and 32 random bytes. The tokenizer knows bytes, ChatML's control tokens and
names for the rest. Logits are spread as a trained model's are, so that sampling has as little to sort.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK, BLOCK_BYTES = 32, 34
PART = 1 << 16  # blocks drawn at once
UNIFORM = 127.5 / 3**0.5  # standard deviation of a random signed byte
CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a Qwen2 with tied embeddings; the default is Qwen2.5-0.5B's."""

    layers: int = 24
    width: int = 896
    heads: int = 14
    kv_heads: int = 2
    inner: int = 4_864
    vocabulary: int = 151_936
    context: int = 32_768
    weight: float = 0.02  # standard deviation
    last_norm: float = 12.0  # logits have about 7: a handful of tokens hold most of what top-p keeps

    def tensors(self) -> Iterator[tuple[str, tuple[int, ...], float | None]]:
        """Name, shape, and for a vector (float32) its middle; None is a matrix (q8_0)."""
        keys = self.width // self.heads * self.kv_heads
        yield "token_embd.weight", (self.vocabulary, self.width), None
        yield "output_norm.weight", (self.width,), self.last_norm
        for layer in range(self.layers):
            for name, rows, columns in (
                ("attn_q", self.width, self.width),
                ("attn_k", keys, self.width),
                ("attn_v", keys, self.width),
                ("attn_output", self.width, self.width),
                ("ffn_gate", self.inner, self.width),
                ("ffn_up", self.inner, self.width),
                ("ffn_down", self.width, self.inner),
            ):
                yield f"blk.{layer}.{name}.weight", (rows, columns), None
                if name in ("attn_q", "attn_k", "attn_v"):
                    yield f"blk.{layer}.{name}.bias", (rows,), 0.0
            yield f"blk.{layer}.attn_norm.weight", (self.width,), 1.0
            yield f"blk.{layer}.ffn_norm.weight", (self.width,), 1.0


def write_model(path: Path, shape: Shape | None = None, seed: int = 0) -> None:
    """Write the model; a file that is there is left, as the same seed gives the same."""
    import gguf

    shape = shape or Shape()
    if path.exists():
        return
    part = path.with_name(f"{path.name}.part")
    writer = gguf.GGUFWriter(part, "qwen2")
    _describe(writer, gguf, shape)
    _add_tokens(writer, gguf, shape.vocabulary)
    for name, size, middle in shape.tensors():
        if middle is None:
            stored = (size[0], size[1] // BLOCK * BLOCK_BYTES)
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor_info(name, stored, np.dtype(np.uint8), int(np.prod(stored)), raw_dtype=kind)
        else:
            writer.add_tensor_info(name, size, np.dtype(np.float32), 4 * size[0])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    rng = np.random.default_rng(seed)
    for _, size, middle in shape.tensors():
        if middle is None:
            writer.write_tensor_data(_Matrix(rng, size, shape.weight))
        else:
            writer.write_tensor_data(rng.normal(middle, 0.01, size).astype(np.float32))
    writer.close()
    os.replace(part, path)


class _Matrix:
    """A random q8_0 matrix as gguf's writer wants an array: with its bytes' number, and written to a file."""

    def __init__(self, rng: np.random.Generator, shape: tuple[int, ...], spread: float) -> None:
        self._rng, self._scale, self._blocks = rng, np.float16(spread / UNIFORM), shape[0] * shape[1] // BLOCK
        self.nbytes, self.dtype = self._blocks * BLOCK_BYTES, np.dtype(np.uint8)

    def tofile(self, file: Any) -> None:
        for at in range(0, self._blocks, PART):
            file.write(self._part(min(PART, self._blocks - at)).tobytes())

    def _part(self, blocks: int) -> NDArray[np.uint8]:
        """(blocks, 34) uint8: the scale, then 32 bytes."""
        drawn = np.empty((blocks, BLOCK_BYTES), np.uint8)
        drawn[:, :2] = np.frombuffer(self._scale.tobytes(), np.uint8)
        drawn[:, 2:] = np.frombuffer(self._rng.bytes(blocks * BLOCK), np.uint8).reshape(blocks, BLOCK)
        return drawn


def _describe(writer: Any, gguf: Any, shape: Shape) -> None:
    writer.add_name("random weights")
    writer.add_block_count(shape.layers)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_feed_forward_length(shape.inner)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(1_000_000.0)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _add_tokens(writer: Any, gguf: Any, vocabulary: int) -> None:
    """Control tokens, a token for each byte, and names for the rest."""
    from tokenizers.pre_tokenizers import ByteLevel

    signs = sorted(ByteLevel.alphabet())
    tokens = [*CONTROL, *signs, "Ġt"]
    tokens += [f"Ġw{number}" for number in range(vocabulary - len(tokens))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    kinds = [gguf.TokenType.CONTROL] * len(CONTROL)
    writer.add_token_types(kinds + [gguf.TokenType.NORMAL] * (vocabulary - len(CONTROL)))
    writer.add_token_merges(["Ġ t"])
    writer.add_eos_token_id(CONTROL.index("<|im_end|>"))
    writer.add_pad_token_id(CONTROL.index("<|endoftext|>"))
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    write_model(asked.path, seed=asked.seed)
    print(f"{asked.path}: {asked.path.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    sys.exit(main())
