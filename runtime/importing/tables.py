"""CSV files of an export: rows by the names of their columns, read as a stream."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping

from copersona.runtime.common.errors import HistoryError
from copersona.runtime.importing.lines import text_lines
from copersona.runtime.importing.source import Source

Row = Mapping[str, str]
MAX_COLUMNS = 500


def rows(source: Source, name: str) -> Iterator[Row]:
    """The rows, each by its header's names; a cell that is missing is empty.

    Raises:
        HistoryError: no CSV, a cell that is too long (131,072 characters), or another encoding.
    """
    where = source.where(name)
    reader = csv.reader(f"{line}\n" for line in text_lines(source, name))
    try:
        header = [column.strip() for column in next(reader, [])][:MAX_COLUMNS]
        for row in reader:
            if row:
                yield dict(zip(header, [*row, *[""] * (len(header) - len(row))], strict=False))
    except csv.Error as error:
        raise HistoryError(f"{where}: line {reader.line_num} is no CSV that can be read ({error})") from None


def columns(source: Source, name: str) -> frozenset[str]:
    """The names in a file's first line, none where it cannot be read."""
    start = source.head(name).decode("utf-8-sig", "ignore").partition("\n")[0]
    try:
        return frozenset(column.strip() for column in next(csv.reader([start]), []))
    except csv.Error:
        return frozenset()
