"""A job's answer sent to its client: as one object, or as a stream that begins when the first token is there.

So what is refused has its status in both; only where a first token takes long does a stream begin without it, with
pings, so that nobody between here and the client gives up.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from copersona.runtime.serve.fault import Fault
from copersona.runtime.serve.form import encoded
from copersona.runtime.serve.job import Begun, Ended, Event, Job, Text
from copersona.runtime.serve.line import Gone, Line, unless_gone, watched
from copersona.runtime.serve.worker import Worker

PING = 15.0  # seconds of silence before a ping
PATIENCE = 10.0  # seconds that a stream's status waits for the first token
PINGED = b": ping\n\n"


class Written(Protocol):
    """How one answer is written for its client: as an object, or as the bytes of a stream in this order."""

    def whole(self, text: str, begun: Begun, ended: Ended) -> dict[str, Any]: ...
    def opening(self) -> bytes: ...
    def more(self, text: str) -> bytes: ...
    def closing(self, begun: Begun, ended: Ended) -> bytes: ...
    def failure(self, fault: Fault) -> bytes: ...


class Streamed(StreamingResponse):
    """A stream of a job, which is left when the response is over, however it ends."""

    def __init__(self, content: AsyncIterator[bytes], worker: Worker, job: Job, line: Line) -> None:
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        super().__init__(content, media_type="text/event-stream", headers=headers)
        self._worker, self._job, self._line = worker, job, line

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._worker.leave(self._job)
            await self._line.end()


async def answered(worker: Worker, job: Job, line: Line, request: Request, form: Written, stream: bool) -> Response:
    """The response to a job that is handed to the worker here. Raises Fault where it is refused."""
    streams = False
    worker.submit(job)
    try:
        async with watched(request) as gone:
            if not stream:
                return as_json(form.whole(*await _collected(lambda: unless_gone(line, gone))))
            first = await unless_gone(line, gone, PATIENCE)
        if isinstance(first, Fault):
            raise first
        streams = True
        return Streamed(_chunks(line, form, first), worker, job, line)
    except Gone:
        return Response(status_code=499)  # nobody reads it
    finally:
        if not streams:
            worker.leave(job)
            await line.end()


async def _collected(coming: Callable[[], Awaitable[Event | None]]) -> tuple[str, Begun, Ended]:
    parts: list[str] = []
    begun = Begun(0, 0)
    while not isinstance(event := await coming(), Ended):
        if isinstance(event, Fault):
            raise event
        if isinstance(event, Text):
            parts.append(event.text)
        elif isinstance(event, Begun):
            begun = event
    return "".join(parts), begun, event


async def _chunks(line: Line, form: Written, first: Event | None) -> AsyncIterator[bytes]:
    begun, event = Begun(0, 0), first
    yield form.opening()
    while not isinstance(event, Ended):
        if isinstance(event, Fault):
            yield form.failure(event)
            return
        if event is None:
            yield PINGED
        elif isinstance(event, Begun):
            begun = event
        else:
            yield form.more(event.text)
        event = await line.next(PING)
    yield form.closing(begun, event)


def as_json(body: dict[str, Any], status: int = 200) -> Response:
    """A response of JSON."""
    return Response(encoded(body), status, media_type="application/json")
