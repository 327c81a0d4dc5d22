"""Files that are there whole or not at all, if durable also after a power cut."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path


def write_whole(path: Path, chunks: Iterable[bytes | memoryview], mode: int = 0o644, *, durable: bool = True) -> None:
    """Replace `path` in one step by these bytes; where that fails, what was there stays.

    Caches that are checked when read need not be `durable`: the device then writes them when it likes.

    Raises:
        OSError: the folder cannot be written, or the device is full.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "wb") as file:
            file.writelines(chunks)
            if durable:
                file.flush()
                os.fsync(descriptor)
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    if durable:
        sync_folder(path.parent)


def link_or_copy(source: Path, target: Path) -> None:
    """The same file under another name where the file system can, a copy where not. Raises OSError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def sync_folder(folder: Path) -> None:
    """Have the device keep what was made, renamed or removed in the folder, where the system knows how."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sync_file(path: Path) -> None:
    """Have the device keep what was written to the file."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
