"""The weights of a model's folder: which files they are, and whether these are whole, looked at without reading them.

safetensors are judged by their headers, files of torch by the directory at their end, so that what is missing or cut
is found before the first long step, and not by whoever loads it.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open

from copersona.runtime.common.errors import ExportError

SAFETENSORS, TORCH = "model.safetensors", "pytorch_model.bin"
FLOATS = ("F64", "F32", "F16", "BF16")


class Stored(NamedTuple):
    """What the header of a file says of a tensor."""

    kind: str
    shape: tuple[int, ...]


def weight_files(folder: Path) -> list[Path]:
    """The safetensors of a folder, one or as its index names them.

    Raises:
        ExportError: the index cannot be read.
    """
    index = folder / f"{SAFETENSORS}.index.json"
    return _indexed(index) if index.exists() else [folder / SAFETENSORS]


def tensors(folder: Path) -> Iterator[tuple[str, Any]]:
    """(name, open slice) of every tensor, file by file.

    Raises:
        ExportError: a file is missing, cut or damaged.
    """
    for path in weight_files(folder):
        if not path.exists():
            raise ExportError(f"{path}: is missing")
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118  (not a dict)
                    yield name, file.get_slice(name)
        except (SafetensorError, OSError) as error:
            raise ExportError(f"{path}: is cut short, or is damaged there ({_first_line(error)})") from None


def check_weight_files(folder: Path) -> dict[str, Stored] | None:
    """A folder's tensors by name; None where they are in files of torch, which do not tell.

    Raises:
        ExportError: there are none, or a file is missing, cut or damaged.
    """
    if (folder / SAFETENSORS).exists() or (folder / f"{SAFETENSORS}.index.json").exists():
        return {name: Stored(w.get_dtype(), tuple(w.get_shape())) for name, w in tensors(folder)}
    index = folder / f"{TORCH}.index.json"
    files = _indexed(index) if index.exists() else [folder / TORCH]
    if files == [folder / TORCH] and not files[0].exists():
        raise ExportError(f"{folder}: holds no weights ({SAFETENSORS} or {TORCH} missing); fetch the whole model")
    for path in files:
        if not path.exists():
            raise ExportError(f"{path}: is missing")
        if not zipfile.is_zipfile(path):
            raise ExportError(f"{path}: is cut short, or is damaged there; fetch it again, best as {SAFETENSORS}")
    return None


def _indexed(index: Path) -> list[Path]:
    try:
        names = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        return sorted({index.parent / name for name in names})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ExportError(f"{index}: no index of weights ({_first_line(error)}); fetch the model again") from None


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
