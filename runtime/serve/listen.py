"""The server on its socket: bound to this machine, run until it is told to stop, and then stopped cleanly."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import os
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import uvicorn

from copersona.runtime.common.errors import ModelError
from copersona.runtime.prompt.settings import RecallMode
from copersona.runtime.serve.app import make_app
from copersona.runtime.serve.gate import Doors
from copersona.runtime.serve.worker import Worker

LOOPBACK = "127.0.0.1"
PORT = 8321
GRACE = 5  # seconds that responses may take to end
CLOSING = 10.0  # seconds that the model's thread may take


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server listens; `beyond` this machine only where that is asked for, `names` are what it is called by
    from there."""

    host: str = LOOPBACK
    port: int = PORT
    beyond: bool = False
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        local = _is_loopback(self.host)
        if not local and not self.beyond:
            raise ModelError(
                f"--host {self.host} can be reached from other machines, where texts and token travel unencrypted; "
                "if that is meant, add --listen-beyond-this-machine"
            )
        if not local and _is_any(self.host) and not self.names:
            raise ModelError(f"--host {self.host} is every address; say by --name which ones this machine is called by")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def _is_any(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_unspecified
    return not host


def bound(address: Address) -> list[socket.socket]:
    """Sockets that listen there; at the loopback's default on both of its addresses, where there are two.

    Raises:
        ModelError: the port is taken, or there is no such address.
    """
    both = address.host in (LOOPBACK, "localhost")
    first = _socket(LOOPBACK if both else address.host, address.port)
    if not both:
        return [first]
    try:
        return [first, _socket("::1", first.getsockname()[1])]
    except _NoAddress:
        return [first]
    except ModelError:  # another program would be given our clients' tokens
        first.close()
        raise


class _NoAddress(ModelError):
    """This machine has no such address."""


def _socket(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        made = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise _NoAddress(f"{host}: {error.strerror}") from None
    try:
        if os.name == "posix":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((host, port))
        made.listen(128)
    except (OSError, OverflowError) as error:
        made.close()
        number = error.errno if isinstance(error, OSError) else None
        if number == errno.EADDRINUSE:
            raise ModelError(f"port {port} of {host} is taken by another program; choose one by --port") from None
        kind = _NoAddress if number in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT) else ModelError
        raise kind(f"cannot listen at {host}, port {port} ({error})") from None
    return made


def names_of(address: Address, port: int) -> frozenset[str]:
    """How the server may be called in a Host header."""
    hosts = {LOOPBACK, "localhost", "[::1]", *address.names}
    if not _is_any(address.host):
        hosts.add(f"[{address.host}]" if ":" in address.host else address.host)
    found = {f"{host.lower()}:{port}" for host in hosts}
    return frozenset(found | {host.lower() for host in hosts} if port == 80 else found)


class _Server(uvicorn.Server):
    """Without uvicorn's own handling of signals, which ends the process by them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Serving:
    """One server: `run` returns when it was stopped; `ready` is called when all is loaded; `recall` is when a person is
    recalled for a request that does not say."""

    def __init__(
        self,
        worker: Worker,
        address: Address,
        token: str,
        ready: Callable[[], None] = lambda: None,
        *,
        recall: RecallMode = "always",
    ) -> None:
        self._recall = recall
        self._worker, self._ready = worker, ready
        worker.changed = self._changed
        self._sockets = bound(address)
        self.port = int(self._sockets[0].getsockname()[1])
        self._doors = Doors(names_of(address, self.port), token)
        self._server: uvicorn.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, *, signals: bool = True) -> None:
        """Listen, load, answer, until `stop` or a signal.

        Raises:
            CoPersonaError: what was to be loaded cannot be.
        """
        try:
            asyncio.run(self._run(signals))
        finally:
            self._worker.stop()
            self._worker.join(CLOSING)
            for one in self._sockets:
                one.close()
        if self._worker.error is not None:
            raise self._worker.error

    def stop(self) -> None:
        """Stop soon; the second time, at once. May be called by any thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has stopped
                self._loop.call_soon_threadsafe(self._stop)

    def _changed(self) -> None:
        if self._worker.error is None:
            self._ready()
        else:
            self.stop()

    def _stop(self) -> None:
        if self._server is not None:
            self._server.force_exit = self._server.should_exit
            self._server.should_exit = True
        self._worker.stop()

    async def _run(self, signals: bool) -> None:
        self._loop = asyncio.get_running_loop()
        app: Any = make_app(self._worker, lambda: self._doors, self._recall)
        config = uvicorn.Config(
            app, log_config=None, access_log=False, server_header=False, proxy_headers=False, lifespan="off", ws="none",
            http="h11", timeout_graceful_shutdown=GRACE,
        )  # fmt: skip
        self._server = _Server(config)
        if signals:
            self._listen_to_signals()
        self._worker.start()
        await self._server.serve(self._sockets)

    def _listen_to_signals(self) -> None:
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is None:
                continue
            try:
                asyncio.get_running_loop().add_signal_handler(number, self._stop)
            except NotImplementedError:  # Windows
                signal.signal(number, lambda *_: self.stop())
