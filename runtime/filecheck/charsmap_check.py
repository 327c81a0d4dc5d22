"""Looks through the table of characters of a multilingual tokenizer: what SentencePiece calls a precompiled charsmap.

It is a double-array trie over bytes (Darts) and the texts that its leaves stand for. The library follows both without
a look at their ends.
"""

from __future__ import annotations

import base64

import numpy as np

MAX_TABLE = 4 * 1024**2
MAX_TEXT = 128  # bytes that one character may become
LEAF = 1 << 31


def check_charsmap(text: str) -> None:
    """Raises ValueError where a step leads out of the trie, or a character becomes no text or a long one."""
    raw = base64.b64decode(text, validate=True)
    size = int.from_bytes(raw[:4], "little")
    if len(raw) > MAX_TABLE or len(raw) < 4 + size or size % 4 or not size:
        raise ValueError(f"a table of characters of {len(raw):,} bytes, {size:,} of them a trie")
    texts = raw[4 + size :]
    texts.decode("utf-8")
    if max(map(len, texts.split(b"\0"))) > MAX_TEXT or not texts.endswith(b"\0"):
        raise ValueError("a character becomes a text that is too long")
    units = np.frombuffer(raw, "<u4", size // 4, 4).astype(np.int64)
    leaves = (units & LEAF) != 0
    starts = units[leaves] & (LEAF - 1)
    if (starts >= len(texts)).any() or (np.frombuffer(texts, np.uint8)[starts] & 0xC0 == 0x80).any():
        raise ValueError("a character becomes a text that is not there")
    steps = (units >> 10) << ((units & (1 << 9)) >> 6)
    ends = (np.arange(len(units)) ^ steps) | 0xFF  # whatever byte comes next
    if (ends[~leaves] >= len(units)).any():
        raise ValueError("a step leads out of the table of characters")
