"""One POST and its answer within a time that holds, whatever the other side does. Knows HTTP and nothing of models.

A library's time-out is one of each step: a server that drips a byte now and then is never too late for it. So the
exchange has a thread of its own, the caller waits for that thread by the clock and, when the time is over, cuts its
connection. Looking a name up cannot be cut; it is left to end by itself.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import httpx

MAX_FAULT = 64 * 1024  # bytes that are read of what comes with a status that is not 2xx


class Unanswered(Exception):
    """There is no answer; the message says why, in words that are none of the server's."""


class TooLong(Exception):
    """An answer of more bytes than are read."""


class Answer(NamedTuple):
    """What came back: the status, the headers under small letters, the body as it was sent."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def good(self) -> bool:
        return 200 <= self.status < 300


def post(
    url: str, body: bytes, headers: Mapping[str, str], *, seconds: float, most: int, proxy: str | None = None
) -> Answer:
    """Send the body, read the answer. No redirect is followed, nothing is taken from the environment.

    Raises:
        TimeoutError: it is not here, whole, within so many seconds.
        TooLong: it has more than `most` bytes.
        Unanswered: no connection, or one that ends before the answer does.
    """
    if seconds <= 0:
        raise TimeoutError
    exchange = _Exchange(url, body, headers, seconds, most, proxy)
    thread = threading.Thread(target=exchange.run, name="copersona exchange", daemon=True)
    thread.start()
    try:
        if not exchange.done.wait(seconds):
            if exchange.fault is not None:
                return exchange.fault
            raise TimeoutError
    finally:  # Ctrl-C too
        exchange.cut()
    return exchange.outcome()


class _Exchange:
    """What the two threads share. `done` is set when the worker will touch nothing any more."""

    def __init__(
        self, url: str, body: bytes, headers: Mapping[str, str], seconds: float, most: int, proxy: str | None
    ) -> None:
        self._url, self._body, self._headers = url, body, headers
        self._seconds, self._most, self._proxy = seconds, most, proxy
        self._lock, self._over = threading.Lock(), False
        self._socket: socket.socket | None = None
        self._found: Answer | BaseException = Unanswered("nothing was sent")
        self._begun = False
        self.done = threading.Event()
        self.fault: Answer | None = None  # a status that is not 2xx says enough without its body

    def run(self) -> None:
        """The worker's side."""
        try:
            self._found = self._exchange()
        except BaseException as error:  # whatever it is, it is the waiting side's to tell
            self._found = error
        finally:
            self.done.set()

    def cut(self) -> None:
        """End the connection, so that whatever waits for it ends."""
        with self._lock:
            self._over = True
            self._shut()

    def outcome(self) -> Answer:
        """What `run` ended with, as `post` says."""
        found = self._found
        if isinstance(found, httpx.HTTPError) and self.fault is not None:
            found = self.fault
        if isinstance(found, Answer):
            return found
        if isinstance(found, httpx.TimeoutException):
            raise TimeoutError from None
        if isinstance(found, httpx.RemoteProtocolError):
            raise Unanswered("the answer breaks off" if self._begun else "no answer in HTTP") from None
        if isinstance(found, httpx.HTTPError):
            raise Unanswered(_name(found)) from None
        if isinstance(found, (httpx.InvalidURL, UnicodeError)):
            raise Unanswered("the address holds a name that cannot be looked up") from None
        raise found

    def _exchange(self) -> Answer:
        with self._client() as client, client.stream(
            "POST", self._url, content=self._body, headers=dict(self._headers), extensions={"trace": self._seen}
        ) as response:  # fmt: skip
            headers = {name.lower(): value for name, value in response.headers.items()}
            self._begun = True
            if response.is_success:
                return Answer(response.status_code, headers, _read(response, self._most))
            self.fault = Answer(response.status_code, headers, b"")
            with contextlib.suppress(TooLong):
                return self.fault._replace(body=_read(response, MAX_FAULT))
            return self.fault

    def _client(self) -> httpx.Client:
        try:
            return httpx.Client(
                proxy=self._proxy, verify=_trusted(), timeout=self._seconds, follow_redirects=False, trust_env=False
            )
        except (ImportError, ValueError):
            raise Unanswered("the environment names a proxy of a kind that is not known; http and https are") from None

    def _seen(self, _: str, info: Mapping[str, Any]) -> None:
        """Called by httpx at each step: which socket is the connection's."""
        stream = info.get("return_value")
        with self._lock:
            if stream is not None and hasattr(stream, "get_extra_info"):
                self._socket = stream.get_extra_info("socket")
            if self._over:  # it came to be after the cut
                self._shut()

    def _shut(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # closed already
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # TLS's own would wait for the other side


def _read(response: httpx.Response, most: int) -> bytes:
    """The body as it was sent, nothing unpacked. Raises TooLong."""
    parts, size = [], 0
    for part in response.iter_raw():
        parts.append(part)
        size += len(part)
        if size > most:
            raise TooLong
    return b"".join(parts)


@cache
def _trusted() -> ssl.SSLContext:
    """The certificates that the system trusts, a company's own among them; reading them takes a while."""
    return ssl.create_default_context()


def _name(error: BaseException) -> str:
    """The kind of the first of a chain of errors, such as ConnectionRefusedError."""
    while error.__cause__ is not None or error.__context__ is not None:
        error = error.__cause__ or error.__context__ or error
    return type(error).__name__
