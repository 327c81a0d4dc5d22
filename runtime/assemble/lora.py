"""A LoRA in the names and row order of a GGUF: what a thin bundle holds instead of a model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from copersona.runtime.common.errors import ModelError
from copersona.runtime.common.files import write_whole
from copersona.runtime.common.tensors import rows_of, safetensors_chunks

F16 = NDArray[np.float16]
MOST_RANK = 1024


@dataclass(frozen=True, slots=True)
class Lora:
    """W + scale * B @ A for each matrix W (out, in) of a GGUF, by its name: A (r, in) and B (out, r), float16."""

    scale: float
    pairs: Mapping[str, tuple[F16, F16]]

    def write(self, path: Path) -> None:
        """Write `lora.safetensors`, whole or not at all."""
        tensors = {f"{name}.a": a for name, (a, _) in self.pairs.items()}
        tensors |= {f"{name}.b": b for name, (_, b) in self.pairs.items()}
        write_whole(path, safetensors_chunks(rows_of(tensors, "F16"), {"scale": repr(self.scale)}))


def read_lora(path: Path) -> Lora:
    """Inverse of `Lora.write`.

    Raises:
        ModelError: the file cannot be read, a pair is not whole, does not fit itself, or holds what is not finite.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            scale = float((file.metadata() or {})["scale"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise ModelError(f"{path}: not a LoRA that can be read ({error})") from None
    pairs: dict[str, tuple[F16, F16]] = {}
    for name in sorted({name.rpartition(".")[0] for name in tensors}):
        if {f"{name}.a", f"{name}.b"} - tensors.keys():
            raise ModelError(f"{path}: half of the pair {name!r} is missing")
        pairs[name] = tensors.pop(f"{name}.a"), tensors.pop(f"{name}.b")
        _check_pair(path, name, *pairs[name])
    if tensors or not pairs or not math.isfinite(scale):
        raise ModelError(f"{path}: expected pairs of matrices and a finite scale, found {sorted(tensors)[:3]}, {scale}")
    return Lora(scale, pairs)


def _check_pair(path: Path, name: str, a: F16, b: F16) -> None:
    if a.dtype != np.float16 or b.dtype != np.float16 or a.ndim != 2 or b.ndim != 2:
        raise ModelError(f"{path}: {name!r} is no pair of float16 matrices")
    if a.shape[0] != b.shape[1] or not 1 <= a.shape[0] <= MOST_RANK:
        raise ModelError(f"{path}: the ranks of {name!r} are {a.shape[0]} and {b.shape[1]}, expected the same")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ModelError(f"{path}: {name!r} holds values that are not finite")
