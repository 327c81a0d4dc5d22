"""Characters that show nothing but can carry words, or turn the order of what is shown: not for a model to read.

Tags (a second ASCII that no font draws), controls of text direction, and variation selectors behind another one. Flags
of regions are written with tags and stay; joiners, which emoji and many scripts need, are none of these.
"""

from __future__ import annotations

import re

_TAGS = "\U000e0000-\U000e007f"
_DIRECTION = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_VARIANT = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
_LETTER, _DIGIT, _END = "\U000e0061-\U000e007a", "\U000e0030-\U000e0039", "\U000e007f"
_REGION = f"(?:[{_LETTER}]{{2}}|[{_DIGIT}]{{3}})[{_LETTER}{_DIGIT}]{{1,4}}"  # as in UTS 51: gbeng, ustx
_FLAG = f"\U0001f3f4{_REGION}{_END}"
_HIDDEN = re.compile(f"({_FLAG}|[{_VARIANT}](?=[{_VARIANT}{_TAGS}{_DIRECTION}]))[{_VARIANT}{_TAGS}{_DIRECTION}]*"
                     f"|[{_TAGS}{_DIRECTION}]+[{_VARIANT}{_TAGS}{_DIRECTION}]*")  # fmt: skip


def without_hidden(text: str) -> str:
    """The text without them."""
    return text if text.isascii() else _HIDDEN.sub(lambda found: found[1] or "", text)


def hides(text: str) -> bool:
    """Whether any of them is in the text."""
    return without_hidden(text) != text
