"""An errand sent to the model's thread for a request: its result, unless the client leaves before it is there."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Any

from starlette.requests import Request

from copersona.runtime.serve.errand import Do, Errand
from copersona.runtime.serve.fault import Fault
from copersona.runtime.serve.line import watched
from copersona.runtime.serve.worker import Worker


async def sent(worker: Worker, request: Request, whose: Hashable, do: Do) -> Any:
    """What the model's thread found. Raises Fault."""
    errand = Errand(whose, do)
    worker.submit(errand)
    try:
        async with watched(request) as gone:
            await asyncio.wait({errand.result, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not errand.result.done():
                raise Fault(499, "the client has left")
            return errand.result.result()
    finally:
        worker.leave(errand)
