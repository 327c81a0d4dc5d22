"""Something that the model's thread is asked to do between two steps, which is no answer: to say what is known."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Hashable
from typing import Any

from copersona.runtime.people.store import PeopleStore
from copersona.runtime.serve.fault import Fault, fault_of
from copersona.runtime.session.session import Session

Do = Callable[[Session, PeopleStore], Any]


class Errand:
    """To be made in the server's loop, whose `result` it then is. `run` and `fail` are for the model's thread."""

    def __init__(self, whose: Hashable, do: Do) -> None:
        self.whose, self._do = whose, do
        self.left = False
        self._loop = asyncio.get_running_loop()
        self.result: asyncio.Future[Any] = self._loop.create_future()

    def run(self, session: Session, store: PeopleStore) -> None:
        """Do it."""
        try:
            found = self._do(session, store)
        except Exception as error:
            self.fail(fault_of(error))
            return
        self._tell(lambda: self.result.set_result(found))

    def fail(self, fault: Fault) -> None:
        """It is not done."""
        self._tell(lambda: self.result.set_exception(fault))

    def _tell(self, tell: Callable[[], None]) -> None:
        def told() -> None:
            if not self.result.done():
                tell()

        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(told)
