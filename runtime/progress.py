"""A progress bar with the time left on a terminal; in a log, a line at the start, at the end and every half minute.

Everything goes to stderr: stdout belongs to the answers.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

T = TypeVar("T")
EVERY = 30.0  # seconds between two lines in a log


def track(iterable: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """The items of `iterable`, while stderr shows how far it is; `total` where the iterable has no length."""
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    return (_bar if sys.stderr.isatty() else _lines)(iterable, description, total)


def _bar(iterable: Iterable[T], description: str, total: int | None) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    text = TextColumn("{task.description}", markup=False)
    columns = (text, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield from progress.track(iterable, total=total, description=description)


def _lines(iterable: Iterable[T], description: str, total: int | None) -> Iterator[T]:
    of = "" if total is None else f" of {total:,}"
    sys.stderr.write(f"{description}{': 0' + of if total else ''} ...\n")
    done, start = 0, time.monotonic()
    said = start
    try:
        for item in iterable:
            yield item
            done += 1
            if (now := time.monotonic()) - said >= EVERY:
                left = f", about {_span((now - start) * (total / done - 1))} left" if total else ""
                sys.stderr.write(f"{description}: {done:,}{of} after {_span(now - start)}{left}\n")
                said = now
    finally:
        sys.stderr.write(f"{description}: {done:,}{of} in {time.monotonic() - start:.1f} s\n")


def _span(seconds: float) -> str:
    """Seconds as a person would say them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def note(line: str) -> None:
    """One line on stderr."""
    sys.stderr.write(f"{line}\n")
