"""Unicode's composed form (NFC) in time that grows with the text, whatever stands in it.

Putting marks in order takes time that grows with the square of their number on one letter. No writing needs more than
30 (the bound of Unicode's Stream-Safe Text Format, UAX 15), so that those behind the thirtieth are left out.
"""

from __future__ import annotations

import functools
import unicodedata
from typing import Any

MOST_MARKS = 30  # combining marks that follow each other


def composed(text: str) -> str:
    """NFC of the text, marks bounded."""
    if text.isascii():
        return text
    return bounded_marks(unicodedata.normalize("NFC", bounded_marks(text)))  # some marks become two


def bounded_marks(text: str) -> str:
    """The text without the marks that stand behind MOST_MARKS others."""
    if len(text) <= MOST_MARKS or text.isascii():
        return text
    return str(_too_many().sub(r"\1", text))


@functools.cache
def _too_many() -> Any:
    import regex  # here: it takes a while, and most commands see no such text

    return regex.compile(rf"(\p{{M}}{{{MOST_MARKS}}})\p{{M}}+")
