"""Checks a GGUF file in plain Python, before llama.cpp is allowed to see it.

llama.cpp ends the process over much of what a damaged or hostile file can hold (two equal tokens, no layers, a rope
type that it does not know). `check_gguf` reads the same header with bounded steps and answers with the facts of the
model or with one `ModelError`; it never raises anything else, whatever the bytes are. Weights are neither read nor
judged: only their names, types, shapes and places. What is not on a list here is refused.
"""

from __future__ import annotations

import math
import mmap
import os
import stat
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from copersona.runtime.common.errors import ModelError
from copersona.runtime.filecheck.gguf_reader import FLOAT, I32, MAX_ARRAY, STRING, U32, Reader, Value
from copersona.runtime.filecheck.gguf_tensors import ONE_ROW, TENSOR_TYPES, Shape, Sizes, allowed, required

ARCHITECTURES = ("qwen2", "qwen3", "llama")
# Kind of vocabulary -> its pre-tokenizers: BPE of bytes by merges (export/convert/pre_tokenizers.py), or by scores.
TOKENIZERS = {
    "gpt2": (
        "qwen2", "llama-bpe", "smollm", "gpt-2", "deepseek-r1-qwen", "stablelm2", "megrez", "llama3", "llama-v3",
        "falcon3", "pixtral", "midm-2.0", "lfm2", "starcoder", "refact", "command-r", "codeshell", "exaone",
        "minerva-7b", "phi-2",
    ),
    "llama": ("default",),
}  # fmt: skip

MAX_TEMPLATE, MAX_ELEMENTS = 256 << 10, 1 << 40  # bytes; of one tensor
BYTES = frozenset(b"<0x%02X>" % byte for byte in range(256))
USER_DEFINED, BYTE = 4, 6  # token types

# Keys below "<architecture>." with their one type and, for sizes, their largest value. Others (experts, rope scaling,
# sliding windows) change the graph or meet an assertion in llama.cpp, and no model of ours has them.
SIZES = {
    "block_count": 512, "context_length": 1 << 24, "embedding_length": 1 << 17, "feed_forward_length": 1 << 20,
    "attention.head_count": 1 << 12, "attention.head_count_kv": 1 << 12, "attention.key_length": 1 << 12,
    "attention.value_length": 1 << 12, "rope.dimension_count": 1 << 12, "vocab_size": MAX_ARRAY,
}  # fmt: skip
FLOATS = ("attention.layer_norm_rms_epsilon", "rope.freq_base")

FILE_TYPES: dict[object, str] = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M",
    13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 32: "BF16",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class GgufFacts:
    """What a checked GGUF says of its model; `width` is H, `quantisation` llama.cpp's name such as "Q4_K_M", `bos` and
    `eos` are token ids, `licence` is what it says of its terms (may be empty), `added` are ids and texts of tokens that
    were added to the vocabulary and are no control tokens."""

    architecture: str
    width: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int
    context: int
    quantisation: str
    chat_template: str | None
    bos: int | None = None
    eos: int | None = None
    licence: str = ""
    parameters: int = 0
    added: tuple[tuple[int, str], ...] = ()


class _Tensor(NamedTuple):
    name: str
    shape: Shape
    kind: int
    size: int  # bytes, without padding
    offset: int  # from the start of the data

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


def check_gguf(path: str | os.PathLike[str]) -> GgufFacts:
    """Read and check the header of the GGUF at `path`.

    Raises:
        ModelError: the file is missing, not a GGUF, damaged, or of a kind that is not on the lists of this module.
    """
    return checked(path, Check)


def checked(path: str | os.PathLike[str], check: type[Check]) -> GgufFacts:
    """The facts of the GGUF at `path` by one way of checking. Raises ModelError as that does."""
    path = Path(path)
    try:
        status = os.stat(path)  # before it is opened, which would wait for who writes to a pipe
        if not stat.S_ISREG(status.st_mode) or status.st_size < 24:
            raise ModelError(f"{path}: not a GGUF file, {status.st_size} bytes")
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return check(str(path), data).check()
    except (OSError, ValueError) as error:  # ValueError: a path with a null character, a file cut while it is mapped
        raise ModelError(f"{path}: cannot be read as a GGUF file, {error}") from None


class Check(Reader):
    """What a header must say, for the architectures that a trained bundle may have."""

    types = TENSOR_TYPES
    sizes: Sizes

    def check(self) -> GgufFacts:
        tensors = self.header()
        facts = self.facts()
        added = self.tokenizer(facts.vocabulary)
        rows = [self.tensor(index) for index in range(tensors)]
        self.places(rows)
        self.table(facts.architecture, rows)
        return replace(facts, parameters=sum(row.elements for row in rows), added=added)

    def facts(self) -> GgufFacts:
        architecture = self.one_of("general.architecture", ARCHITECTURES)
        for key in self.keys:
            prefix, _, rest = key.partition(".")
            if prefix == architecture and rest not in SIZES and rest not in FLOATS:
                self.fail(f"{key} is not a key that is supported for {architecture}")
        for name in FLOATS:
            number = self.scalar(f"{architecture}.{name}", FLOAT)
            if not (isinstance(number, float) and math.isfinite(number) and number > 0):
                self.fail(f"{architecture}.{name} is {number}, expected a number above 0")
        if self.keys.get("split.count", Value(2, 1))[1] not in (0, 1):
            self.fail("is one part of a model in several files, which is not supported")
        return self.shape(architecture)

    def shape(self, architecture: str) -> GgufFacts:
        def size(name: str, default: int | None = None) -> int:
            return self.size_of(f"{architecture}.{name}", SIZES[name], default)

        width, heads = size("embedding_length"), size("attention.head_count")
        kv_heads = size("attention.head_count_kv", heads)
        free = architecture != "qwen2" and f"{architecture}.attention.key_length" in self.keys
        head = size("attention.key_length") if free else width // heads
        if (width % heads and not free) or heads % kv_heads or not head or head % 2:
            self.fail(f"width {width}, {heads} heads and {kv_heads} key-value heads do not divide")
        for name in ("attention.key_length", "attention.value_length", "rope.dimension_count"):
            if size(name, head) != head:
                self.fail(f"{architecture}.{name} is {size(name)}, expected {head}")
        vocabulary = self.array_of("tokenizer.ggml.tokens", STRING).length
        if not vocabulary or size("vocab_size", vocabulary) != vocabulary:
            self.fail(f"{architecture}.vocab_size is {size('vocab_size', 1)}, but there are {vocabulary} tokens")
        layers, inner = size("block_count"), size("feed_forward_length")
        self.sizes = Sizes(layers, width, heads * head, kv_heads * head, head, inner, vocabulary)
        return self.described(architecture, (width, layers, heads, kv_heads), vocabulary, size("context_length"))

    def described(
        self, architecture: str, sizes: tuple[int, int, int, int], vocabulary: int, context: int
    ) -> GgufFacts:
        """The facts of a model of these sizes: width, layers, heads and key-value heads."""
        template = self.scalar("tokenizer.chat_template", STRING)
        if template is not None and len(str(template).encode()) > MAX_TEMPLATE:
            self.fail(f"tokenizer.chat_template has more than {MAX_TEMPLATE} bytes")
        bos, eos = (self.scalar(f"tokenizer.ggml.{name}_token_id", U32) for name in ("bos", "eos"))
        return GgufFacts(
            architecture, *sizes, vocabulary, context,
            FILE_TYPES.get(self.scalar("general.file_type", U32), "unknown"),
            None if template is None else str(template), bos if isinstance(bos, int) else None,
            eos if isinstance(eos, int) else None, self.licence(),
        )  # fmt: skip

    def licence(self) -> str:
        said = self.scalar("general.license", STRING)
        return "" if said is None else str(said)[:200]

    def kind(self) -> str:
        """The kind of vocabulary."""
        model = self.one_of("tokenizer.ggml.model", tuple(TOKENIZERS))
        self.one_of("tokenizer.ggml.pre", TOKENIZERS[model])
        return model

    def tokenizer(self, vocabulary: int) -> tuple[tuple[int, str], ...]:
        """Ids and texts of the tokens that were added to the vocabulary."""
        model = self.kind()
        types = self.array_of("tokenizer.ggml.token_type", I32)
        if types.length != vocabulary:
            self.fail(f"{vocabulary} tokens, but {types.length} token types")
        kinds = struct.unpack_from(f"<{vocabulary}i", self.data, types.start)
        if not 1 <= min(kinds) <= max(kinds) <= 6:
            self.fail(f"token types from {min(kinds)} to {max(kinds)}, expected 1 to 6")
        tokens, found = self.tokens(kinds), kinds.count(BYTE)
        if model == "gpt2":
            self.array_of("tokenizer.ggml.merges", STRING)
        elif found != len(BYTES):  # llama.cpp ends the process over a byte without a token
            self.fail(f"has tokens for {found} bytes, tokenizer.ggml.model is 'llama' and needs all {len(BYTES)}")
        if model == "llama" or "tokenizer.ggml.scores" in self.keys:
            self.scores(vocabulary)
        for key in self.keys:
            if key.startswith("tokenizer.ggml.") and key.endswith("_token_id"):
                token = self.scalar(key, U32)
                if not isinstance(token, int) or token >= vocabulary:
                    self.fail(f"{key} is {token}, but there are {vocabulary} tokens")
        return tuple((i, tokens[i].decode()) for i, kind in enumerate(kinds) if kind == USER_DEFINED)

    def scores(self, vocabulary: int) -> None:
        scores = self.array_of("tokenizer.ggml.scores", FLOAT)
        if scores.length != vocabulary:
            self.fail(f"tokenizer.ggml.scores has not one score for each of the {vocabulary} tokens")
        if not math.isfinite(sum(struct.unpack_from(f"<{vocabulary}f", self.data, scores.start))):
            self.fail("tokenizer.ggml.scores are not all finite")

    def tokens(self, kinds: tuple[int, ...]) -> list[bytes]:
        """Every token is UTF-8, not empty and there once, also to llama.cpp, which reads it up to a zero byte.

        It ends the process over a token that is there twice.
        """
        key = "tokenizer.ggml.tokens"
        tokens = self.strings(key, self.array_of(key, STRING))
        if not (all(tokens) and len(set(tokens)) == len(tokens) and _are_text(tokens)):
            self.fail(_what_is_wrong(tokens))
        for index, (kind, token) in enumerate(zip(kinds, tokens, strict=True)):
            if kind == BYTE and token not in BYTES:
                self.fail(f"token {index} {token!r} is marked as a byte, but is not written as one")
        return tokens

    def tensor(self, index: int) -> _Tensor:
        name = self.string(f"name of tensor {index}", 63)
        count = self.number("I")
        if not name or not 1 <= count <= 4:
            self.fail(f"tensor {index} {name!r} has {count} dimensions, expected a name and 1 to 4")
        shape = [self.number("Q") for _ in range(count)]
        elements = math.prod(shape)
        if not 1 <= elements <= MAX_ELEMENTS:
            self.fail(f"tensor {name!r} of shape {shape} has {elements} elements, expected 1 to {MAX_ELEMENTS}")
        kind, offset = self.number("I"), self.number("Q")
        if kind not in self.types:
            self.fail(f"tensor {name!r} has the type {kind}, which is not supported")
        _, block, size = self.types[kind]
        if shape[0] % block:
            self.fail(f"tensor {name!r} has rows of {shape[0]}, which blocks of {block} do not fill")
        if count == 1 and kind not in ONE_ROW:
            self.fail(f"tensor {name!r} has one row of the type {self.types[kind][0]}, expected F32")
        return _Tensor(name, tuple(shape), kind, elements // block * size, offset)

    def table(self, architecture: str, tensors: list[_Tensor]) -> None:
        """Exactly the tensors of this architecture, in the shapes that its sizes give."""
        wanted, found = required(architecture, self.sizes), {tensor.name: tensor.shape for tensor in tensors}
        known = allowed(architecture, self.sizes) | wanted
        for name, shape in found.items():
            if name not in known:
                self.fail(f"tensor {name!r} is none of a {architecture} model")
            if shape != known[name]:
                self.fail(f"tensor {name!r} is {list(shape)}, expected {list(known[name])}")
        if missing := sorted(wanted.keys() - found.keys()):
            self.fail(f"{len(missing)} tensors are missing: {', '.join(missing[:3])}")

    def places(self, tensors: list[_Tensor]) -> None:
        """Tensors have names of their own and lie one behind the other, aligned, up to the end of the file."""
        alignment = self.size_of("general.alignment", 4_096, 32)
        if alignment < 8 or alignment & (alignment - 1):
            self.fail(f"general.alignment is {alignment}, expected a power of two from 8 to 4096")
        if len({tensor.name for tensor in tensors}) != len(tensors):
            self.fail(f"two of the {len(tensors)} tensors have the same name")
        at = 0
        for tensor in tensors:
            if tensor.offset != at:
                self.fail(f"tensor {tensor.name!r} begins at {tensor.offset}, expected {at}")
            at += -(-tensor.size // alignment) * alignment
        end = -(-self.at // alignment) * alignment + at
        if end != self.size:
            self.fail(f"the last tensor ends at byte {end}, but the file has {self.size} bytes: cut, or added to")


def _are_text(tokens: list[bytes]) -> bool:
    """Whether each is UTF-8 without a zero byte; all in one go, parted by zero bytes."""
    try:
        return b"\0".join(tokens).decode("utf-8").count("\0") == len(tokens) - 1
    except UnicodeDecodeError:
        return False


def _what_is_wrong(tokens: list[bytes]) -> str:
    """The first token that is not as it must be."""
    seen: set[bytes] = set()
    for index, token in enumerate(tokens):
        if not token or token in seen or b"\0" in token:
            return f"token {index} {token!r} is empty, there twice or has a zero byte"
        if not _are_text([token]):
            return f"token {index} {token!r} is not UTF-8"
        seen.add(token)
    return "the tokens are not text"
