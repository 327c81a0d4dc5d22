"""What a person's name and an interaction must be before they may be kept; importers and the store share these.

Each check returns the value as it is kept, or raises ValueError with the end of a message; the caller adds where.
"""

from __future__ import annotations

import functools
import math
import unicodedata
from dataclasses import replace

from copersona.runtime.history.interactions import MAX_TEXT, Interaction, clean_text

MAX_NAME = 200  # characters of a person's name
MAX_TIME = 253_402_300_799  # the last second of the year 9999
MIN_TIME = -62_135_596_800  # the first second of the year 1


def is_blank(text: str) -> bool:
    """Nothing but blanks and control characters."""
    return not clean_text(text[:100]) and not clean_text(text)


@functools.lru_cache(maxsize=1024)  # who wrote one line wrote others
def check_person(name: str) -> str:
    """A person's name as it is kept: NFC, no blanks around it.

    Raises:
        ValueError: empty, longer than 200 characters, or with control characters or lone surrogates.
    """
    kept = unicodedata.normalize("NFC", name).strip()
    if any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in kept):
        raise ValueError("the person's name holds control characters")
    if not 1 <= len(kept) <= MAX_NAME:
        raise ValueError(f"the person's name has {len(kept)} characters, expected 1 to {MAX_NAME}")
    return kept


def check_interaction(interaction: Interaction) -> Interaction:
    """The interaction as it is kept: name in NFC, numbers as floats, everything storable as UTF-8.

    Raises:
        ValueError: a bad name, a blank output, a text that is too long or no Unicode, a number that is not finite.
    """
    for name in ("output", "input", "item", "title"):
        check_text(name, getattr(interaction, name))
    for word in interaction.words:
        check_text("words", word)
    if is_blank(interaction.output):
        raise ValueError("the output is blank")
    if interaction.item is not None and is_blank(interaction.item):
        raise ValueError("'item': expected an id, found blanks or control characters only")
    time = None if interaction.time is None else seconds("time", float(interaction.time))
    rating = None if interaction.rating is None else finite("rating", float(interaction.rating))
    person = check_person(interaction.person)
    if person == interaction.person and time is interaction.time and rating is interaction.rating:
        return interaction  # as most are, the second time: `replace` takes longer than all checks
    return replace(interaction, person=person, time=time, rating=rating)


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
