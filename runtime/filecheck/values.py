"""Values that a bundle says, each checked to be of its kind and within bounds before it is reckoned or spoken with.

What comes from a bundle may enter a prompt, a store or an array's shape. Each check returns the value or raises
ValueError with the end of a message; the caller adds where.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from copersona.runtime.common.terminal import printable

MAX_LINE = 4_096  # characters, unless less is said
MAX_NUMBER = 1e12
BLOCK = 1 << 20  # numbers of an array that are looked at together


def line(what: str, value: object, most: int = MAX_LINE, *, blank: bool = False) -> str:
    """Text on one line without characters that move or hide others; it may stand in a prompt, and on a screen."""
    if not isinstance(value, str):
        raise ValueError(f"{what} is {shown(value)}, expected text")
    if not (value or blank) or len(value) > most:
        raise ValueError(f"{what} has {len(value):,} characters, expected {0 if blank else 1} to {most:,}")
    if not (value.isascii() and value.isprintable()) and (printable(value) != value or "\n" in value):
        raise ValueError(f"{what} is {shown(value)}, expected one line without control characters")
    return value


def word(what: str, value: object, most: int = 100) -> str:
    """A `line` without blanks in it."""
    text = line(what, value, most)
    if len(text.split()) != 1:
        raise ValueError(f"{what} is {shown(value)}, expected one word")
    return text


def text(what: str, value: object, most: int = MAX_LINE) -> str:
    """Text that may have several lines."""
    if not isinstance(value, str):
        raise ValueError(f"{what} is {shown(value)}, expected text")
    for part in value.split("\n"):
        line(what, part.replace("\t", " "), most, blank=True)
    if len(value) > most:
        raise ValueError(f"{what} has {len(value):,} characters, expected at most {most:,}")
    return value


def whole(what: str, value: object, low: int, high: int) -> int:
    """A whole number of this range; true and false are none."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{what} is {shown(value)}, expected a whole number from {low:,} to {high:,}")
    return value


def number(what: str, value: object, low: float = -MAX_NUMBER, high: float = MAX_NUMBER) -> float:
    """A finite number of this range; text and true are none."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{what} is {shown(value)}, expected a number from {low:g} to {high:g}")
    return float(value)


def listed(what: str, value: object, most: int) -> list[object]:
    """A list of at most so many entries."""
    if not isinstance(value, list) or len(value) > most:
        raise ValueError(f"{what} is {shown(value)}, expected a list of at most {most:,}")
    return value


def mapped(what: str, value: object) -> Mapping[str, object]:
    """An object of JSON."""
    if not isinstance(value, dict):
        raise ValueError(f"{what} is {shown(value)}, expected an object")
    return value


def rows(what: str, value: object, most: int) -> list[Any]:
    """A list of objects."""
    return [mapped(what, row) for row in listed(what, value, most)]


def lines(what: str, value: object, most: int, characters: int) -> tuple[str, ...]:
    """A list of lines, of which each may be empty."""
    return tuple(line(what, row, characters, blank=True) for row in listed(what, value, most))


def numbers(what: str, value: object, most: int) -> tuple[float, ...]:
    """A list of finite numbers."""
    return tuple(number(what, row) for row in listed(what, value, most))


def all_different(what: str, names: Iterable[str]) -> None:
    """No name stands there twice."""
    seen = set[str]()
    for name in names:
        if name in seen:
            raise ValueError(f"{what} {shown(name)} stands there twice; names must differ")
        seen.add(name)


def bounded(what: str, array: NDArray[np.float32], most: float) -> None:
    """All numbers of an array are finite and at most `most`; looked at block by block, so that a map stays one."""
    flat = array.reshape(-1)
    for start in range(0, len(flat), BLOCK):
        part = flat[start : start + BLOCK]
        low, high = float(part.min()), float(part.max())
        if not (math.isfinite(low) and math.isfinite(high) and -most <= low and high <= most):
            raise ValueError(f"{what} holds numbers that are not finite, or beyond {most:g}")


def shown(value: object) -> str:
    """A value in a message: short, on one line, whatever it is."""
    if isinstance(value, int) and abs(value) >= 10**18:
        return "a number of many digits"
    found = repr(value[:60] if isinstance(value, str | bytes | list) else value)
    return f"{found[:60]}..." if len(found) > 64 else found
