"""A file that can be read once something more is said of it."""

from __future__ import annotations

from typing import Literal

from copersona.runtime.common.errors import HistoryError

Asks = Literal["me", "person", "format", "dates"]


class Unclear(HistoryError):
    """What is missing: `asks` names the option that settles it, `choices` are what may be said, each with how many
    texts it stands for (0 where that is not counted)."""

    def __init__(self, message: str, asks: Asks, choices: tuple[tuple[str, int], ...] = ()) -> None:
        super().__init__(message)
        self.asks, self.choices = asks, choices
