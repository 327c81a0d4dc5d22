"""Which texts the measured facets of a population can speak to: those in the scripts that it was measured in.

Counts of words, letters and sentences mean something else in another script, so that every figure of such a text would
stand far from the population's mean and look like strong evidence.
"""

from __future__ import annotations

import functools
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

LATIN = "LATIN"
LEAST = 0.5  # of a text's letters that are in scripts which were measured
SHARE = 0.1  # of a population's letters, from which on a script counts as measured
LOOKED_AT = 2_000  # characters of a text


def scripts_of(texts: Iterable[str]) -> Counter[str]:
    """Letters by script, named as Unicode names its characters: LATIN, CJK, DEVANAGARI."""
    found: Counter[str] = Counter()
    for text in texts:
        part = text[:LOOKED_AT]
        if part.isascii():
            found[LATIN] += sum(map(str.isalpha, part))
        else:
            found.update(_script(c) for c in part if c.isalpha())
    return +found


def measured_scripts(texts: Iterable[str]) -> tuple[str, ...]:
    """The scripts that a good part of a population writes in, the most used one first."""
    found = scripts_of(texts)
    return tuple(name for name, count in found.most_common() if count >= SHARE * found.total()) or (LATIN,)


def served(texts: Sequence[str], scripts: Sequence[str]) -> list[str]:
    """The texts that are mostly in these scripts, or hold no letters at all."""
    return [text for text in texts if _is_served(text, scripts)]


def unserved_script(texts: Sequence[str], scripts: Sequence[str]) -> str:
    """The name of the script that most of these texts are in, where it is none of these; else empty."""
    if not texts or 2 * len(served(texts, scripts)) >= len(texts):
        return ""
    found = scripts_of(texts)
    return script_name(next(name for name, _ in found.most_common() if name not in scripts))


def script_name(script: str) -> str:
    """A script as people call it."""
    return "Han" if script == "CJK" else script.title()


def _is_served(text: str, scripts: Sequence[str]) -> bool:
    if LATIN in scripts and text.isascii():
        return True
    found = scripts_of((text,))
    return sum(found[name] for name in scripts) >= LEAST * found.total()


@functools.lru_cache(maxsize=8192)
def _script(letter: str) -> str:
    first, _, rest = unicodedata.name(letter, "UNKNOWN").partition(" ")
    return rest.split()[0] if first in ("FULLWIDTH", "HALFWIDTH") and rest else first
