"""Readers of histories and requests: files in, checked `Interaction`s and `Request`s out.

Readers stream (`jsonlines.py` holds one line at a time). Nothing broken passes: a field of the wrong kind is an error
that names file and line. A line whose output is blank is no error (someone wrote nothing); it is skipped and counted.

A format is one function from a line's fields to interactions, entered in `FORMATS`. Knows nothing of stores.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from copersona.runtime.checks import MAX_NAME, check_interaction, check_person, check_text, finite, is_blank, seconds
from copersona.runtime.errors import HistoryError
from copersona.runtime.interactions import Interaction
from copersona.runtime.jsonlines import bad_line, read_objects

Fields = Mapping[str, Any]
"""One JSON object of a file."""

Reader = Callable[[Fields], Iterable[Interaction]]
"""One line's fields to interactions; raises ValueError, or `MissingField` where a required key is not there."""


class MissingField(ValueError):
    """A required key is not there: perhaps the file is in another format."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load found: the interactions in the order of the files, and what it left out."""

    interactions: tuple[Interaction, ...]
    skipped_empty: int
    bad: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """One line of a batch: what to answer, and as whom (None: as nobody in particular)."""

    id: str
    person: str | None
    input: str


def read_history(path: Path | str, format: str = "jsonl") -> Iterator[Interaction]:
    """The interactions of one file, in its order, those with a blank output left out.

    Raises:
        HistoryError: on the first line (or file) that cannot be read; the message starts with `file:line`.
    """
    for outcome in _history(path, _reader(format)):
        if isinstance(outcome, HistoryError):
            raise outcome
        if outcome is not None:
            yield outcome


def load_history(paths: Iterable[Path | str], format: str = "jsonl", *, skip_bad: bool = False) -> Loaded:
    """The interactions of several files; with `skip_bad`, lines that cannot be read are listed instead of raised.

    Raises:
        HistoryError: a file that cannot be read at all; without `skip_bad`, the first bad line;
            with it, when no line was good.
    """
    reader = _reader(format)
    good: list[Interaction] = []
    bad: list[str] = []
    empty = 0
    for path in paths:
        for outcome in _history(path, reader):
            if isinstance(outcome, Interaction):
                good.append(outcome)
            elif outcome is None:
                empty += 1
            elif skip_bad:
                bad.append(str(outcome))
            else:
                raise outcome
    if bad and not good:
        raise HistoryError(f"none of {len(bad)} lines could be read; the first: {bad[0]}")
    return Loaded(tuple(good), empty, tuple(bad))


def read_requests(path: Path | str) -> Iterator[Request]:
    """The request lines of a batch file: `{"id": ..., "person": ... or null, "input": ...}`, each id once.

    Raises:
        HistoryError: on the first line (or file) that cannot be read.
    """
    lines: dict[str, int] = {}
    for number, fields in read_objects(path):
        if isinstance(fields, HistoryError):
            raise fields
        try:
            request = _request(fields)
        except ValueError as error:
            raise bad_line(path, number, str(error)) from None
        if request.id in lines:
            raise bad_line(path, number, f"the id {request.id!r} was used on line {lines[request.id]}; ids are unique")
        lines[request.id] = number
        yield request
    if not lines:
        raise HistoryError(f"{path}: holds no requests, expected one JSON object a line")


def history_line(interaction: Interaction) -> str:
    """The interaction as one line of our format; `read_history` gives it back unchanged."""
    names = ("person", "output", "input", "time", "item", "title", "rating", "words")
    fields = {name: getattr(interaction, name) for name in names}
    kept = {name: value for name, value in fields.items() if value is not None and value != ()}
    return json.dumps(kept, ensure_ascii=False, allow_nan=False)


# -- formats --------------------------------------------------------------------------------------------------------


def _from_jsonl(fields: Fields) -> Iterator[Interaction]:
    """Our own lines."""
    yield Interaction(
        person=_needed(fields, "person"),
        output=_needed(fields, "output"),
        input=_text(fields, "input"),
        time=_time(fields, "time"),
        item=_text(fields, "item"),
        title=_text(fields, "title"),
        rating=_number(fields, "rating"),
        words=_words(fields, "words"),
    )


def _from_amazon2014(fields: Fields) -> Iterator[Interaction]:
    """Amazon reviews as published in 2014, the strict JSON form."""
    yield Interaction(
        person=_needed(fields, "reviewerID"),
        output=_needed(fields, "reviewText"),
        time=_time(fields, "unixReviewTime"),
        item=_text(fields, "asin"),
        title=_text(fields, "summary"),
        rating=_number(fields, "overall"),
    )


FORMATS: dict[str, Reader] = {"jsonl": _from_jsonl, "amazon2014": _from_amazon2014}


def _reader(format: str) -> Reader:
    if format not in FORMATS:
        raise HistoryError(f"unknown format {format!r}, expected one of: {', '.join(sorted(FORMATS))}")
    return FORMATS[format]


def _history(path: Path | str, reader: Reader) -> Iterator[Interaction | HistoryError | None]:
    """Per record the interaction, None where its output is blank, or the error of a bad line."""
    rows = 0
    for number, fields in read_objects(path):
        rows += 1
        if isinstance(fields, HistoryError):
            yield fields
            continue
        try:
            for interaction in reader(fields):
                yield None if is_blank(interaction.output) else check_interaction(interaction)
        except ValueError as error:
            hint = _looks_like(fields, reader) if isinstance(error, MissingField) else ""
            yield bad_line(path, number, f"{error}{hint}")
    if not rows:
        raise HistoryError(f"{path}: holds no interactions, expected one JSON object a line")


def _looks_like(fields: Fields, reader: Reader) -> str:
    """Which other format these fields would do for, as the end of an error message."""
    for name, other in FORMATS.items():
        if other is not reader:
            try:
                list(other(fields))
            except ValueError:
                continue
            return f" (this looks like the format {name!r})"
    return ""


def _request(fields: Fields) -> Request:
    identifier, text, person = _needed(fields, "id"), _needed(fields, "input"), _text(fields, "person")
    if is_blank(identifier) or len(identifier) > MAX_NAME:
        raise ValueError(f"'id': expected 1 to {MAX_NAME} characters")
    if is_blank(text):
        raise ValueError("'input': expected text, found a blank one")
    return Request(identifier, None if person is None else check_person(person), text)


# -- fields ---------------------------------------------------------------------------------------------------------


def _needed(fields: Fields, key: str) -> str:
    text = _text(fields, key)
    if text is None:
        raise MissingField(f"{key!r} is missing, expected text")
    return text


def _text(fields: Fields, key: str) -> str | None:
    value = fields.get(key)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{key!r}: expected text, found {_kind(value)}")
    check_text(key, value)
    return value


def _words(fields: Fields, key: str) -> tuple[str, ...]:
    value = fields.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise ValueError(f"{key!r}: expected a list of texts, found {_kind(value)}")
    return tuple(value)


def _number(fields: Fields, key: str) -> float | None:
    value = fields.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{key!r}: expected a number, found {_kind(value)}")
    try:
        return finite(key, float(value))
    except OverflowError:
        raise ValueError(f"{key!r}: the number is too large") from None


def _time(fields: Fields, key: str) -> float | None:
    """Seconds since 1970, from a number or from ISO 8601 (UTC where it names no zone)."""
    value = fields.get(key)
    if not isinstance(value, str):
        number = _number(fields, key)
        return None if number is None else seconds(key, number)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(f"{key!r}: expected seconds or ISO 8601, found {value[:40]!r}") from None
    return seconds(key, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _kind(value: object) -> str:
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}
    return kinds.get(type(value), "null")
