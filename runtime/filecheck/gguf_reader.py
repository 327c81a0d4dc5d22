"""A cursor over the header of a GGUF file, whose every step is bounded.

The keys are read by `Reader.header`; single values are asked for with the type and range that they must have. Whatever
the bytes are, nothing but `ModelError` comes out. What the keys mean is not known here.
"""

from __future__ import annotations

import mmap
import struct
from itertools import pairwise
from typing import NamedTuple, NoReturn

from copersona.runtime.common.errors import ModelError

MAX_KEYS = 4_096
MAX_TENSORS = 16_384
MAX_METADATA = 256 << 20  # bytes
MAX_STRING = 1 << 20
MAX_ARRAY = 1 << 22

U32, I32, FLOAT, STRING, ARRAY = 4, 5, 6, 8, 9  # numbers that GGUF gives to the types of values
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}


class Value(NamedTuple):
    """A single value of a key and GGUF's number for its type."""

    kind: int
    value: int | float | str


class Array(NamedTuple):
    """Where the elements of an array are; they are read when they are needed."""

    kind: int  # of its elements
    length: int
    start: int  # byte at which the elements begin


class Reader:
    """A cursor over the header that never steps past `end`."""

    def __init__(self, name: str, data: mmap.mmap) -> None:
        self.name = name
        self.data = data
        self.size = len(data)
        self.end = min(self.size, MAX_METADATA)
        self.at = 0
        self.keys: dict[str, Value | Array] = {}

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

    def value(self, key: str) -> Value | Array:
        kind = self.number("I")
        if kind == ARRAY:
            return self.array(key)
        if kind == STRING:
            return Value(kind, self.string(key))
        if kind not in SCALARS:
            self.fail(f"{key} has the unknown type {kind}")
        return Value(kind, self.number(SCALARS[kind]))

    def array(self, key: str) -> Array:
        kind, count = self.number("I"), self.number("Q")
        if count > MAX_ARRAY:
            self.fail(f"{key} has {count} elements, at most {MAX_ARRAY} are allowed")
        array = Array(kind, count, self.at)
        if kind == STRING:
            self.at = [self.at, *self.ends(key, array)][-1]
        elif kind in SCALARS:
            self.take(count * struct.calcsize("<" + SCALARS[kind]))
        else:
            self.fail(f"{key} is an array of the type {kind}, which is not allowed")
        return array

    def ends(self, key: str, array: Array) -> list[int]:
        """The byte behind each string of `array`; each begins eight bytes behind the end of the one before."""
        unpack, data, end, at = struct.Struct("<Q").unpack_from, self.data, self.end, array.start
        found: list[int] = []
        for index in range(array.length):
            if at + 8 > end:
                self.fail(f"{key}[{index}] begins at byte {at}, but the header ends at {end}")
            length = unpack(data, at)[0]
            at += 8 + length
            if length > MAX_STRING or at > end:
                self.fail(f"{key}[{index}] has {length} bytes up to byte {at}, but the header ends at {end}")
            found.append(at)
        return found

    def strings(self, key: str, array: Array) -> list[bytes]:
        """The strings of `array`."""
        ends = self.ends(key, array)
        whole = self.data[array.start : ends[-1]] if ends else b""
        ends = [0, *(end - array.start for end in ends)]
        return [whole[before + 8 : end] for before, end in pairwise(ends)]

    def header(self) -> int:
        """Magic, version, counts and all keys; returns the number of tensors."""
        magic = self.data[self.take(4) : self.at]
        if magic != b"GGUF":
            self.fail(f"not a GGUF file, begins with {magic!r}")
        version, tensors, keys = self.number("I"), self.number("Q"), self.number("Q")
        if version not in (2, 3):
            swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
            what = f"a big-endian GGUF, version {swapped}" if swapped in (2, 3) else f"GGUF version {version}"
            self.fail(f"{what}; expected version 2 or 3, little-endian")
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
        if not isinstance(found, Value) or found.kind != kind:
            self.fail(f"{key} has the type {ARRAY if isinstance(found, Array) else found.kind}, expected {kind}")
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

    def array_of(self, key: str, kind: int) -> Array:
        found = self.keys.get(key)
        if not isinstance(found, Array) or found.kind != kind:
            self.fail(f"{key} is missing or not an array of the type {kind}")
        return found
