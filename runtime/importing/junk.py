"""Texts that say nothing of how someone writes, and near-duplicates: rules that `benchmarks/importers.py` measures.

They are left out of what is imported, counted and shown; the export keeps them.
"""

from __future__ import annotations

import re
import zlib
from collections import OrderedDict
from statistics import median

import numpy as np
from numpy.typing import NDArray

SHORT, LYRICS, SIGNS, MACHINE, TWICE = (
    "a word or two",
    "lines that repeat, as lyrics do",
    "mostly numbers and signs",
    "written by a machine",
    "nearly the same as an earlier text",
)
WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
PACKED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")  # written without blanks
MIN_WORDS = 3
VERSE_LINES, VERSE_WORDS, REPEATED = 8, 9, 0.2  # lines at least, words a line at most, share of lines that repeat
LETTERS, LETTERS_FROM = 0.5, 40  # least share of letters among what is no blank, in texts so long
LONGEST = 100  # letters and figures without a blank
NOTICE = re.compile(
    r"^\W{0,3}(?:this is an automat\w+|do not reply to this|please do not reply|dies ist eine automatisch|"
    r"ceci est un (?:message|e-?mail) automatique|este es un mensaje autom|you (?:have )?(?:received|got) a new |"
    r"(?:accepted|declined|tentative|invitation|updated invitation|cancell?ed event|canceled event): |"
    r"missed (?:voice|video|group)\w* call|out of office|automatic reply|auto-?reply|abwesenheitsnotiz|"
    r"i(?:'|’)m (?:currently )?(?:driving|using whatsapp)|can(?:'|’)?t talk (?:right )?now\. what|"
    r"your (?:order|verification|security|login) (?:code|number|has)|"
    r"i just (?:posted|earned|unlocked|completed|ran) .{0,60}"
    r"(?:badge|level|achievement|\bkm\b|miles?|with @|via @))",
    re.IGNORECASE,
)


def words_in(text: str) -> int:
    """How many words, two signs for one where words stand without blanks between them."""
    packed = len(PACKED.findall(text))
    return len(WORD.findall(PACKED.sub(" ", text))) + packed // 2 if packed else len(WORD.findall(text))


def junk(text: str) -> str:
    """Why a text says nothing of its writer, empty where it may."""
    if words_in(text) < MIN_WORDS:
        return SHORT
    if NOTICE.match(text):
        return MACHINE
    solid = [c for c in text if not c.isspace()]
    if len(solid) >= LETTERS_FROM:
        letters = sum(c.isalpha() or not c.isascii() for c in solid)
        if letters < LETTERS * len(solid) or any(len(word) > LONGEST for word in text.split() if word.isascii()):
            return SIGNS
    lines = [" ".join(line.split()).casefold() for line in text.split("\n") if line.strip()]
    if len(lines) >= VERSE_LINES and median(len(line.split()) for line in lines) <= VERSE_WORDS:
        repeats = len(lines) - len(set(lines))
        if repeats >= REPEATED * len(lines):
            return LYRICS
    return ""


U64 = NDArray[np.uint64]
SHINGLE = 2  # words
HASHES, BANDS = 24, 8
ALIKE = 0.55  # share of the hashes that agree: about that of the shingles
REMEMBERED = 50_000  # texts that a later one is held against
SEEDS = np.random.default_rng(20).integers(0, 1 << 63, HASHES, dtype=np.uint64)
MIX, MIX_AGAIN = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)  # of splitmix64


class NearDuplicates:
    """Whether a text is nearly one of the REMEMBERED before it, numbers aside: by min-wise hashes of runs of words, in
    bands (Broder 1997)."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, tuple[U64, tuple[int, ...]]] = OrderedDict()
        self._bands: dict[int, int] = {}
        self._next = 0

    def seen(self, text: str) -> bool:
        """Whether it is; if not, it is remembered."""
        marks = _marks(text)
        bands = tuple(hash((band, row.tobytes())) for band, row in enumerate(marks.reshape(BANDS, -1)))
        for number in {self._bands[band] for band in bands if band in self._bands}:
            if float(np.mean(self._kept[number][0] == marks)) >= ALIKE:
                return True
        if len(self._kept) >= REMEMBERED:
            oldest, (_, gone) = self._kept.popitem(last=False)
            for band in gone:
                if self._bands.get(band) == oldest:
                    del self._bands[band]
        self._kept[self._next] = (marks, bands)
        self._bands.update((band, self._next) for band in bands)
        self._next += 1
        return False


def _marks(text: str) -> U64:
    """(HASHES,) least hashes over the runs of SHINGLE words."""
    words = [word.casefold() for word in WORD.findall(text)] or [text.strip()]
    if PACKED.search(text):
        words = list("".join(words))
    runs = {" ".join(words[i : i + SHINGLE]) for i in range(max(1, len(words) - SHINGLE + 1))}
    hashes = np.fromiter((zlib.crc32(run.encode("utf-8", "surrogatepass")) for run in runs), np.uint64, len(runs))
    found = np.full(HASHES, np.iinfo(np.uint64).max, dtype=np.uint64)
    for start in range(0, len(hashes), 4096):
        mixed = (hashes[start : start + 4096, None] ^ SEEDS) * MIX
        mixed = (mixed ^ (mixed >> np.uint64(27))) * MIX_AGAIN
        found = np.minimum(found, mixed.min(axis=0))
    return found >> np.uint64(32)
