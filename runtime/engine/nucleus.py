"""Which tokens an answer may go on with: the likeliest ones that hold a given share of all probability."""

from __future__ import annotations

import numpy as np

from copersona.runtime.common.arrays import F32, I64


def nucleus(logits: F32, share: float) -> I64:
    """The fewest tokens whose probabilities add up to `share`, and those as likely as the last of them.

    By rising id, (n,) int64, from logits (V,) float32. Only weights are sorted, and mostly a few hundred of them.
    """
    if share >= 1:
        return np.arange(len(logits))
    weights = np.exp(logits - logits.max())
    wanted = share * weights.sum(dtype=np.float64)
    for least in (1e-3, 1e-4, 1e-5, 0.0):
        likely = weights[weights >= least * wanted]
        if likely.sum(dtype=np.float64) >= wanted:
            break
    falling = np.sort(likely)[::-1]
    held = np.cumsum(falling, dtype=np.float64)
    last = min(int(np.searchsorted(held, wanted)), len(falling) - 1)
    return np.flatnonzero(weights >= falling[last])
