"""All that a file gives, read at once: what would be kept, and what is left out for which reason. Keeps nothing."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from copersona.runtime.common.errors import HistoryError, TooLarge
from copersona.runtime.history.importers import history_line
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.history.tally import Tally
from copersona.runtime.importing.export import EVERY, Export
from copersona.runtime.importing.records import EMPTY, UNREADABLE
from copersona.runtime.importing.wish import Wish

MOST_TEXTS, MOST_CHARACTERS = 200_000, 200_000_000  # of one file; all of it is held
OURS = "copersona's own lines"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Records that gave no text: why, how many, and what stands in the first one."""

    reason: str
    count: int
    example: str


@dataclass(frozen=True, slots=True)
class Taken:
    """What would be kept of a file. `format` was recognised, `title` is the program's name; `weak` of the texts support
    a facet weakly at most; `outside` names led out of the file and were passed over."""

    format: str
    title: str
    interactions: tuple[Interaction, ...]
    weak: int
    left: tuple[LeftOut, ...]
    outside: int
    tally: Tally

    @property
    def people(self) -> Counter[str]:
        """Texts by person."""
        return Counter(one.person for one in self.interactions)

    @property
    def span(self) -> tuple[float, float] | None:
        """The first and the last time, None where there are none."""
        times = [one.time for one in self.interactions if one.time is not None]
        return (min(times), max(times)) if times else None

    @property
    def digest(self) -> str:
        """Hash of everything that would be kept, by which it is known again."""
        whole = hashlib.sha256()
        for one in self.interactions:
            whole.update(history_line(one).encode("utf-8") + b"\n")
        return whole.hexdigest()


def take(path: Path, wish: Wish, go_on: Callable[[], None] = lambda: None) -> Taken:
    """Read a file as `copersona people import` does. `go_on` is called now and then, and may raise to end it.

    Raises:
        HistoryError: it cannot be read, or is more than is held at once.
        Unclear: more has to be said of it.
    """
    if not wish.is_export(path):
        return _of_history(path, wish, go_on)
    with wish.export(path) as export:
        return _of_export(export, go_on)


def _of_export(export: Export, go_on: Callable[[], None]) -> Taken:
    export.tell = lambda done, said: go_on()
    kept, found = tuple(_bounded(iter(export), export.source.path, go_on)), export.found
    left = tuple(LeftOut(why, count, found.examples.get(why, "")) for why, count in found.left.most_common())
    if not kept:
        raise HistoryError(f"{export.source.path}: nothing of it is evidence; {found.reasons()}")
    return Taken(export.format.name, export.format.title, kept, found.typed, left, export.source.outside, export.tally)


def _of_history(path: Path, wish: Wish, go_on: Callable[[], None]) -> Taken:
    reading = wish.history(path)
    kept = tuple(_bounded(iter(reading), path, go_on))
    bad = "".join(reading.bad[:1]).replace(f"{path}:", "line ")
    left = (LeftOut(EMPTY, reading.skipped_empty, ""), LeftOut(UNREADABLE, reading.bad_records, bad))
    if not kept:
        raise HistoryError(f"{path}: holds no text")
    title = OURS if wish.history_format == "jsonl" else wish.history_format
    return Taken(wish.history_format, title, kept, 0, tuple(one for one in left if one.count), 0, reading.tally)


def _bounded(interactions: Iterator[Interaction], path: Path, go_on: Callable[[], None]) -> Iterator[Interaction]:
    characters = 0
    for number, one in enumerate(interactions):
        characters += len(one.output) + len(one.input or "")
        if number >= MOST_TEXTS or characters > MOST_CHARACTERS:
            raise TooLarge(f"{path}: more texts than are taken in at once; `copersona people import` takes any number")
        if not number % EVERY:
            go_on()
        yield one
