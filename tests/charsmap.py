"""A table of characters as SentencePiece writes it: a double array over bytes, and the texts of its leaves."""

from __future__ import annotations

import struct
from collections.abc import Mapping

LEAF, HAS_LEAF, BLOCK = 1 << 31, 1 << 8, 256


def charsmap(texts: Mapping[str, str]) -> bytes:
    """The table by which each key becomes its text."""
    blob, starts = b"", {}
    for key, text in texts.items():
        starts[key.encode()] = len(blob)
        blob += text.encode() + b"\0"
    units, taken = [0] * BLOCK, {0}
    _place(units, taken, 0, starts)
    return struct.pack(f"<I{len(units)}I", 4 * len(units), *units) + blob


def _place(units: list[int], taken: set[int], node: int, keys: Mapping[bytes, int]) -> None:
    """Find room for the children of a node, and for theirs. `keys` are what is left of the keys that lead here."""
    labels = sorted({key[0] if key else 0 for key in keys})
    base = next(b for b in range(1, 1 << 20) if b != node and not any(b ^ label in taken for label in labels))
    while len(units) <= (base | 0xFF):
        units += [0] * BLOCK
    taken.update(base ^ label for label in labels)
    units[node] |= (node ^ base) << 10 | (HAS_LEAF if b"" in keys else 0)
    for label in labels:
        if label == 0:
            units[base] = LEAF | keys[b""]
            continue
        units[base ^ label] = label
        _place(units, taken, base ^ label, {key[1:]: start for key, start in keys.items() if key and key[0] == label})
