"""A file that a person drops on the page: looked at, and kept if what is kept is what was looked at.

Both requests bring the file. Nothing of it stays here in between, and nobody has to say that they changed their mind.
"""

from __future__ import annotations

import asyncio
import re
import threading
from itertools import islice
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from copersona.runtime.common.errors import HistoryError, TooLarge, UnknownKind
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.importing.taken import Taken, take
from copersona.runtime.importing.unclear import Unclear
from copersona.runtime.serve.answering import as_json
from copersona.runtime.serve.fault import Fault
from copersona.runtime.serve.line import watched
from copersona.runtime.serve.sent import sent
from copersona.runtime.serve.upload import uploaded
from copersona.runtime.serve.wished import Wished, read_wished
from copersona.runtime.serve.worker import Worker

PATH = "/copersona/v1/imports"
PREVIEW = f"{PATH}/preview"
FILES = frozenset({PATH, PREVIEW})  # paths whose body is a file
FIRST, SHOWN, NAMED = 5, 400, 20  # texts that a preview shows, characters of each; people who are named
OPTION = re.compile(r"--([a-z][a-z-]*)")


class ImportRoutes:
    """These routes of one worker. One file at a time is read: all that it gives is held."""

    def __init__(self, worker: Worker) -> None:
        self._worker, self._one = worker, asyncio.Lock()

    def table(self) -> list[Route]:
        """Both of them."""
        return [Route(PREVIEW, self.preview, methods=["POST"]), Route(PATH, self.keep, methods=["POST"])]

    async def preview(self, request: Request) -> Response:
        """What the file would give; or what has to be said of it first."""
        wished = read_wished(request)
        try:
            taken = await self._taken(request, wished)
        except Unclear as unclear:
            choices = [{"name": name, "texts": texts} for name, texts in unclear.choices]
            return as_json({"unclear": unclear.asks, "choices": choices, "message": str(unclear)})
        return as_json(await asyncio.to_thread(_shown, taken))

    async def keep(self, request: Request) -> Response:
        """Keep what was previewed under this `digest`, all or none."""
        wished = read_wished(request)
        if wished.digest is None:
            raise Fault(400, f"digest is missing; POST {PREVIEW} gives it", param="digest")
        taken = await self._taken(request, wished)
        if await asyncio.to_thread(lambda: taken.digest) != wished.digest:
            what = "the file gives something else than was previewed; look at it once more"
            raise Fault(409, what, param="digest", code="preview_differs")
        enrolled = _enrolled(taken, wished.enrolled_as)
        whose = taken.interactions[0].person
        added = await sent(self._worker, request, whose, lambda session, store: session.add(
            store, taken.interactions, enrolled=enrolled
        ))  # fmt: skip
        body = {"people": list(taken.people), "new": added.new, "known": added.repeated, "named": added.named}
        return as_json(body | {"enrolled": added.enrolled}, 201)

    async def _taken(self, request: Request, wished: Wished) -> Taken:
        """What the file gives. Raises Fault, Unclear."""
        async with self._one, uploaded(request, self._worker.store.path.parent, wished.name) as path:
            try:
                return await _read(request, path, wished)
            except HistoryError as error:
                raise _as_said(error, path) from None


async def _read(request: Request, path: Path, wished: Wished) -> Taken:
    """Read in a thread, which ends when the client has left."""
    left = threading.Event()

    def go_on() -> None:
        if left.is_set():
            raise Fault(499, "the client has left")

    reading = asyncio.create_task(asyncio.to_thread(take, path, wished.wish, go_on))
    try:
        async with watched(request) as gone:
            await asyncio.wait({reading, gone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        left.set()
    return await reading


def _as_said(error: HistoryError, path: Path) -> Unclear | Fault:
    """The error by the file's own name, and options by the names that they have here."""
    said = _by_names_here(str(error).replace(str(path), path.name))
    if isinstance(error, Unclear):
        return Unclear(said, error.asks, error.choices)
    status = 413 if isinstance(error, TooLarge) else 415 if isinstance(error, UnknownKind) else 400
    return Fault(status, said)


def _by_names_here(said: str) -> str:
    return OPTION.sub(lambda found: found[1].replace("-", "_"), said)


def _enrolled(taken: Taken, pseudonym: str | None) -> dict[str, str]:
    if pseudonym is None:
        return {}
    if len(taken.people) > 1:
        raise Fault(400, "enrolled_as is of one person, and the file holds more", param="enrolled_as")
    return {taken.interactions[0].person: pseudonym}


def _shown(taken: Taken) -> dict[str, Any]:
    people, span = taken.people, taken.span
    return {
        "format": taken.format,
        "title": taken.title,
        "people": [{"name": name, "texts": texts} for name, texts in people.most_common(NAMED)],
        "more_people": max(0, len(people) - NAMED),
        "texts": len(taken.interactions),
        "weak": taken.weak,
        "span": span,
        "first": [_text(one) for one in islice(taken.interactions, FIRST)],
        "left_out": [
            {"reason": _by_names_here(one.reason), "count": one.count, "example": one.example} for one in taken.left
        ],
        "outside": taken.outside,
        "marks": taken.tally.marks,
        "hidden": taken.tally.hidden,
        "digest": taken.digest,
    }


def _text(one: Interaction) -> dict[str, Any]:
    return {"text": one.output[:SHOWN], "title": one.title, "time": one.time}
