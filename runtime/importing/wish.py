"""What a person says of a file that they want read, in a command or on the page, and the file opened so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Literal

from copersona.runtime.common.errors import HistoryError
from copersona.runtime.history.importers import stream_history
from copersona.runtime.history.reading import Reading
from copersona.runtime.importing import recognise
from copersona.runtime.importing.export import Export
from copersona.runtime.importing.records import Given
from copersona.runtime.importing.source import Source

SAID_BAD = 1000  # bad records that are named
DATES = ("day-first", "month-first")


@dataclass(frozen=True, slots=True)
class Wish:
    """The options of `copersona people import`, by the same names."""

    format: str = "auto"
    me: tuple[str, ...] = ()
    person: str | None = None
    prompts: bool = False
    keep_junk: bool = False
    dates: Literal["day-first", "month-first"] | None = None
    zone: str | None = None
    without: tuple[str, ...] = ()
    skip_bad: bool = False
    metadata: Path | None = None

    def is_export(self, path: Path) -> bool:
        """Whether the file is another program's export; if not, it is a history. Raises HistoryError."""
        return self.format in recognise.FORMATS or (self.format == "auto" and recognise.is_export(path))

    @property
    def history_format(self) -> str:
        """The format of a history."""
        return "jsonl" if self.format == "auto" else self.format

    def history(self, path: Path, *, shown: bool = False) -> Reading:
        """The history in a file; with `shown`, stderr shows how far a large one is read. Raises HistoryError."""
        return stream_history(
            [path], self.history_format, skip_bad=self.skip_bad, metadata=self.metadata, named=SAID_BAD, shown=shown
        )

    @contextmanager
    def export(self, path: Path) -> Iterator[Export]:
        """The export in a file, a folder or a zip. Raises HistoryError; Unclear where more has to be said."""
        day_first = None if self.dates is None else self.dates == "day-first"
        given = Given(recognise.names(self.me), day_first, _zone(self.zone), self.without)
        who = self.person or (self.me[0] if self.me else None)
        with Source(path) as source:
            yield recognise.open_export(source, self.format, given, who, prompts=self.prompts, keep_junk=self.keep_junk)


def _zone(name: str | None) -> tzinfo:
    from zoneinfo import ZoneInfo

    try:
        return UTC if name is None else ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise HistoryError(f"--zone {name}: no such time zone here, expected a name such as Europe/Berlin") from None
