"""The app: the routes behind the gate, and every refusal in one form."""

from __future__ import annotations

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from copersona.runtime.common.errors import CoPersonaError
from copersona.runtime.prompt.settings import RecallMode
from copersona.runtime.serve.answering import as_json
from copersona.runtime.serve.conversation_routes import ConversationRoutes
from copersona.runtime.serve.fault import Fault, fault_of
from copersona.runtime.serve.gate import Doors, Gate
from copersona.runtime.serve.import_routes import FILES, ImportRoutes
from copersona.runtime.serve.markdown import markdown_routes
from copersona.runtime.serve.own_routes import OwnRoutes
from copersona.runtime.serve.page_files import page_files, page_routes
from copersona.runtime.serve.person_routes import PersonRoutes
from copersona.runtime.serve.routes import Routes
from copersona.runtime.serve.worker import Worker


def make_app(worker: Worker, doors: Callable[[], Doors], recall: RecallMode = "always") -> Gate:
    """The whole app. It is to be made where its loop runs."""
    handlers = {HTTPException: _http, CoPersonaError: _refused, Exception: _refused}
    inner = Starlette(routes=all_routes(worker, recall), exception_handlers=handlers)
    inner.router.redirect_slashes = False
    return Gate(inner, doors, frozenset(page_files()), FILES)


def all_routes(worker: Worker, recall: RecallMode = "always") -> list[Route]:
    """Everything that is answered."""
    asked = [*Routes(worker, recall).table(), *ConversationRoutes(worker).table(), *PersonRoutes(worker).table()]
    ours = [*OwnRoutes(worker).table(), *ImportRoutes(worker).table()]
    return [*asked, *ours, *markdown_routes(), *page_routes()]


async def _refused(_: Request, error: Exception) -> Response:
    fault = fault_of(error)
    response = as_json(fault.body(), fault.status)
    response.headers.update(fault.headers())
    return response


async def _http(request: Request, error: Exception) -> Response:
    """A path or a method that there is not."""
    assert isinstance(error, HTTPException)
    what = f"{request.method} {request.url.path[:80]}"
    fault = Fault(error.status_code, f"{what} is nothing that this server does", code="not_found")
    response = await _refused(request, fault)
    response.headers.update(error.headers or {})
    return response
