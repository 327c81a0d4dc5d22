"""Looks through an ONNX file before onnxruntime does: one file with everything in it, and no operators of others.

A walk over the protobuf fields that can hold tensors and nodes; field numbers are those of onnx.proto. Refused: tensors
whose data are elsewhere (another file, or an address in memory), and operator domains that this project does not use.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

from copersona.runtime.common.errors import BundleError

MAX_BYTES = 2 * 1024**3
MAX_FIELDS = 2_000_000
MAX_DEPTH = 32
DOMAINS = (b"", b"ai.onnx", b"com.microsoft")

# message -> field number -> message inside
_INSIDE = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "function": {7: "node", 11: "attribute"},
    "tensor": {},
}
_NODE_DOMAIN = 7
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14


def check_onnx(path: Path) -> None:
    """Walk the whole file.

    Raises:
        BundleError: over 2 GiB, no protobuf, external data, or an operator domain that is not known.
    """
    try:
        size = os.stat(path).st_size
        if not 0 < size <= MAX_BYTES:
            raise BundleError(f"{path}: {size:,} bytes, expected an ONNX file of at most 2 GiB")
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            walk = _Walk(data)
            walk.message("model", 0, size, 0)
            if not walk.graphs:
                raise ValueError("it holds no graph")
    except ValueError as error:
        raise BundleError(f"{path}: no ONNX file that may be opened: {error}") from None
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror or error})") from None


class _Walk:
    """One pass over a file; every step is counted, so that a hostile file ends too."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._fields = 0
        self.graphs = 0

    def message(self, kind: str, start: int, end: int, depth: int) -> None:
        """Check one message and those inside it. Raises ValueError."""
        if depth > MAX_DEPTH:
            raise ValueError("nested too deeply")
        self.graphs += kind == "graph"
        for number, value, stop in self._each(start, end):
            if kind == "tensor" and (number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value)):
                raise ValueError("a tensor keeps its data outside of the file")
            if stop < 0:
                continue
            if kind == "node" and number == _NODE_DOMAIN and self._data[value:stop] not in DOMAINS:
                raise ValueError(f"operators of the domain {self._data[value : min(stop, value + 80)]!r}")
            if number in _INSIDE[kind]:
                self.message(_INSIDE[kind][number], value, stop, depth + 1)

    def _each(self, at: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Field number with start and end of its bytes, or with its value and -1 for a number."""
        while at < end:
            self._fields += 1
            if self._fields > MAX_FIELDS:
                raise ValueError("too many fields")
            key, at = self._varint(at, end)
            number, wire = key >> 3, key & 7
            if wire == 0:
                value, at = self._varint(at, end)
                yield number, value, -1
                continue
            if wire not in (1, 2, 5):
                raise ValueError(f"byte {at:,} is no protobuf field")
            size, at = self._varint(at, end) if wire == 2 else (8 if wire == 1 else 4, at)
            if size > end - at:
                raise ValueError(f"a field at byte {at:,} ends behind its message; the file is cut or damaged")
            yield (number, at, at + size) if wire == 2 else (number, 0, -1)
            at += size

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = shift = 0
        while at < end and shift < 70:
            byte = self._data[at]
            value |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if byte < 0x80:
                return value, at
        raise ValueError(f"a number at byte {at:,} does not end; the file is cut or damaged")
