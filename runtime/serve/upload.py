"""The body of a request as a file that only this user can read, while it is looked at; overwritten and gone afterwards.

It lies in a folder of its own beside the people store. A lock on that folder says that it is in use: what a kill left
behind has none, and is removed when the next server starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from starlette.requests import ClientDisconnect, Request

from copersona.runtime.people.own_folder import NO_FOLLOW, OwnFolder
from copersona.runtime.serve.fault import Fault

MOST = 1 << 30  # bytes of a file; the command takes larger ones
SILENCE = 30.0  # seconds that the next part may take
PART = 1 << 20  # bytes that are written at once
LONGEST_NAME = 120
FOLDER = "uploads"


@contextlib.asynccontextmanager
async def uploaded(request: Request, beside: Path, name: str) -> AsyncIterator[Path]:
    """The body as a file of this name in a folder `beside` others, as long as it is used. Raises Fault."""
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or len(length) > 15 or int(length) > MOST:
        raise _too_large()
    with contextlib.ExitStack() as stack:
        path, descriptor = stack.enter_context(_room(beside, safe_name(name)))
        try:
            await _receive(request, descriptor)
            yield path
        finally:
            await asyncio.to_thread(stack.close)  # overwriting takes its time


@contextlib.contextmanager
def _room(beside: Path, name: str) -> Iterator[tuple[Path, int]]:
    """A folder, locked, with one file that is open to be written."""
    own_name = secrets.token_hex(8)
    with OwnFolder(beside / FOLDER, make=True) as all_:
        try:
            with all_.folder(own_name, make=True) as own, _locked(own.path):
                try:
                    path = own.path / name
                    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_FOLLOW, 0o600)
                    try:
                        yield path, descriptor
                    finally:
                        os.close(descriptor)
                finally:
                    own.wipe(name)
        finally:
            all_.remove(own_name)


async def _receive(request: Request, descriptor: int) -> None:
    size, parts = 0, bytearray()
    stream = request.stream()
    try:
        while True:
            async with asyncio.timeout(SILENCE):
                part = await anext(stream, None)
            if part is None:
                break
            size += len(part)
            if size > MOST:
                raise _too_large()
            parts += part
            if len(parts) >= PART:
                await asyncio.to_thread(_write, descriptor, bytes(parts))
                parts.clear()
        await asyncio.to_thread(_write, descriptor, bytes(parts))
    except TimeoutError:
        raise Fault(408, f"no more of the file came within {SILENCE:.0f} seconds") from None
    except ClientDisconnect:
        raise Fault(499, "the client has left") from None


def _write(descriptor: int, part: bytes) -> None:
    try:
        while part:
            part = part[os.write(descriptor, part) :]
    except OSError as error:
        raise Fault(507, f"the file cannot be held here for the moment ({error.strerror})") from None


def _too_large() -> Fault:
    what = f"the file has more than {MOST:,} bytes; `copersona people import` takes any"
    return Fault(413, what, code="body_too_large")


def safe_name(given: str) -> str:
    """A name for a file in a folder of ours: what stands behind the last slash, without what no name should hold."""
    last = given.replace("\\", "/").rpartition("/")[2]
    kept = "".join(c for c in last if c.isprintable() and c not in ':*?"<>|').strip()
    stem, dot, end = kept.rpartition(".")
    kept = f"{stem[: LONGEST_NAME - 16]}{dot}{end[:15]}" if dot else kept[:LONGEST_NAME]
    while len(kept.encode()) > 255:
        kept = kept[1:]
    return kept if kept.strip(".") else "file"


def sweep(beside: Path) -> None:
    """Remove what a killed server left there, and nothing that another one uses."""
    with contextlib.suppress(OSError), OwnFolder(beside / FOLDER) as all_:
        for entry in all_.entries():
            with contextlib.suppress(OSError), all_.folder(entry.name) as left, _locked(left.path):
                for file in left.entries():
                    left.wipe(file.name)
                all_.remove(entry.name)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Have a folder for oneself; systems without such locks go without. Raises OSError where another process has it."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
