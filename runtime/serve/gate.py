"""What every request passes before any route is looked for, so that no route can be left open.

In this order: the name that the server was called by (Host), the page that called (Origin), the token, the kind of
body, its size; a route that takes a file bounds that itself. A page of another site, a name that leads here by a trick
of its DNS and another user of this machine end at one of these. No CORS header is ever sent.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any

from copersona.runtime.common.progress import note
from copersona.runtime.serve.fault import Fault, fault_of

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_BODY = 2 << 20  # bytes; what fits no context need not be read
RESTORE = "/copersona/v1/people/restore"
MOST_OF = {RESTORE: 64 << 20}  # of a person as a file
DROPPED = 8  # times as many are read to be dropped
MOST_AT_ONCE = 128  # requests, whose bodies are held
BODY_SECONDS = 30.0  # for a body to arrive
FILE = "application/octet-stream"
OPEN = frozenset({"/health"})  # without a token
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


@dataclass(frozen=True, slots=True)
class Doors:
    """By which names (host:port) the server may be called, and the token."""

    names: frozenset[str]
    token: str


class Gate:
    """The app behind the checks. `page` are the paths of files that hold nothing of anybody, `files` those whose body
    is a file, which their route reads itself."""

    def __init__(
        self,
        app: App,
        doors: Callable[[], Doors],
        page: frozenset[str] = frozenset(),
        files: frozenset[str] = frozenset(),
    ) -> None:
        self._app, self._doors, self._page, self._files, self._held = app, doors, page, files, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # a web socket is refused by closing it
            await send({"type": "websocket.close", "code": 1008})
            return
        started = False

        async def answer(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message = {**message, "headers": _with_ours(message.get("headers", ()))}
            await send(message)

        self._held += 1
        try:
            self._check(scope)
            if scope["path"] not in self._files:
                receive = _again(await _read(scope, receive), receive)
            await self._app(scope, receive, answer)
        except Exception as error:  # nothing of it may reach the client but one line
            fault = fault_of(error)
            if fault.code == "internal_error":
                note(f"error: {where(error)}")
            if not started:
                await refuse(fault, answer)
        finally:
            self._held -= 1

    def _check(self, scope: Scope) -> None:
        doors, headers = self._doors(), scope["headers"]
        host = _only(headers, b"host")
        if host is None or host.lower() not in doors.names:
            raise Fault(403, "this server is not called by that Host; use the address that it printed", code="host")
        origin = _only(headers, b"origin")
        if origin is not None and origin.removeprefix("http://").lower() not in doors.names:
            raise Fault(403, "requests from web pages of other sites are refused", code="origin")
        site = _only(headers, b"sec-fetch-site")
        if site not in (None, "none", "same-origin") and not self._is_visit(scope):
            raise Fault(403, "requests from web pages of other sites are refused", code="origin")
        if scope["path"] not in OPEN | self._page and not _shows(_only(headers, b"authorization"), doors.token):
            raise Fault(401, "give the server's token: Authorization: Bearer TOKEN", code="invalid_api_key")
        if scope["method"] not in ("GET", "HEAD"):
            self._check_kind(scope["path"], _only(headers, b"content-type"))
        if self._held > MOST_AT_ONCE:
            raise Fault(429, f"more than {MOST_AT_ONCE} requests at once", code="too_many_requests", after=2)

    def _check_kind(self, path: str, kind: str | None) -> None:
        """Neither kind can be sent by a page of another site that was not allowed to before. Raises Fault."""
        if path in self._files:
            if kind != FILE:
                raise Fault(415, f"the body must be a file: Content-Type: {FILE}", code="content_type")
        elif not _is_json(kind):
            raise Fault(415, "the body must be JSON: Content-Type: application/json", code="content_type")

    def _is_visit(self, scope: Scope) -> bool:
        """Whether somebody follows a link to the page; what asks for data is no visit."""
        mode, kind = (_only(scope["headers"], name) for name in (b"sec-fetch-mode", b"sec-fetch-dest"))
        return scope["path"] in self._page and (mode, kind) == ("navigate", "document")


def _with_ours(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """A response's headers, and ours that it has not itself."""
    found = list(headers)
    names = {name.lower() for name, _ in found}
    return [*found, *(one for one in HEADERS if one[0] not in names)]


def _only(headers: Any, name: bytes) -> str | None:
    """A header's value, None without one. Raises Fault where it is there twice: two readers may take another one."""
    found = [value for key, value in headers if key.lower() == name]
    if len(found) > 1:
        raise Fault(400, f"the header {name.decode()} is there twice")
    return found[0].decode("latin-1").strip() if found else None


def _shows(header: str | None, token: str) -> bool:
    scheme, _, given = (header or "").partition(" ")
    same = hmac.compare_digest(given.strip().encode("utf-8"), token.encode("utf-8"))
    return scheme.lower() == "bearer" and same


def _is_json(header: str | None) -> bool:
    kind, _, rest = (header or "").partition(";")
    charset = rest.strip().lower().replace('"', "")
    return kind.strip().lower() == "application/json" and charset in ("", "charset=utf-8")


async def _read(scope: Scope, receive: Receive) -> bytes:
    """The whole body. Raises Fault where it is too large or does not come.

    One that is not much too large is read to its end and dropped: a client that is hung up on reads no refusal.
    """
    most = MOST_OF.get(scope["path"], MOST_BODY)
    large = Fault(413, f"the body has more than {most:,} bytes", code="body_too_large")
    length = _only(scope["headers"], b"content-length") or "0"
    if not length.isdecimal() or len(length) > 12 or int(length) > DROPPED * most:
        raise large
    body, size = bytearray(), 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while (message := await receive())["type"] == "http.request":
                size += len(message.get("body", b""))
                body += message.get("body", b"") if size <= most else b""
                if size > DROPPED * most or (size > most and not message.get("more_body")):
                    raise large
                if not message.get("more_body"):
                    return bytes(body)
    except TimeoutError:
        raise Fault(408, f"the body did not come within {BODY_SECONDS:.0f} seconds") from None
    raise Fault(400, "the client left before its body was whole")


def _again(body: bytes, receive: Receive) -> Receive:
    """A receiver that gives the body, and then what else comes."""
    given = False

    async def first() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return first


async def refuse(fault: Fault, send: Send) -> None:
    """Send a refusal as a whole response; the connection ends, for its body may be unread."""
    body = json.dumps(fault.body(), ensure_ascii=False).encode("utf-8", "replace")
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **fault.headers()}
    if fault.status in (408, 413):
        headers["Connection"] = "close"
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": fault.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def where(error: BaseException) -> str:
    """Kind and place of an error that was not foreseen, without its text, which may be a person's."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "" if trace is None else f" at {trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}"
    return f"{type(error).__name__}{place}"
