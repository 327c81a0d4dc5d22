"""Files of JSON lines, or of one JSON array, to objects: streaming, with bounded memory, every fault named by place.

Plain, gzip or xz, told by the first bytes and not by the name. A line is at most 4 MiB and a record of an array at most
32 Mi characters; a longer one is refused there, also where it is a bomb of a few compressed bytes. The file itself may
be of any size, up to MAX_LINES lines; what compressed ones may take is in `packed.py`. Knows nothing of what the
objects mean.
"""

from __future__ import annotations

import codecs
import contextlib
import gzip
import json
import lzma
import math
import os
import re
import stat
import zlib
from collections.abc import Iterator
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Any, NoReturn

from copersona.runtime.common.errors import HistoryError, TooLarge, UnknownKind
from copersona.runtime.history.packed import unpacked

BLANKS = re.compile(r"[ \t\r\n]*")
MAX_LINE = 4 * 1024 * 1024  # bytes of one line, its end aside
MAX_RECORD = 32 * 1024 * 1024  # characters of one record of a JSON array
MAX_LINES = 50_000_000  # lines of one file, or records of one array
MAX_BLANK = 5_000_000  # of them, blank ones
MAX_BAD = 1_000_000  # records that cannot be read and are listed
CHUNK = 1024 * 1024

Record = tuple[str, dict[str, Any] | HistoryError]
"""Where it stands (`file:line`, or `file: record n` of an array), and the object or what is wrong with it."""


def bad_line(path: Path | str, number: int, problem: str) -> HistoryError:
    """The error of one line, for the caller to raise or to collect."""
    return HistoryError(f"{path}:{number}: {problem}")


def read_objects(path: Path | str) -> Iterator[tuple[int, dict[str, Any] | HistoryError]]:
    """Line number and object of every line that is not blank; a line that holds no object, or is too long, gives its
    error instead.

    Raises:
        HistoryError: the file is missing, no text, or damaged.
    """
    for number, raw in _lines(str(path)):
        try:
            yield number, raw if isinstance(raw, HistoryError) else _object(raw)
        except ValueError as error:
            yield number, bad_line(path, number, str(error))


def read_records(path: Path | str) -> Iterator[Record]:
    """The objects of JSON lines or of one JSON array, told by the first character.

    Raises:
        HistoryError: as `read_objects`; or the array is broken at a record, so that the next one cannot be found.
    """
    if starts_array(path):
        with opened(str(path)) as file:
            window = Window(str(path), file)
            yield from array_records(str(path), window)
            if window.peek():
                raise HistoryError(f"{path}: there is text after the end of the array")
        return
    for number, value in read_objects(path):
        yield f"{path}:{number}", value


def starts_array(path: Path | str) -> bool:
    """Whether the file's first character that is no blank is a [. Raises HistoryError as `read_objects`."""
    with opened(str(path)) as file:
        return file.read(4096).removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"[")


def count_lines(path: Path | str) -> int | None:
    """How many lines a plain file has; None where it is compressed, which would have to be undone for it. Raises
    HistoryError."""
    with opened(str(path)) as file:
        if not isinstance(file.raw, FileIO):
            return None
        count, last = 0, b"\n"
        while chunk := file.read(CHUNK):
            count, last = count + chunk.count(b"\n"), chunk
        return count + (not last.endswith(b"\n"))


def read_object(path: Path | str, limit: int) -> dict[str, Any]:
    """The one JSON object of a whole file of at most `limit` bytes. Raises HistoryError."""
    with opened(str(path)) as file:
        raw = file.read(limit + 1)
    if len(raw) > limit:
        raise TooLarge(f"{path}: larger than {limit:,} bytes, the most that is read of such a file")
    try:
        return _object(raw.removeprefix(codecs.BOM_UTF8))
    except ValueError as error:
        raise HistoryError(f"{path}: {error}") from None


def listed(bad: list[str], problem: str, path: Path | str) -> None:
    """Add one to the list of records that are left out. Raises HistoryError where they are too many."""
    bad.append(problem)
    if len(bad) > MAX_BAD:
        raise TooLarge(f"{path}: more than {MAX_BAD:,} records cannot be read; the first: {bad[0]}")


@contextlib.contextmanager
def opened(path: str) -> Iterator[BufferedReader]:
    """The file as a stream of uncompressed bytes that starts like text. Raises HistoryError, also while it is read."""
    with readable(path), contextlib.ExitStack() as stack:
        yield _open(path, stack)


@contextlib.contextmanager
def readable(path: str) -> Iterator[None]:
    """What goes wrong with a file that is read, compressed or not, as HistoryError."""
    try:
        yield
    except FileNotFoundError:
        raise HistoryError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise HistoryError(f"{path}: this is a folder, expected a file") from None
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise HistoryError(f"{path}: the compressed file is cut or damaged ({error})") from None
    except OSError as error:
        raise HistoryError(f"{path}: cannot be read ({error.strerror or error})") from None


def _lines(path: str) -> Iterator[tuple[int, bytes | HistoryError]]:
    with opened(path) as file:
        number = blank = 0
        while raw := file.readline(MAX_LINE + 2):
            number += 1
            if number > MAX_LINES:
                raise TooLarge(f"{path}: more than {MAX_LINES:,} lines, the most of one file; split it")
            if len(raw.rstrip(b"\r\n")) > MAX_LINE:
                yield number, bad_line(path, number, f"longer than {MAX_LINE:,} bytes, expected one record a line")
                while raw and not raw.endswith(b"\n"):  # asked for the next line: past the rest of this one
                    raw = file.readline(CHUNK)
                continue
            raw = raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw
            if raw.strip():
                yield number, raw
            elif (blank := blank + 1) > MAX_BLANK:
                raise TooLarge(f"{path}: more than {MAX_BLANK:,} blank lines, the most of one file; cut them out")


def _open(path: str, stack: contextlib.ExitStack) -> BufferedReader:
    if not stat.S_ISREG(mode := os.stat(path).st_mode) and not stat.S_ISDIR(mode):
        raise HistoryError(f"{path}: a pipe or a device, which can be read only once; write it to a file first")
    plain = stack.enter_context(open(path, "rb"))  # noqa: SIM115
    file = unpacked(path, plain)
    head = file.peek(4096)[:4096]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise HistoryError(f"{path}: this is UTF-16 text, expected UTF-8")
    if b"\x00" in head:
        raise UnknownKind(f"{path}: this is a binary file, expected JSON lines (plain, gzip or xz)")
    return file


def _object(raw: bytes) -> dict[str, Any]:
    """The one object of a line. Raises ValueError saying what is there instead."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start + 1} is not UTF-8") from None
    try:
        value = _JSON.decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at character {error.pos + 1}{_hint(text)}") from None
    except RecursionError:
        raise ValueError("not JSON that can be read: nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, found {text.strip()[:20]!r}")
    return value


def _hint(text: str) -> str:
    start = text.lstrip()[:2]
    if start == "{'":
        return " (this looks like a Python literal; write strict JSON)"
    return " (this looks like a JSON array; write one object a line)" if start[:1] == "[" else ""


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number, expected a finite one")


_JSON = json.JSONDecoder(parse_constant=_no_constant)  # once: `json.loads` makes one for every line


# -- arrays ---------------------------------------------------------------------------------------------------------


def array_records(path: str, window: Window) -> Iterator[Record]:
    """The objects of the array whose [ is next in the window. Raises HistoryError where it is broken at a record."""
    window.next()
    if window.peek() == "]":
        window.next()
    else:
        number, follows = 0, ","
        while follows == ",":
            number += 1
            if number > MAX_LINES:
                raise TooLarge(f"{path}: more than {MAX_LINES:,} records, the most of one file; split it")
            where = f"{path}: record {number}"
            value = window.value(where)
            what = f"expected a JSON object, found {str(value)[:20]!r}"
            yield where, value if isinstance(value, dict) else HistoryError(f"{where}: {what}")
            follows = window.next()
        if follows != "]":
            raise HistoryError(f"{where}: expected a comma or the end of the array after it, found {follows!r}")


class Window:
    """The part of a file's text that is being parsed. Numbers that are none (NaN, too many digits) become NaN or
    infinity here, so that only their record is refused, by whoever reads them."""

    def __init__(self, path: str, file: BufferedReader) -> None:
        self._path, self._file = path, file
        self._utf8 = codecs.getincrementaldecoder("utf-8-sig")()
        self._json = json.JSONDecoder(parse_int=lambda digits: int(digits) if len(digits) < 400 else math.inf)
        self._text, self._at, self._ended = "", 0, False

    def peek(self) -> str:
        """The next character that is no blank, "" at the end."""
        while True:
            self._at = BLANKS.match(self._text, self._at).end()  # type: ignore[union-attr]  # it matches nothing too
            if self._at < len(self._text) or self._ended:
                return self._text[self._at : self._at + 1]
            self._more()

    def next(self) -> str:
        """The same, and past it."""
        found = self.peek()
        self._at += len(found)
        return found

    def value(self, where: str) -> Any:
        """The JSON value that is next. Raises HistoryError."""
        self.peek()
        while True:
            problem = ""
            try:
                value, end = self._json.raw_decode(self._text, self._at)
                if end < len(self._text) or self._ended:
                    self._at = end
                    return value
            except json.JSONDecodeError as error:
                problem = f"not JSON: {error.msg} at its character {error.pos - self._at + 1}"
                start = self._text[self._at : self._at + 2]
                problem += _hint(start) if start[:1] == "{" else ""
            except RecursionError:
                raise HistoryError(f"{where}: not JSON that can be read: nested too deeply") from None
            if self._ended:
                raise HistoryError(f"{where}: {problem}")
            if len(self._text) - self._at > MAX_RECORD:
                raise HistoryError(f"{where}: {problem or 'a number'}, or longer than {MAX_RECORD:,} characters")
            self._more()

    def _more(self) -> None:
        """Forget what is parsed and read at least as much again as is left, so that the work stays linear."""
        rest = self._text[self._at :]
        raw = self._file.read(max(CHUNK, len(rest)))
        self._ended = not raw
        try:
            self._text, self._at = rest + self._utf8.decode(raw, final=not raw), 0
        except UnicodeDecodeError:
            raise HistoryError(f"{self._path}: holds bytes that are not UTF-8") from None
