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
import re
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, NoReturn

from .errors import ModelError

ARCHITECTURES = ("qwen2",)
PRE_TOKENIZERS = ("qwen2",)

MAX_KEYS = 4_096
MAX_TENSORS = 16_384
MAX_METADATA = 256 << 20  # bytes
MAX_STRING = 1 << 20
MAX_TEMPLATE = 256 << 10
MAX_ARRAY = 1 << 22
MAX_ELEMENTS = 1 << 40  # of one tensor

U32, I32, FLOAT, STRING, ARRAY = 4, 5, 6, 8, 9  # numbers that GGUF gives to the types of values
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}

# Keys below "<architecture>." with their one type and, for sizes, their largest value. Others (experts, rope scaling,
# sliding windows) change the graph or meet an assertion in llama.cpp, and no model of ours has them.
SIZES = {
    "block_count": 512, "context_length": 1 << 24, "embedding_length": 1 << 17, "feed_forward_length": 1 << 20,
    "attention.head_count": 1 << 12, "attention.head_count_kv": 1 << 12, "attention.key_length": 1 << 12,
    "attention.value_length": 1 << 12, "rope.dimension_count": 1 << 12, "vocab_size": MAX_ARRAY,
}  # fmt: skip
FLOATS = ("attention.layer_norm_rms_epsilon", "rope.freq_base")

# ggml type -> (name, elements of a block, bytes of a block)
TENSOR_TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 30: ("BF16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210),
}  # fmt: skip
FILE_TYPES: dict[object, str] = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M",
    13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 32: "BF16",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class GgufFacts:
    """What a checked GGUF says of its model; `width` is H, `quantisation` llama.cpp's name such as "Q4_K_M"."""

    architecture: str
    width: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int
    context: int
    quantisation: str
    chat_template: str | None


class _Value(NamedTuple):
    kind: int
    value: int | float | str


class _Array(NamedTuple):
    kind: int  # of its elements
    length: int
    start: int  # byte at which the elements begin


class _Tensor(NamedTuple):
    name: str
    size: int  # bytes, without padding
    offset: int  # from the start of the data


def check_gguf(path: str | os.PathLike[str]) -> GgufFacts:
    """Read and check the header of the GGUF at `path`.

    Raises:
        ModelError: the file is missing, not a GGUF, damaged, or of a kind that is not on the lists of this module.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size < 24:
                raise ModelError(f"{path}: not a GGUF file, {status.st_size} bytes")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _Reader(str(path), data).check()
    except (OSError, ValueError) as error:  # ValueError: a path with a null character, a file cut while it is mapped
        raise ModelError(f"{path}: cannot be read as a GGUF file, {error}") from None


class _Reader:
    """A cursor over the header that never steps past `end`."""

    def __init__(self, name: str, data: mmap.mmap) -> None:
        self.name = name
        self.data = data
        self.size = len(data)
        self.end = min(self.size, MAX_METADATA)
        self.at = 0
        self.keys: dict[str, _Value | _Array] = {}

    def fail(self, what: str) -> NoReturn:
        raise ModelError(f"{self.name}: {what}")

    def take(self, count: int) -> int:
        """Step over `count` bytes; return where they began."""
        start = self.at
        if not 0 <= count <= self.end - start:
            self.fail(f"header needs {count} bytes at byte {start}, but ends at {self.end}")
        self.at = start + count
        return start

    def number(self, code: str) -> int:
        found: int = struct.unpack_from("<" + code, self.data, self.take(struct.calcsize("<" + code)))[0]
        return found

    def string(self, what: str, limit: int = MAX_STRING) -> str:
        length = self.number("Q")
        if length > limit:
            self.fail(f"{what} has {length} bytes, at most {limit} are allowed")
        start = self.take(length)
        try:
            text = self.data[start : self.at].decode("utf-8")
        except UnicodeDecodeError:
            self.fail(f"{what} at byte {start} is not UTF-8")
        if "\0" in text:  # to llama.cpp the text would end there
            self.fail(f"{what} at byte {start} has a zero byte")
        return text

    def value(self, key: str) -> _Value | _Array:
        kind = self.number("I")
        if kind == ARRAY:
            return self.array(key)
        if kind == STRING:
            return _Value(kind, self.string(key))
        if kind not in SCALARS:
            self.fail(f"{key} has the unknown type {kind}")
        return _Value(kind, self.number(SCALARS[kind]))

    def array(self, key: str) -> _Array:
        kind, count = self.number("I"), self.number("Q")
        if count > MAX_ARRAY:
            self.fail(f"{key} has {count} elements, at most {MAX_ARRAY} are allowed")
        array = _Array(kind, count, self.at)
        if kind == STRING:
            for _ in self.strings(array, key):
                pass
        elif kind in SCALARS:
            self.take(count * struct.calcsize("<" + SCALARS[kind]))
        else:
            self.fail(f"{key} is an array of the type {kind}, which is not allowed")
        return array

    def strings(self, array: _Array, key: str) -> Iterator[tuple[int, int]]:
        """First and last + 1 byte of each string of `array`; leaves the cursor behind it."""
        unpack, data, end, at = struct.Struct("<Q").unpack_from, self.data, self.end, array.start
        for index in range(array.length):
            if at + 8 > end:
                self.fail(f"{key}[{index}] begins at byte {at}, but the header ends at {end}")
            length = unpack(data, at)[0]
            if length > MAX_STRING or at + 8 + length > end:
                self.fail(f"{key}[{index}] has {length} bytes at byte {at}, but the header ends at {end}")
            yield at + 8, at + 8 + length
            at += 8 + length
        self.at = at

    def check(self) -> GgufFacts:
        tensors = self.header()
        facts = self.facts()
        self.tokenizer(facts.vocabulary)
        self.places([self.tensor(index) for index in range(tensors)])
        return facts

    def header(self) -> int:
        """Magic, version, counts and all keys; returns the number of tensors."""
        magic = self.data[self.take(4) : self.at]
        if magic != b"GGUF":
            self.fail(f"not a GGUF file, begins with {magic!r}")
        version, tensors, keys = self.number("I"), self.number("Q"), self.number("Q")
        if version not in (2, 3):
            self.fail(f"GGUF version {version}, expected 2 or 3")
        if not 1 <= tensors <= MAX_TENSORS or keys > MAX_KEYS:
            self.fail(f"{tensors} tensors and {keys} keys, allowed are 1 to {MAX_TENSORS} and 0 to {MAX_KEYS}")
        for index in range(keys):
            key = self.string(f"key {index}", 256)
            if not (key and key.isascii() and key.isprintable()) or key in self.keys:
                self.fail(f"key {index} {key!r} is empty, not plain ASCII or there twice")
            self.keys[key] = self.value(key)
        return tensors

    def scalar(self, key: str, kind: int) -> int | float | str | None:
        """The value of `key`, None if the key is missing."""
        found = self.keys.get(key)
        if found is None:
            return None
        if not isinstance(found, _Value) or found.kind != kind:
            self.fail(f"{key} has the type {ARRAY if isinstance(found, _Array) else found.kind}, expected {kind}")
        return found.value

    def size_of(self, key: str, largest: int, default: int | None = None) -> int:
        """An unsigned 32-bit value from 1 to `largest`; a missing one is an error unless there is a `default`."""
        found = self.scalar(key, U32)
        number = default if found is None else found
        if not isinstance(number, int) or not 1 <= number <= largest:
            self.fail(f"{key} is {number}, expected 1 to {largest}")
        return number

    def one_of(self, key: str, allowed: tuple[str, ...]) -> str:
        found = self.scalar(key, STRING)
        if found not in allowed:
            self.fail(f"{key} is {found!r}, supported: {', '.join(allowed)}")
        return str(found)

    def array_of(self, key: str, kind: int) -> _Array:
        found = self.keys.get(key)
        if not isinstance(found, _Array) or found.kind != kind:
            self.fail(f"{key} is missing or not an array of the type {kind}")
        return found

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
        if self.keys.get("split.count", _Value(2, 1))[1] not in (0, 1):
            self.fail("is one part of a model in several files, which is not supported")
        return self.shape(architecture)

    def shape(self, architecture: str) -> GgufFacts:
        def size(name: str, default: int | None = None) -> int:
            return self.size_of(f"{architecture}.{name}", SIZES[name], default)

        width, heads = size("embedding_length"), size("attention.head_count")
        kv_heads = size("attention.head_count_kv", heads)
        head = width // heads
        if width % heads or heads % kv_heads or head % 2:
            self.fail(f"width {width}, {heads} heads and {kv_heads} key-value heads do not divide")
        for name in ("attention.key_length", "attention.value_length", "rope.dimension_count"):
            if size(name, head) != head:
                self.fail(f"{architecture}.{name} is {size(name)}, expected {head}")
        size("feed_forward_length")
        vocabulary = self.array_of("tokenizer.ggml.tokens", STRING).length
        if not vocabulary or size("vocab_size", vocabulary) != vocabulary:
            self.fail(f"{architecture}.vocab_size is {size('vocab_size', 1)}, but there are {vocabulary} tokens")
        template = self.scalar("tokenizer.chat_template", STRING)
        if template is not None and len(str(template).encode()) > MAX_TEMPLATE:
            self.fail(f"tokenizer.chat_template has more than {MAX_TEMPLATE} bytes")
        return GgufFacts(
            architecture, width, size("block_count"), heads, kv_heads, vocabulary, size("context_length"),
            FILE_TYPES.get(self.scalar("general.file_type", U32), "unknown"),
            None if template is None else str(template),
        )  # fmt: skip

    def tokenizer(self, vocabulary: int) -> None:
        self.one_of("tokenizer.ggml.model", ("gpt2",))
        self.one_of("tokenizer.ggml.pre", PRE_TOKENIZERS)
        self.array_of("tokenizer.ggml.merges", STRING)
        types = self.array_of("tokenizer.ggml.token_type", I32)
        if types.length != vocabulary:
            self.fail(f"{vocabulary} tokens, but {types.length} token types")
        kinds = struct.unpack_from(f"<{vocabulary}i", self.data, types.start)
        if not 1 <= min(kinds) <= max(kinds) <= 6:
            self.fail(f"token types from {min(kinds)} to {max(kinds)}, expected 1 to 6")
        self.tokens(kinds)
        scores = self.keys.get("tokenizer.ggml.scores")
        if scores is not None and self.array_of("tokenizer.ggml.scores", FLOAT).length != vocabulary:
            self.fail(f"tokenizer.ggml.scores has not one score for each of the {vocabulary} tokens")
        for key in self.keys:
            if key.startswith("tokenizer.ggml.") and key.endswith("_token_id"):
                token = self.scalar(key, U32)
                if not isinstance(token, int) or token >= vocabulary:
                    self.fail(f"{key} is {token}, but there are {vocabulary} tokens")

    def tokens(self, kinds: tuple[int, ...]) -> None:
        """Every token is UTF-8, not empty and there once, also to llama.cpp, which reads it up to a zero byte.

        It ends the process over a token that is there twice.
        """
        seen: set[bytes] = set()
        header = self.at
        for first, last in self.strings(self.array_of("tokenizer.ggml.tokens", STRING), "tokenizer.ggml.tokens"):
            token = self.data[first:last]
            index = len(seen)
            if not token or token in seen or b"\0" in token:
                self.fail(f"token {index} {token!r} is empty, there twice or has a zero byte")
            try:
                token.decode("utf-8")
            except UnicodeDecodeError:
                self.fail(f"token {index} {token!r} is not UTF-8")
            if kinds[index] == 6 and not re.fullmatch(rb"<0x[0-9A-F]{2}>", token):
                self.fail(f"token {index} {token!r} is marked as a byte, but is not written as one")
            seen.add(token)
        self.at = header

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
        if kind not in TENSOR_TYPES:
            self.fail(f"tensor {name!r} has the type {kind}, which is not supported")
        _, block, size = TENSOR_TYPES[kind]
        if shape[0] % block:
            self.fail(f"tensor {name!r} has rows of {shape[0]}, which blocks of {block} do not fill")
        return _Tensor(name, elements // block * size, offset)

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
