"""Rows of the table: something of ours and its reference, measured in turn in one run, as a ratio with its spread."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

HEAD = f"{'':<60}{'value':>11}{'reference':>11}{'ratio':>8}{'quartiles':>16}  must"

Measure = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Row:
    """One line. `must` is the bar: "ratio" or "value", "<=" or ">=", a number, and a unit for who reads it.

    value and reference are medians; ratio, low and high are median and quartiles of the rounds' own ratios.
    """

    name: str
    value: float
    reference: float
    ratio: float
    low: float
    high: float
    must: str

    @property
    def met(self) -> bool | None:
        """Whether the bar is reached; None where there is none."""
        if not self.must:
            return None
        what, sign, bar = self.must.split()[:3]
        found = self.value if what == "value" else self.ratio
        return found <= float(bar) if sign == "<=" else found >= float(bar)

    def line(self) -> str:
        """As printed."""
        mark = {None: "", True: "", False: "  MISSED"}[self.met]
        numbers = "".join(f"{number:>{width}.4g}" for number, width in ((self.value, 11), (self.reference, 11)))
        return f"{self.name:<60}{numbers}{self.ratio:>8.3f}{f'{self.low:.3f}-{self.high:.3f}':>16}  {self.must}{mark}"


def in_turn(rounds: int, measures: Mapping[str, Measure]) -> dict[str, list[float]]:
    """Each measure once a round, in an order that turns with the rounds; the first round, to warm up, not counted."""
    found: dict[str, list[float]] = {name: [] for name in measures}
    names = list(measures)
    for number in range(rounds + 1):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            gc.collect()
            value = measures[name]()
            if number:
                found[name].append(value)
    return found


def row(name: str, mine: Sequence[float], theirs: Sequence[float], must: str) -> Row:
    """A row of what was measured in the same rounds."""
    ratios = [one / other for one, other in zip(mine, theirs, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return Row(name, statistics.median(mine), statistics.median(theirs), middle, low, high, must)


def compare(name: str, rounds: int, mine: Measure, theirs: Measure, must: str) -> Row:
    """A row of two measures."""
    found = in_turn(rounds, {"mine": mine, "theirs": theirs})
    return row(name, found["mine"], found["theirs"], must)


def cpu_ms(work: Callable[[], Any]) -> float:
    """Processor time of all threads of this process."""
    start = time.process_time_ns()
    work()
    return (time.process_time_ns() - start) / 1e6


def wall_ms(work: Callable[[], Any]) -> float:
    start = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - start) / 1e6


def median_us(work: Callable[[int], Any], times: int) -> float:
    """p50 of many short calls, each given its number, in microseconds of wall time."""
    took = []
    for number in range(times):
        start = time.perf_counter_ns()
        work(number)
        took.append(time.perf_counter_ns() - start)
    return statistics.median(took) / 1e3
