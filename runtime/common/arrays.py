"""Array types by dtype, and the one check for shape and dtype at a module's border.

The letters used in shapes everywhere: U peers, M facets, K neighbours, D facet vector width, G graph width,
L soft tokens, H width of the language model.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
Bool = NDArray[np.bool_]


def check_f32(name: str, array: F32, *shape: int | None) -> F32:
    """Return `array` unchanged if it is float32 of `shape` (None matches any size).

    Raises:
        ValueError: another dtype or shape; the message names both.
    """
    fits = array.ndim == len(shape) and all(want in (None, have) for want, have in zip(shape, array.shape, strict=True))
    if array.dtype != np.float32 or not fits:
        wanted = tuple("*" if n is None else n for n in shape)
        raise ValueError(f"{name}: expected float32 of shape {wanted}, got {array.dtype} of shape {array.shape}")
    return array


def unit_rows(array: F32) -> F32:
    """L2-normalise the last axis; rows of zeros stay zero. (..., D) float32 -> (..., D) float32."""
    norms = np.linalg.norm(array, axis=-1, keepdims=True)
    unit: F32 = (array / np.maximum(norms, np.float32(1e-12))).astype(np.float32)
    return unit
