"""One answer that is asked for: made ready and told of by the thread that owns the model, read by the server's loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from copersona.runtime.engine.engine import Wanted
from copersona.runtime.engine.sampling import Piece
from copersona.runtime.people.store import PeopleStore
from copersona.runtime.serve.fault import Fault
from copersona.runtime.serve.stops import Stops
from copersona.runtime.session.receipt import Receipt
from copersona.runtime.session.session import Session


@dataclass(frozen=True, slots=True)
class Ready:
    """A prompt that can begin: `positions` it takes, earlier turns `left_out`, and the record if it is asked for."""

    wanted: Wanted
    positions: int
    left_out: int = 0
    receipt: Callable[[], Receipt] | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """The first token is there."""

    positions: int
    left_out: int


@dataclass(frozen=True, slots=True)
class Text:
    """More of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The whole answer was told: why it ended, its tokens, and the record."""

    reason: Literal["stop", "length"]
    tokens: int
    receipt: Receipt | None


Event: TypeAlias = Begun | Text | Ended | Fault
Prepare: TypeAlias = Callable[[Session, PeopleStore], Ready]


class Job:
    """An answer of `whose` (a person's name, None: nobody). `prepare` and all methods are for the model's thread, which
    calls `tell`. `left` is set where the client is gone."""

    def __init__(
        self, whose: Hashable, prepare: Prepare, tell: Callable[[Event], None], stops: tuple[str, ...] = ()
    ) -> None:
        self.whose, self.prepare, self._tell = whose, prepare, tell
        self.left = False
        self.asked = time.monotonic()
        self._stops, self._tokens = Stops(stops), 0
        self._receipt: Callable[[], Receipt] | None = None

    def begun(self, ready: Ready) -> None:
        """The prompt was read."""
        self._receipt = ready.receipt
        self._tell(Begun(ready.positions, ready.left_out))

    def take(self, piece: Piece) -> bool:
        """One more token; whether the answer ends with it, because a stop is reached."""
        self._tokens += 1
        if text := self._stops.take(piece.text):
            self._tell(Text(text))
        return self._stops.stopped

    def end(self, reason: Literal["stop", "length"]) -> None:
        """No more comes."""
        if not self._stops.stopped and (text := self._stops.rest()):
            self._tell(Text(text))
        self._tell(Ended(reason, self._tokens, None if self._receipt is None else self._receipt()))

    def fail(self, fault: Fault) -> None:
        """No more comes, and why."""
        self._tell(fault)
