"""Hashes of files, and the memory of those that were checked before.

A file is known again by path, size, modification time and inode. The memory is a cache: lost or damaged, it costs time
and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from copersona.runtime.common.errors import BundleError
from copersona.runtime.common.files import write_whole
from copersona.runtime.common.places import cache_home

SETTLED = 2_000_000_000  # ns; a file changed this recently may change again within one tick of its clock
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class FileHash:
    """The hash of a file's bytes and the state of the file that they were read from."""

    bytes: int
    mtime_ns: int
    inode: int
    sha256: str


def file_sha256(path: Path, *, sync: bool = False) -> FileHash:
    """Hash a regular file, never through a link; with `sync`, have the device write it first.

    Raises:
        BundleError: it is missing, no regular file, or cannot be read.
    """
    try:
        wanted = ("O_NOFOLLOW", "O_BINARY", "O_NONBLOCK")  # the last: opening a pipe waits for who writes to it
        descriptor = os.open(path, os.O_RDONLY | sum(getattr(os, name, 0) for name in wanted))
        with open(descriptor, "rb", buffering=0) as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise BundleError(f"{path}: not a regular file, expected a copy of the file itself")
            if sync:
                os.fsync(descriptor)
            digest = hashlib.sha256()
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror or error})") from None
    return FileHash(status.st_size, status.st_mtime_ns, status.st_ino, digest.hexdigest())


class CheckedHashes:
    """Hashes remembered in one JSON file (`checked.json` in the cache folder by default)."""

    def __init__(self, cache: Path | None = None) -> None:
        self._file = cache_home() / "checked.json" if cache is None else cache
        self._hashes = self._load()
        self._changed = False

    def knows(self, path: Path, status: os.stat_result, sha256: str) -> bool:
        """Whether the file in this state was found to have this hash before."""
        return self._hashes.get(_key(path)) == [status.st_size, status.st_mtime_ns, status.st_ino, sha256]

    def remember(self, path: Path, found: FileHash) -> None:
        """Keep a hash that was just computed, unless the file changed a moment ago."""
        if time.time_ns() - found.mtime_ns > SETTLED:
            self._hashes[_key(path)] = [found.bytes, found.mtime_ns, found.inode, found.sha256]
            self._changed = True

    def save(self) -> None:
        """Write what is new, without the files that are gone. A cache that cannot be written is no error."""
        if not self._changed:
            return
        kept = {path: row for path, row in self._hashes.items() if os.path.exists(path)}
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(self._file, [json.dumps(kept).encode("utf-8")], durable=False)
        self._changed = False

    def _load(self) -> dict[str, Any]:
        try:
            rows = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return rows if isinstance(rows, dict) else {}


def _key(path: Path) -> str:
    return os.path.abspath(path)
