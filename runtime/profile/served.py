"""Which texts the measured facets of a population can speak to: those in the scripts that it was measured in.

Counts of words, letters and sentences mean something else in another script, so that every figure of such a text would
stand far from the population's mean and look like strong evidence.
"""

from __future__ import annotations

import functools
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from copersona.runtime.history.interactions import Interaction, clean_text

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


class UnservedTally:
    """Which of the people whose texts pass by write mostly in scripts that are not served. Only who wrote such a text
    is counted, and of them no more than `most` people."""

    def __init__(self, scripts: Sequence[str], most: int = 10_000) -> None:
        self._scripts, self._most = scripts, most
        self._people: dict[str, tuple[int, str]] = {}

    def passing(self, one: Interaction) -> Interaction:
        """Count what was written here, and give it on."""
        if not _is_served(one.output, self._scripts):
            before, script = self._people.get(one.person, (0, ""))
            if before or len(self._people) < self._most:
                script = script or unserved_script([clean_text(one.output)], self._scripts)
                self._people[one.person] = (before + 1, script)
        return one

    def found(self, texts: Callable[[str], int]) -> dict[str, str]:
        """People and the script of their first such text, where these are most of the `texts` that they have."""
        return {name: script for name, (count, script) in self._people.items() if 2 * count > texts(name)}


def script_name(script: str) -> str:
    """A script as people call it."""
    return "Han" if script == "CJK" else script.title()


def _is_served(text: str, scripts: Sequence[str]) -> bool:
    if LATIN in scripts and _is_plain(text[:LOOKED_AT]):
        return True
    found = scripts_of((text,))
    return sum(found[name] for name in scripts) >= LEAST * found.total()


def _is_plain(text: str) -> bool:
    """Whether a text surely is in Latin script for the most part: its letters of ASCII are as many as all else that is
    beyond it. A name for each character takes a hundred times longer."""
    plain = text.encode("ascii", "ignore")
    return len(plain.translate(None, _NO_LETTERS)) >= len(text) - len(plain)


_NO_LETTERS = bytes(code for code in range(256) if not chr(code).isalpha() or code > 127)


@functools.lru_cache(maxsize=8192)
def _script(letter: str) -> str:
    first, _, rest = unicodedata.name(letter, "UNKNOWN").partition(" ")
    return rest.split()[0] if first in ("FULLWIDTH", "HALFWIDTH") and rest else first
