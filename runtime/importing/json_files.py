"""JSON of an export: large files read value by value, and fields of objects that may hold anything."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any

from copersona.runtime.common.errors import HistoryError, TooLarge
from copersona.runtime.history.checks import MAX_TIME
from copersona.runtime.history.jsonlines import MAX_LINES, Window
from copersona.runtime.importing.source import Source

TO_ARRAY = 4096  # characters, at most, before an array in a script


def values(source: Source, name: str, into: frozenset[str] = frozenset({""})) -> Iterator[tuple[str, Any]]:
    """The values of a JSON file in its order, each with its path: keys with dots between, [] for an element.

    Those whose path is in `into` are gone into and never held as a whole; "" is the file's own value.

    Raises:
        HistoryError: no JSON, cut, nested too deeply, or a value that is too long.
    """
    where = source.where(name)
    with source.open(name) as file:
        window = Window(where, file)
        yield from _values(window, where, into, "")
        if window.peek():
            raise HistoryError(f"{where}: there is text after the end of the JSON")


def script_values(source: Source, name: str) -> Iterator[Any]:
    """The elements of the array that a script assigns to a variable. Raises HistoryError as `values`."""
    where = source.where(name)
    with source.open(name) as file:
        start = file.peek(TO_ARRAY)[:TO_ARRAY].find(b"[")
        if start < 0 or b"=" not in file.read(start):
            raise HistoryError(f"{where}: expected a variable that an array is assigned to")
        for path, value in _values(Window(where, file), where, frozenset({""}), ""):
            if path:
                yield value


def _values(window: Window, where: str, into: frozenset[str], path: str) -> Iterator[tuple[str, Any]]:
    opening = window.peek()
    if path not in into or opening not in ("{", "["):
        yield path, window.value(f"{where}: {path}" if path else where)
        return
    window.next()
    closing, number = ("}" if opening == "{" else "]"), 0
    if window.peek() == closing:
        window.next()
        return
    while True:
        number += 1
        if number > MAX_LINES:
            raise TooLarge(f"{where}: more than {MAX_LINES:,} values in one list, the most of one file")
        below = f"{path}[]"
        if opening == "{":
            name = window.value(where)
            if not isinstance(name, str) or window.next() != ":":
                raise HistoryError(f"{where}: not JSON: expected a name and a colon in {path or 'the object'}")
            below = f"{path}.{name}" if path else name
        yield from _values(window, where, into, below)
        if (follows := window.next()) == closing:
            return
        if follows != ",":
            raise HistoryError(
                f"{where}: expected a comma or {closing} after value {number}, found {follows or 'the end'!r}"
            )


def name_in(source: Source, name: str, *keys: str) -> str | None:
    """The text at these keys of a small file that says whose an export is; None where it cannot be read."""
    try:
        found = [value for path, value in values(source, name, frozenset()) if not path]
    except HistoryError:
        return None
    return text_at(found[0], *keys) if found else None


def text_at(fields: Any, *keys: str) -> str | None:
    """The text at these keys, one inside the other; None where there is none."""
    found = value_at(fields, *keys)
    return found if isinstance(found, str) else None


def value_at(fields: Any, *keys: str) -> Any:
    """The value at these keys, None where there is none."""
    for name in keys:
        fields = fields.get(name) if isinstance(fields, dict) else None
    return fields


def first_text(fields: Any, keys: Sequence[str]) -> str | None:
    """The first text that is not blank at one of the keys."""
    return next((found for name in keys if (found := text_at(fields, name)) and found.strip()), None)


def list_at(fields: Any, *keys: str) -> list[Any]:
    """The list at these keys, empty where there is none."""
    found = value_at(fields, *keys)
    return found if isinstance(found, list) else []


def time_of(value: Any, zone: tzinfo = UTC, unit: float = 1.0) -> float | None:
    """Seconds since 1970 from a count (of `unit` seconds) or ISO 8601; None where it is neither, or of no year."""
    if isinstance(value, str):
        value = value.strip()
        try:
            found = datetime.fromisoformat(value.removesuffix(" UTC") + ("Z" if value.endswith(" UTC") else ""))
            return (found if found.tzinfo else found.replace(tzinfo=zone)).timestamp()
        except (ValueError, OverflowError):
            try:
                value = float(value)
            except ValueError:
                return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    seconds = float(value) * unit
    return seconds if math.isfinite(seconds) and 0 < seconds <= MAX_TIME else None
