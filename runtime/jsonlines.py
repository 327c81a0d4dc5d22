"""Files of JSON lines to objects: streaming, with bounded memory, and every fault named by file and line.

Plain, gzip or xz, told by the first bytes and not by the name. A line is at most 4 MiB; a longer one is refused after
4 MiB, also where it is a bomb of a few compressed bytes. Knows nothing of what the objects mean.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import lzma
import zlib
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any, NoReturn

from copersona.runtime.errors import HistoryError

MAX_LINE = 4 * 1024 * 1024  # bytes of one line, its end aside

Opened = BufferedReader | gzip.GzipFile | lzma.LZMAFile


def bad_line(path: Path | str, number: int, problem: str) -> HistoryError:
    """The error of one line, for the caller to raise or to collect."""
    return HistoryError(f"{path}:{number}: {problem}")


def read_objects(path: Path | str) -> Iterator[tuple[int, dict[str, Any] | HistoryError]]:
    """Line number and object of every line that is not blank; a line that holds no object gives its error instead.

    Raises:
        HistoryError: the file is missing, no text, damaged, or holds a line that is too long to go on.
    """
    for number, raw in _lines(str(path)):
        try:
            yield number, _object(raw)
        except ValueError as error:
            yield number, bad_line(path, number, str(error))


def _lines(path: str) -> Iterator[tuple[int, bytes]]:
    with contextlib.ExitStack() as stack:
        try:
            file = _open(path, stack)
            number = 0
            while raw := file.readline(MAX_LINE + 2):
                number += 1
                if len(raw.rstrip(b"\r\n")) > MAX_LINE:
                    raise bad_line(path, number, f"longer than {MAX_LINE:,} bytes, expected one record a line")
                raw = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
                if raw.strip():
                    yield number, raw
        except FileNotFoundError:
            raise HistoryError(f"{path}: there is no such file") from None
        except IsADirectoryError:
            raise HistoryError(f"{path}: this is a folder, expected a file") from None
        except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
            raise HistoryError(f"{path}: the compressed file is cut or damaged ({error})") from None
        except OSError as error:
            raise HistoryError(f"{path}: cannot be read ({error.strerror or error})") from None


def _open(path: str, stack: contextlib.ExitStack) -> Opened:
    """The file as a stream of uncompressed bytes that starts like text."""
    plain = stack.enter_context(open(path, "rb"))  # noqa: SIM115
    start = plain.peek(6)[:6]
    file: Opened = plain
    if start.startswith(b"\x1f\x8b"):
        file = stack.enter_context(gzip.GzipFile(fileobj=plain))
    elif start == b"\xfd7zXZ\x00":
        file = stack.enter_context(lzma.LZMAFile(plain))  # noqa: SIM115
    head = file.peek(4096)[:4096]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise HistoryError(f"{path}: this is UTF-16 text, expected UTF-8")
    if b"\x00" in head:
        raise HistoryError(f"{path}: this is a binary file, expected JSON lines (plain, gzip or xz)")
    return file


def _object(raw: bytes) -> dict[str, Any]:
    """The one object of a line. Raises ValueError saying what is there instead."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start + 1} is not UTF-8") from None
    try:
        value = json.loads(text, parse_constant=_no_constant)
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
