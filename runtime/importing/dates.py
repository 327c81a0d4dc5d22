"""Dates of figures alone, such as 3/4/2023: which figure is the day is inferred from all of a file, or refused."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, tzinfo

FEW, MANY = 0.01, 10  # a reading with so few steps back, where the other has so many times more, is right

Stamp = tuple[int, int, int, str]
"""Three figures as they stand, and the sign between them."""


@dataclass(slots=True)
class DayOrder:
    """Evidence for day first and for month first; tell it every date, in the order of the file."""

    day: int = 0
    month: int = 0
    unclear: int = 0
    back_day: int = 0
    back_month: int = 0
    _last_day: tuple[int, int, int] = (0, 0, 0)
    _last_month: tuple[int, int, int] = (0, 0, 0)

    def tell(self, stamp: Stamp) -> None:
        one, two, year, sign = stamp
        if one > 31:  # the year stands first: nothing to infer
            return
        if one > 12 or sign == ".":
            self.day += 1
        elif two > 12:
            self.month += 1
        elif one != two:
            self.unclear += 1
        as_day, as_month = (year, two, one), (year, one, two)
        self.back_day += as_day < self._last_day
        self.back_month += as_month < self._last_month
        self._last_day, self._last_month = as_day, as_month

    def day_first(self, told: bool | None = None) -> bool:
        """Whether the day stands first; `told` by the person where it is not None.

        Raises:
            ValueError: the dates contradict each other, or that; or they may be read both ways.
        """
        if self.day and self.month:
            raise ValueError(f"{self.day:,} dates begin with the day and {self.month:,} with the month")
        seen = True if self.day else False if self.month else None
        if told is not None:
            if seen is not None and seen != told:
                raise ValueError(f"its dates begin with the {'day' if seen else 'month'}, other than --dates says")
            return told
        if seen is not None or not self.unclear:
            return bool(seen)
        total = self.unclear
        if self.back_day <= FEW * total and self.back_month >= max(1, MANY * self.back_day):
            return True
        if self.back_month <= FEW * total and self.back_day >= max(1, MANY * self.back_month):
            return False
        raise ValueError("its dates may begin with the day or the month; say --dates day-first or month-first")


def moment(stamp: Stamp, clock: tuple[int, int, int], half: str, day_first: bool, zone: tzinfo) -> float | None:
    """Seconds since 1970; `half` is am or pm, empty for a clock of 24 hours. None where it is no moment."""
    one, two, three, _ = stamp
    year, month, day = (one, two, three) if one > 31 else (three, two, one) if day_first else (three, one, two)
    hour, minute, second = clock
    if half:
        hour = hour % 12 + (12 if half == "pm" else 0)
    try:
        return datetime(year + 2000 if year < 100 else year, month, day, hour, minute, second, tzinfo=zone).timestamp()
    except (ValueError, OverflowError):
        return None


def all_told(stamps: Iterable[Stamp]) -> DayOrder:
    """The evidence of these dates."""
    order = DayOrder()
    for stamp in stamps:
        order.tell(stamp)
    return order


NAMED_DAY = re.compile(
    r"(?<!\d)(\d{4})-?([01]\d)-?([0-3]\d)(?:[T _-]?([0-2]\d)[-.:h]?([0-5]\d)(?:[-.:]?([0-5]\d))?)?(?!\d)"
)


def in_name(name: str, zone: tzinfo) -> float | None:
    """The moment in a file's name, 2023-05-07 or 202305071230; None where there is none."""
    found = NAMED_DAY.search(name)
    if found is None:
        return None
    year, month, day, *clock = (int(part or 0) for part in found.groups())
    if not 1900 < year < 2200:
        return None
    return moment((year, month, day, "-"), (clock[0], clock[1], clock[2]), "", False, zone)
