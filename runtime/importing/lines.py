"""A file's lines as text: UTF-8, or UTF-16 with its mark; a long line is cut, its end is not read."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator

from copersona.runtime.common.errors import HistoryError
from copersona.runtime.importing.source import Source

MAX_LINE = 1 << 20  # characters of a line that are read
MAX_LINES = 50_000_000
MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def text_lines(source: Source, name: str) -> Iterator[str]:
    """The lines without their ends. Raises HistoryError: another encoding, or more than MAX_LINES."""
    where = source.where(name)
    with source.open(name) as file:
        wide = file.peek(2)[:2] in MARKS
        text = io.TextIOWrapper(file, encoding="utf-16" if wide else "utf-8-sig", newline=None)
        number = 0
        try:
            while line := text.readline(MAX_LINE):
                number += 1
                if number > MAX_LINES:
                    raise HistoryError(f"{where}: more than {MAX_LINES:,} lines, the most of one file; split it")
                yield line.rstrip("\n")
                while line and not line.endswith("\n"):
                    line = text.readline(MAX_LINE)
        except UnicodeError:
            raise HistoryError(
                f"{where}: line {number + 1} or one after it is not UTF-8; save the file as UTF-8"
            ) from None
        finally:
            text.detach()


def whole_text(source: Source, name: str, most: int) -> str | None:
    """The whole file as text; None where it is longer than `most` bytes. Raises HistoryError."""
    if source.size(name) > most:
        return None
    with source.open(name) as file:
        raw = file.read(most + 1)
    if len(raw) > most:
        return None
    try:
        return raw.decode("utf-16" if raw.startswith(MARKS) else "utf-8-sig")
    except UnicodeError:
        raise HistoryError(f"{source.where(name)}: is not UTF-8; save the file as UTF-8") from None
