"""What a person's name and an interaction must be before they may be kept; importers and the store share these.

Each check returns the value as it is kept, or raises ValueError with the end of a message; the caller adds where.
"""

from __future__ import annotations

import functools
import math
import unicodedata
from dataclasses import replace
from typing import TypeVar

from copersona.runtime.common.composed import bounded_marks
from copersona.runtime.history.interactions import MAX_TEXT, Interaction, clean_text

T = TypeVar("T", str, str | None)

MAX_NAME = 200  # characters of a person's name
APART = 4  # characters, at most, that one is taken apart to in another Unicode form
MAX_TIME = 253_402_300_799  # the last second of the year 9999
MIN_TIME = -62_135_596_800  # the first second of the year 1


def is_blank(text: str) -> bool:
    """Nothing but blanks, control characters and what is hidden."""
    start = text[:100]
    return not any(map(str.isalnum, start)) and not clean_text(start) and not clean_text(text)


def check_person(name: str) -> str:
    """A person's name as it is kept: NFC, no blanks around it.

    Raises:
        ValueError: empty, longer than 200 characters, or with control characters or lone surrogates.
    """
    kept = name.strip()
    if len(kept) > APART * MAX_NAME:  # before anything that takes longer
        raise ValueError(f"the person's name has {len(kept):,} characters, expected 1 to {MAX_NAME}")
    return _checked_name(kept)


@functools.lru_cache(maxsize=1024)  # who wrote one line wrote others
def _checked_name(name: str) -> str:
    kept = unicodedata.normalize("NFC", name).strip()
    if any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in kept):
        raise ValueError("the person's name holds control characters")
    if not 1 <= len(kept) <= MAX_NAME:
        raise ValueError(f"the person's name has {len(kept)} characters, expected 1 to {MAX_NAME}")
    return kept


def check_interaction(one: Interaction) -> Interaction:
    """The interaction as it is kept: name in NFC, marks bounded, numbers as floats, everything storable as UTF-8.

    Raises:
        ValueError: a bad name, a blank output, a text that is too long or no Unicode, a number that is not finite.
    """
    output, given = kept_text("output", one.output), kept_text("input", one.input)
    item, title = kept_text("item", one.item), kept_text("title", one.title)
    words = tuple([kept_text("words", word) for word in one.words])
    if is_blank(output):
        raise ValueError("the output is blank")
    if item is not None and is_blank(item):
        raise ValueError("'item': expected an id, found blanks or control characters only")
    time = None if one.time is None else seconds("time", float(one.time))
    rating = None if one.rating is None else finite("rating", float(one.rating))
    person = check_person(one.person)
    texts = (person, output, given, item, title, words)
    same = texts == (one.person, one.output, one.input, one.item, one.title, one.words)
    if same and time is one.time and rating is one.rating:
        return one  # as most are, the second time: `replace` takes longer than all checks
    return replace(
        one, person=person, output=output, input=given, item=item, title=title, time=time, rating=rating, words=words
    )


def kept_text(name: str, text: T) -> T:
    """The text as it is kept, without marks that no letter needs. Raises ValueError as `check_text`."""
    check_text(name, text)
    return text if text is None or text.isascii() else bounded_marks(text)


def check_text(name: str, text: str | None) -> None:
    """Raises ValueError where the text is too long or cannot be written as UTF-8."""
    if text is None:
        return
    if len(text) > MAX_TEXT:
        raise ValueError(f"{name!r}: {len(text):,} characters, expected at most {MAX_TEXT:,}")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"{name!r}: a lone surrogate (half a character) at character {error.start}") from None


def finite(key: str, number: float) -> float:
    """The number unchanged. Raises ValueError where it is NaN or infinite."""
    if not math.isfinite(number):
        raise ValueError(f"{key!r}: expected a finite number, found {number}")
    return number


def seconds(key: str, number: float) -> float:
    """The time unchanged. Raises ValueError where it is no moment of the years 1 to 9999."""
    if not MIN_TIME <= finite(key, number) <= MAX_TIME:
        raise ValueError(f"{key!r}: {number:g} is no time in seconds since 1970 (are these milliseconds?)")
    return number
