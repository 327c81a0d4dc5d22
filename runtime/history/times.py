"""Times as text: ISO 8601 in the forms that mean one thing, and figures that can be nothing but a count of seconds.

`datetime.fromisoformat` takes any character between date and time, so that it reads `20230808120000` as 20:00 and
`1609123151230` as the year 1609; hence each form is written down here, and what fits none is refused.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

_ZONE = r"(?: ?(?:Z|[+-]\d{2}(?::?\d{2})?))?"
_CLOCK = r"\d{2}(?::\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?)?"
_FIGURES_OF_CLOCK = r"\d{2}(?:\d{2}(?:\d{2}(?:[.,]\d{1,9})?)?)?"
EXTENDED = re.compile(rf"(\d{{4}}-(?:\d{{2}}-\d{{2}}|W\d{{2}}-\d))(?:[Tt ]({_CLOCK}{_ZONE}))?", re.ASCII)
BASIC = re.compile(rf"(\d{{4}}W\d{{3}}|\d{{8}})(?:[Tt]({_FIGURES_OF_CLOCK}{_ZONE}))?", re.ASCII)
GLUED = re.compile(rf"(\d{{8}})((?:\d{{4}}|\d{{6}}){_ZONE})", re.ASCII)  # a basic date and time without their T
COUNT = re.compile(r"[+-]?(\d+)(?:\.\d+)?", re.ASCII)
YEARS = range(1900, 2101)  # of a date of figures alone: others are no dates
SECONDS = (9, 10)  # figures of seconds since 1970, from 1973 on; fewer may be a date
MILLISECONDS = 13


def moment_of(text: str) -> tuple[float, bool]:
    """The moment that a text names: seconds since 1970 (UTC where it names no zone), and False; or the count that its
    figures are, of seconds or, if they are 13, of milliseconds, and True.

    Raises:
        ValueError: it names none, or may name two.
    """
    text = text.strip()
    for form in (EXTENDED, BASIC, GLUED):
        found = form.fullmatch(text)
        if found is not None and (form is EXTENDED or int(text[:4]) in YEARS):
            return _moment(found[1], found[2] or "00"), False
    count = COUNT.fullmatch(text)
    if count is None:
        raise ValueError("expected seconds or ISO 8601")
    figures = count[1]
    if len(figures) == MILLISECONDS and figures == text:
        return float(text), True
    if len(figures) not in SECONDS:
        raise ValueError("expected seconds or ISO 8601, this may be either or none")
    if _is_hour(figures):
        raise ValueError("expected ISO 8601, this may be seconds or a date and an hour")
    return float(text), True


def _is_hour(figures: str) -> bool:
    """Whether ten figures of seconds could be a date and an hour."""
    try:
        _moment(figures[:8], figures[8:])
    except ValueError:
        return False
    return int(figures[:4]) in YEARS


def _moment(date: str, clock: str) -> float:
    found = datetime.fromisoformat(f"{date}T{clock}".replace(" ", ""))
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
