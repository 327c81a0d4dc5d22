"""Readers of histories and requests: files in, checked `Interaction`s and `Request`s out.

Readers stream (`jsonlines.py` holds one record at a time). Nothing broken passes: a field of the wrong kind is an error
that names file and line. A text that is blank is no error (someone wrote nothing); it is skipped and counted.

A format is one function from a record's fields to interactions (`formats.py`, `lamp.py`), entered in `FORMATS`. Knows
nothing of stores.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from copersona.runtime.common.errors import HistoryError
from copersona.runtime.common.progress import track
from copersona.runtime.history.checks import MAX_NAME, check_person, check_text, is_blank, kept_text
from copersona.runtime.history.formats import (
    Fields,
    MissingField,
    Reader,
    from_amazon2014,
    from_amazon2023,
    from_dpl,
    from_jsonl,
    needed,
    optional,
    read_metadata,
)
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.history.jsonlines import (
    Record,
    bad_line,
    count_lines,
    read_objects,
    read_records,
    starts_array,
)
from copersona.runtime.history.lamp import MissingGold, from_lamp, from_longlamp, read_questions
from copersona.runtime.history.markup import without_markup
from copersona.runtime.history.reading import LOOKS_LIKE, Outcome, Reading
from copersona.runtime.history.tally import Tally

FORMATS: dict[str, Reader] = {
    "jsonl": from_jsonl,
    "amazon2014": without_markup(from_amazon2014),
    "amazon2023": without_markup(from_amazon2023),
    "dpl": without_markup(from_dpl),
    "lamp": without_markup(from_lamp),
    "longlamp": without_markup(from_longlamp),
}

SHOWN = 2_000_000  # bytes of a file from which on it is shown how far the reading is
MAX_REQUESTS = 2_000_000  # of one file; their ids are held

SOURCES: dict[str, Callable[[Path | str], Iterator[Record]]] = {
    "dpl": read_records,
    "lamp": read_questions,
    "longlamp": read_questions,
}
"""Where a format's records come from, other than one JSON object a line."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load found: the interactions in the order of the files, and what it left out.

    Of `marks` of them marks were left out that no letter needs; `hidden` hold what shows nothing, which is kept and not
    read to a model.
    """

    interactions: tuple[Interaction, ...]
    skipped_empty: int
    bad: tuple[str, ...]
    marks: int = 0
    hidden: int = 0


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
    _reader(format)
    for outcome in _history(path, format, Tally()):
        if isinstance(outcome, HistoryError):
            raise outcome
        if outcome is not None:
            yield outcome


def load_history(
    paths: Iterable[Path | str], format: str = "jsonl", *, skip_bad: bool = False, metadata: Path | str | None = None
) -> Loaded:
    """The interactions of several files; with `skip_bad`, records that cannot be read are listed instead of raised.

    A `metadata` file names the items of interactions that have neither an input nor item words.

    Raises:
        HistoryError: a file that cannot be read at all; without `skip_bad`, the first bad record; with it, when no
            record was good; a metadata file that names none of the items.
    """
    reading = stream_history(paths, format, skip_bad=skip_bad, metadata=metadata)
    found = tuple(reading)
    return Loaded(found, reading.skipped_empty, tuple(reading.bad), reading.tally.marks, reading.tally.hidden)


def stream_history(
    paths: Iterable[Path | str],
    format: str = "jsonl",
    *,
    skip_bad: bool = False,
    metadata: Path | str | None = None,
    named: int | None = None,
    shown: bool = False,
) -> Reading:
    """The same, read while it is iterated and never held as a whole. Of bad records the first `named` are listed, None
    for all; with `shown`, stderr shows how far a large file is.

    Raises:
        HistoryError: no such format, or metadata that cannot be read; the rest as it is iterated.
    """
    _reader(format)
    products = None if metadata is None else read_metadata(metadata, skip_bad=skip_bad)
    tally = Tally()
    outcomes = _outcomes(paths, format, tally, shown)
    return Reading(outcomes, products, tally, skip_bad=skip_bad, named=named)


def read_requests(path: Path | str) -> Iterator[Request]:
    """The request lines of a batch file: `{"id": ..., "person": ... or null, "input": ...}`, each id once.

    Raises:
        HistoryError: on the first line (or file) that cannot be read.
    """
    for _, request in request_lines(path):
        if isinstance(request, HistoryError):
            raise request
        yield request


def request_lines(path: Path | str) -> Iterator[tuple[int, Request | HistoryError]]:
    """The same with line numbers; a line that is no request, or repeats an id, gives its error instead.

    Raises:
        HistoryError: the file cannot be read, or holds no line at all.
    """
    lines: dict[str, int] = {}
    number = 0
    for count, (number, fields) in enumerate(read_objects(path), start=1):
        if count > MAX_REQUESTS:
            raise HistoryError(f"{path}: more than {MAX_REQUESTS:,} requests, the most of one file; split it")
        try:
            if isinstance(fields, HistoryError):
                raise fields
            request = _request(fields)
            if request.id in lines:
                raise ValueError(f"the id {request.id!r} was used on line {lines[request.id]}; ids are unique")
        except HistoryError as error:
            yield number, error
        except ValueError as error:
            yield number, bad_line(path, number, str(error))
        else:
            lines[request.id] = number
            yield number, request
    if not number:
        raise HistoryError(f"{path}: holds no requests, expected one JSON object a line")


def history_line(interaction: Interaction) -> str:
    """The interaction as one line of our format; `read_history` gives it back unchanged."""
    names = ("person", "output", "input", "time", "item", "title", "rating", "words")
    fields = {name: getattr(interaction, name) for name in names}
    kept = {name: value for name, value in fields.items() if value is not None and value != ()}
    return json.dumps(kept, ensure_ascii=False, allow_nan=False)


def _reader(format: str) -> Reader:
    if format not in FORMATS:
        raise HistoryError(f"unknown format {format!r}, expected one of: {', '.join(sorted(FORMATS))}")
    return FORMATS[format]


def _lines(path: Path | str) -> Iterator[Record]:
    """One JSON object a line."""
    for number, fields in read_objects(path):
        yield f"{path}:{number}", fields


def _outcomes(paths: Iterable[Path | str], format: str, tally: Tally, shown: bool) -> Generator[Outcome, None, None]:
    for path in paths:
        yield from _history(path, format, tally, shown)


def _history(path: Path | str, format: str, tally: Tally, shown: bool = False) -> Generator[Outcome, None, None]:
    """Per interaction itself, None where its output is blank; of a bad record the error, and nothing else."""
    reader, rows = FORMATS[format], 0
    if format not in SOURCES:
        _refuse_array(path, reader)
    tally.path = path
    with closing(_records(path, format, shown)) as records:
        for where, fields in records:
            rows += 1
            if isinstance(fields, HistoryError):
                yield fields
                continue
            try:
                found = [None if is_blank(one.output) else tally.checked(one) for one in reader(fields)]
            except ValueError as error:
                hint = _looks_like(fields, reader) if isinstance(error, MissingField) else ""
                yield HistoryError(f"{where}: {error}{hint}")
                continue
            yield from found
    if not rows:
        raise HistoryError(f"{path}: holds no interactions, expected one JSON object a line")


def _records(path: Path | str, format: str, shown: bool) -> Generator[Record, None, None]:
    """The records; with `shown`, stderr shows how far it is where they take a while."""
    records = SOURCES.get(format, _lines)(path)
    with suppress(OSError):  # whoever reads the file says what is wrong with it
        if shown and os.stat(path).st_size >= SHOWN:
            lines = None if format in SOURCES else count_lines(path)
            records = track(records, f"{Path(path).name}: reading", lines)
    yield from records


def _refuse_array(path: Path | str, reader: Reader) -> None:
    """Raises HistoryError where JSON lines are expected and the file is an array in another format."""
    if starts_array(path):
        _, first = next(read_records(path), ("", None))
        hint = _looks_like(first, reader) if isinstance(first, dict) else ""
        if hint:
            raise HistoryError(f"{path}: this is a JSON array, expected one JSON object a line{hint}")


def _looks_like(fields: Fields, reader: Reader) -> str:
    """Which other format these fields would do for, as the end of an error message."""
    for name, other in FORMATS.items():
        if other is not reader:
            try:
                list(other(fields))
            except MissingGold:
                pass
            except ValueError:
                continue
            return LOOKS_LIKE.format(name)
    return ""


def _request(fields: Fields) -> Request:
    identifier, text, person = needed(fields, "id"), needed(fields, "input"), optional(fields, "person")
    if len(identifier) > MAX_NAME or is_blank(identifier):
        raise ValueError(f"'id': expected 1 to {MAX_NAME} characters")
    asked = kept_text("input", text)
    if is_blank(asked):
        raise ValueError("'input': expected text, found a blank one")
    check_text("id", identifier)
    return Request(identifier, None if person is None else check_person(person), asked)
