"""What is told of one job, read in the server's loop: waited for, given up when the client is gone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.requests import Request

from copersona.runtime.serve.job import Event


class Gone(Exception):
    """The client has left."""


class Line:
    """The events of a job; `tell` may be called by any thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Event] = asyncio.Queue()

    def tell(self, event: Event) -> None:
        """Hand an event over; once the loop is closed nobody reads it."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    async def next(self, seconds: float | None = None) -> Event | None:
        """The next event; None where none comes within so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                return await self._events.get()
        except TimeoutError:
            return None

    async def end(self) -> None:
        """Nobody reads on."""


@contextlib.asynccontextmanager
async def watched(request: Request) -> AsyncIterator[asyncio.Task[None]]:
    """A task that ends when the client leaves; for while nothing is sent to it."""

    async def leaves() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    task = asyncio.create_task(leaves())
    try:
        yield task
    finally:
        task.cancel()


async def unless_gone(line: Line, gone: asyncio.Task[None], seconds: float | None = None) -> Event | None:
    """The next event, as `Line.next`. Raises Gone."""
    coming = asyncio.create_task(line.next(seconds))
    try:
        await asyncio.wait({coming, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not coming.done():
            raise Gone
        return coming.result()
    finally:
        coming.cancel()
