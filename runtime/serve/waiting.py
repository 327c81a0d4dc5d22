"""Who waits for a place: bounded, and taken in turns person by person, so that who asks much delays themselves."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Full(Exception):
    """No more may wait."""


class Waiting(Generic[T]):
    """At most `most` wait in all, and half of that of one person. Shared between threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._turns: OrderedDict[Hashable, deque[T]] = OrderedDict()  # whose turn it is, first
        self._changed = threading.Condition()
        self._closed = False

    def __len__(self) -> int:
        with self._changed:
            return self._count()

    def put(self, whose: Hashable, one: T) -> None:
        """Wait. Raises Full."""
        with self._changed:
            own = self._turns.get(whose, ())
            if self._closed or self._count() >= self._most or len(own) >= max(self._most // 2, 1):
                raise Full
            self._turns.setdefault(whose, deque()).append(one)
            self._changed.notify()

    def take(self, *, patiently: bool) -> T | None:
        """The next one, whose person then is last in turn; None if there is none, where `patiently` once closed."""
        with self._changed:
            while patiently and not self._turns and not self._closed:
                self._changed.wait()
            if not self._turns:
                return None
            whose, own = self._turns.popitem(last=False)
            one = own.popleft()
            if own:
                self._turns[whose] = own
            return one

    def remove(self, one: T) -> bool:
        """Wait no longer; whether it did."""
        with self._changed:
            for whose, own in self._turns.items():
                if one in own:
                    own.remove(one)
                    if not own:
                        del self._turns[whose]
                    return True
        return False

    def close(self) -> list[T]:
        """Nobody may wait any more; those who did."""
        with self._changed:
            self._closed = True
            left = [one for own in self._turns.values() for one in own]
            self._turns.clear()
            self._changed.notify_all()
        return left

    def _count(self) -> int:
        return sum(map(len, self._turns.values()))
