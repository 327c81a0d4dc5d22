"""Which tensors a model of each architecture has, by name and shape, as our exporter and the publishers' converters
write them.

llama.cpp ends the process over much of what is not so: a norm or bias that is not float32, a scale or a bias where it
knows none.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

# ggml type -> (name, elements of a block, bytes of a block)
TENSOR_TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 30: ("BF16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210),
}  # fmt: skip
ONE_ROW = (0, 26)  # types of norms, biases and the like: llama.cpp ends the process over others

Shape = tuple[int, ...]
"""As a GGUF has it: the length of a row first."""


class Sizes(NamedTuple):
    """What the shapes follow from. `queries` and `keys` are heads times the width of a head."""

    layers: int
    width: int
    queries: int
    keys: int
    head: int
    inner: int
    vocabulary: int


def required(architecture: str, sizes: Sizes) -> dict[str, Shape]:
    """Shapes of the tensors that must be there, by name."""
    found: dict[str, Shape] = {
        "token_embd.weight": (sizes.width, sizes.vocabulary),
        "output_norm.weight": (sizes.width,),
    }
    for layer in range(sizes.layers):
        found.update((f"blk.{layer}.{name}", shape) for name, shape in _layer(architecture, sizes))
    return found


def allowed(architecture: str, sizes: Sizes) -> dict[str, Shape]:
    """Shapes of the tensors that may be there beside them."""
    found: dict[str, Shape] = {"output.weight": (sizes.width, sizes.vocabulary)}
    if architecture == "llama":
        for layer in range(sizes.layers):
            found.update((f"blk.{layer}.{name}", shape) for name, shape in _biases(sizes))
            found[f"blk.{layer}.attn_output.bias"] = (sizes.width,)
    return found


def _layer(architecture: str, sizes: Sizes) -> Iterator[tuple[str, Shape]]:
    width, inner = sizes.width, sizes.inner
    yield "attn_norm.weight", (width,)
    yield "attn_q.weight", (width, sizes.queries)
    yield "attn_k.weight", (width, sizes.keys)
    yield "attn_v.weight", (width, sizes.keys)
    yield "attn_output.weight", (sizes.queries, width)
    yield "ffn_norm.weight", (width,)
    yield "ffn_gate.weight", (width, inner)
    yield "ffn_up.weight", (width, inner)
    yield "ffn_down.weight", (inner, width)
    if architecture == "qwen2":
        yield from _biases(sizes)
    if architecture == "qwen3":
        yield "attn_q_norm.weight", (sizes.head,)
        yield "attn_k_norm.weight", (sizes.head,)


def _biases(sizes: Sizes) -> Iterator[tuple[str, Shape]]:
    yield "attn_q.bias", (sizes.queries,)
    yield "attn_k.bias", (sizes.keys,)
    yield "attn_v.bias", (sizes.keys,)
