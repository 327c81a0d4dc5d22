"""Arrays in files: .npy and safetensors, from their headers alone, within bounds of our own."""

from __future__ import annotations

import ast
import math
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from copersona.runtime.common.errors import BundleError
from copersona.runtime.common.strict_json import strict_json

MAX_HEADER = 1024 * 1024  # bytes of a safetensors header
MAX_NPY_HEADER = 4096
ITEM_BYTES = {"F32": 4, "F16": 2}

TensorShapes = Mapping[str, tuple[int, ...]]


def must_agree(path: Path, what: str, found: object, expected: object) -> None:
    """Raises BundleError where a file's number is not the manifest's; the message has both."""
    if found != expected:
        raise BundleError(
            f"{path}: {what}: found {found}, the manifest has {expected}; "
            "the files come from different exports, fetch a whole copy"
        )


def check_npy(path: Path, shape: tuple[int, ...]) -> None:
    """A .npy file of float32 in C order with exactly this shape. Raises BundleError."""
    try:
        with open(path, "rb") as file:
            magic = file.read(8)
            if magic[:6] != b"\x93NUMPY" or magic[6:] not in (b"\x01\x00", b"\x02\x00"):
                raise ValueError("this is no .npy file of version 1 or 2")
            size = int.from_bytes(file.read(2 if magic[6] == 1 else 4), "little")
            if size > MAX_NPY_HEADER:
                raise ValueError(f"its header has {size:,} bytes, expected at most {MAX_NPY_HEADER:,}")
            header = ast.literal_eval(file.read(size).decode("latin-1").strip())
            start = file.tell()
        kind, found = (header["descr"], header["fortran_order"]), header["shape"]
    except (OSError, ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError) as error:
        raise BundleError(f"{path}: not an array that can be read ({error})") from None
    if kind != ("<f4", False):
        raise BundleError(f"{path}: found {kind[0]!r}, expected float32 ('<f4') in C order; export the bundle again")
    must_agree(path, "shape", found, shape)
    must_agree(path, "bytes", os.path.getsize(path), start + 4 * math.prod(shape))


def read_tensor_shapes(path: Path) -> TensorShapes:
    """Names and shapes in a safetensors file, from its header alone.

    Raises:
        BundleError: a header over 1 MiB, a key twice, another dtype than F32 or F16, holes, overlaps, a wrong end.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            prefix = file.read(8)
            length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
            if not 2 <= length <= min(MAX_HEADER, size - 8):
                raise ValueError(f"its header has {length:,} bytes of {size:,}")
            raw = file.read(length)
        if raw[:1] != b"{":
            raise ValueError("its header is no JSON object")
        header: dict[str, Any] = strict_json(raw.decode("utf-8"))
        _check_metadata(header.pop("__metadata__", {}))
        return _check_spans({name: _tensor(name, entry) for name, entry in header.items()}, size - 8 - length)
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise BundleError(f"{path}: not a safetensors file that may be opened: {what}") from None


def _check_metadata(metadata: object) -> None:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata is not text by name")


def _tensor(name: str, entry: Mapping[str, Any]) -> tuple[int, int, tuple[int, ...]]:
    """Start, end and shape of one tensor, which agree with each other."""
    if set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"tensor {name!r} has the keys {sorted(entry)}")
    if entry["dtype"] not in ITEM_BYTES:
        raise ValueError(f"tensor {name!r} is {entry['dtype']}, expected F32 or F16")
    numbers = [*entry["shape"], *entry["data_offsets"]]
    if len(entry["data_offsets"]) != 2 or not all(type(n) is int and 0 <= n < 2**48 for n in numbers):
        raise ValueError(f"tensor {name!r} has a shape or offsets that are no sizes")
    start, end = entry["data_offsets"]
    if end - start != math.prod(entry["shape"]) * ITEM_BYTES[entry["dtype"]]:
        raise ValueError(f"tensor {name!r} has {end - start:,} bytes, which do not fit its shape {entry['shape']}")
    return start, end, tuple(entry["shape"])


def _check_spans(tensors: Mapping[str, tuple[int, int, tuple[int, ...]]], size: int) -> TensorShapes:
    at = 0
    for name, (start, end, _) in sorted(tensors.items(), key=lambda item: item[1][:2]):
        if start != at:
            raise ValueError(f"tensor {name!r} starts at {start:,}, expected {at:,}")
        at = end
    if at != size:
        raise ValueError(f"its tensors end at {at:,}, the file at {size:,}")
    return {name: shape for name, (_, _, shape) in tensors.items()}
