"""Writes safetensors files, one tensor in memory at a time, the same bytes for the same tensors everywhere.

The library's own writer needs all tensors at once, and its header may change between versions; a file that is to have
a known hash cannot depend on that. Reading is left to the library.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2")}


@dataclass(frozen=True, slots=True)
class TensorRow:
    """One tensor to be written: `dtype` is "F32" or "F16", `read` gives its values when it is its turn."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    read: Callable[[], NDArray[Any]]


def rows_of(tensors: Mapping[str, NDArray[Any]], dtype: str) -> list[TensorRow]:
    """Arrays as rows in the order of their names, all of one dtype."""

    def row(name: str, array: NDArray[Any]) -> TensorRow:
        return TensorRow(name, dtype, tuple(array.shape), lambda: array)

    return [row(name, tensors[name]) for name in sorted(tensors)]


def safetensors_chunks(rows: Sequence[TensorRow], metadata: Mapping[str, str] | None = None) -> Iterator[bytes]:
    """The bytes of a safetensors file that holds the rows in order."""
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": dict(metadata)}
    at = 0
    for row in rows:
        size = DTYPES[row.dtype].itemsize * math.prod(row.shape)
        header[row.name] = {"dtype": row.dtype, "shape": list(row.shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    yield struct.pack("<Q", len(text)) + text
    yield from (np.ascontiguousarray(row.read(), dtype=DTYPES[row.dtype]).tobytes() for row in rows)


def as_float16(array: NDArray[Any]) -> NDArray[np.float32]:
    """The array in values that float16 can hold, as float32. What ships in half the room is the same then."""
    return np.ascontiguousarray(array.astype(np.float16).astype(np.float32))
