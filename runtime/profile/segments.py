"""Words and sentences of texts in any script, by the properties that Unicode gives its characters.

A word is a run of letters, marks and digits. Where a script puts no blanks between words (Chinese, Japanese, Thai, ...)
each two neighbouring characters count as a word: they overlap, so that two texts which share a word share pieces.
Nothing longer than that leaves such a text as a word. English words and sentences are what they always were here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import regex

UNSPACED = (
    "Han Hiragana Katakana Bopomofo Yi Thai Lao Khmer Myanmar Tai_Le New_Tai_Lue Tai_Tham Tai_Viet Balinese "
    "Javanese".split()
)  # scripts without blanks between words

_PLAIN = re.compile(r"[A-Za-z0-9]+(?:'[A-Za-z0-9]+)*")
_LETTER = r"[\p{L}\p{N}]"
_MARK = r"[[\p{Mn}\p{Mc}]--\p{Variation_Selector}]"
_DENSE = "".join(rf"\p{{scx={script}}}" for script in UNSPACED)
_UNIT = rf"[[{_DENSE}]&&{_LETTER}]{_MARK}*"  # a character of a dense script as it is seen
_SPACED = rf"[{_LETTER}--[{_DENSE}]]"
_JOINED = rf"(?:{_SPACED}|{_MARK}|[\u200c\u200d](?={_LETTER}))"
WORD = rf"(?V1)(?P<dense>(?:{_UNIT})+)|{_SPACED}{_JOINED}*(?:['’]{_SPACED}{_JOINED}*)*"
UNIT = rf"(?V1){_UNIT}"
HAN = r"\p{Script=Han}"
LETTERS = r"(?V1)[\p{L}\p{Mn}\p{Mc}\u200c\u200d]+"
MARKS = r"(?V1)[\p{Mn}\p{Mc}\u200c\u200d]"

_CLOSING = r"[\"'’”»)\]」』）】]"
_STOP = r"[\p{Sentence_Terminal}--[\x00-\x7f\u2000-\u206f]]"  # in the scripts that have marks of their own
_CLAUSE = r"[\p{Thai}\p{Lao}]"  # here a blank ends a sentence
_BLANK = r"[\s\x1c-\x1f]"  # `re` counts these separators among blanks, `regex` does not
_PLAIN_END = rf"(?<=[.!?…])[\"')\]]*{_BLANK}+|(?<=[a-z][.!?])(?=[A-Z])|\n+"
PLAIN_END = re.compile(_PLAIN_END)
SENTENCE_END = (
    rf"(?V1){_PLAIN_END}"
    rf"|(?<={_STOP}{_CLOSING}{{0,3}})(?!{_STOP}|{_CLOSING})\s*|(?<={_CLAUSE}{_MARK}{{0,4}})\s+(?={_CLAUSE})"
)


@cache
def pattern(text: str) -> regex.Pattern[str]:
    """One of the patterns of above, compiled when a text first needs it: that takes as long as opening a bundle."""
    import regex

    return regex.compile(text)


def raw_words(text: str) -> list[str]:
    """The words as they are written."""
    if text.isascii():
        return _PLAIN.findall(text)
    runs = pattern(WORD).finditer(text)
    return [word for run in runs for word in (_pairs(run[0]) if run["dense"] else (run[0],))]


def words_of(text: str) -> list[str]:
    """Lower-cased words; a straight apostrophe for a curly one."""
    return [word.lower().replace("’", "'") for word in raw_words(text)]


def terms_of(text: str) -> list[str]:
    """What a text can be found by: its words, and of Han each character too, which may be a whole word."""
    if text.isascii():
        return words_of(text)
    runs = (found["dense"] for found in pattern(WORD).finditer(text) if found["dense"])
    alone = (unit for run in runs if len(units := pattern(HAN).findall(run)) > 1 for unit in units)
    return [*words_of(text), *alone]


def sentences_of(text: str) -> list[str]:
    """Sentences by the end marks of any script, line ends, and a full stop that is glued to the next capital; in Thai
    and Lao by blanks. Blanks around them stripped."""
    ends = PLAIN_END if text.isascii() else pattern(SENTENCE_END)
    return [part.strip() for part in ends.split(text) if part.strip()]


def all_letters(word: str) -> bool:
    """Whether a word is made of letters alone, with their marks."""
    return word.isalpha() or pattern(LETTERS).fullmatch(word) is not None


def letters(word: str) -> int:
    """How many characters a word has, not counting marks."""
    return len(word) if word.isascii() else len(pattern(MARKS).sub("", word))


def tells(word: str) -> bool:
    """Whether a word may say what a text is about: letters, three of them, two in a dense script."""
    return all_letters(word) and letters(word) >= (3 if word.isascii() or pattern(UNIT).match(word) is None else 2)


def _pairs(run: str) -> Iterator[str]:
    units = pattern(UNIT).findall(run)
    if len(units) == 1:
        yield run
    for first, second in pairwise(units):
        yield first + second
