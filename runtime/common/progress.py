"""A progress bar with the time left on a terminal; in a log, a line at the start, at the end and every half minute.

Everything goes to stderr: stdout belongs to the answers.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TypeVar

from copersona.runtime.common.terminal import in_line, printable

T = TypeVar("T")
EVERY = 30.0  # seconds between two lines in a log


def track(iterable: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """The items of `iterable`, while stderr shows how far it is; `total` where the iterable has no length."""
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    return (_bar if sys.stderr.isatty() else _lines)(iterable, _fit(description), total)


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
        yield from progress.track(iterable, total=total, description=printable(description))


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


@contextmanager
def meter(description: str, total: int) -> Iterator[Callable[[int, str], None]]:
    """The same for work that is not one item after the other: the block calls what it gets with how much is done by
    now and how fast that goes, in words."""
    with (_meter_bar if sys.stderr.isatty() else _meter_lines)(_fit(description), total) as tell:
        yield tell


@contextmanager
def _meter_bar(description: str, total: int) -> Iterator[Callable[[int, str], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    text, speed = TextColumn("{task.description}", markup=False), TextColumn("{task.fields[speed]}", markup=False)
    columns = (text, BarColumn(), MofNCompleteColumn(), speed, TimeRemainingColumn(elapsed_when_finished=True))
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(description, total=total, speed="")
        yield lambda done, speed: progress.update(task, completed=done, speed=speed)


@contextmanager
def _meter_lines(description: str, total: int) -> Iterator[Callable[[int, str], None]]:
    start = said = time.monotonic()
    last = (0, "")

    def tell(done: int, speed: str) -> None:
        nonlocal said, last
        last = (done, speed)
        if done and (now := time.monotonic()) - said >= EVERY:
            left = _span((now - start) * (total / done - 1))
            sys.stderr.write(
                f"{description}: {done:,} of {total:,} after {_span(now - start)}, {speed}, about {left} left\n"
            )
            said = now

    sys.stderr.write(f"{description}: 0 of {total:,} ...\n")
    try:
        yield tell
    finally:
        speed = f", {last[1]}" if last[1] else ""
        sys.stderr.write(f"{description}: {last[0]:,} of {total:,} in {time.monotonic() - start:.1f} s{speed}\n")


def _span(seconds: float) -> str:
    """Seconds as a person would say them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def note(line: str) -> None:
    """One line on stderr; on a terminal it is shown and not obeyed."""
    sys.stderr.write(f"{_fit(line)}\n")


def _fit(text: str) -> str:
    """One line, as it may be put on standard error: rich takes out few of the signs that a terminal acts on."""
    return printable(in_line(text)) if sys.stderr.isatty() else in_line(text)
