"""Whether an answer is right: one of the known answers stands in it, as whole words.

Both are normalised as SQuAD does: lower case, without punctuation, without articles, one blank between words. Short
answers make it a fair judge; what it gets wrong is counted by hand, see docs/guard.md.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_MARKS = str.maketrans(dict.fromkeys(string.punctuation + "’‘“”–—…", " "))


def normal(text: str) -> str:
    """A text as it is compared."""
    plain = text.lower().replace("'", "").replace("’", "").translate(_MARKS)
    return " ".join(_ARTICLES.sub(" ", plain).split())


def is_right(answer: str, known: Sequence[str]) -> bool:
    """Whether one of the known answers stands in what was answered."""
    said = f" {normal(answer)} "
    return any(f" {one} " in said for one in map(normal, known) if one)
