"""States of prefixes on disk: beside the people store, a folder a person, gone when the person is.

A state holds what a person wrote, in the model's terms, so it is kept as their history is: readable by this user only,
never in a bundle. It is a cache: bounded in bytes, least recently used out first, lost without harm. A file that was
cut, changed, or put under another name is never given out: its key and the hash of all its bytes stand at its head.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from copersona.runtime.common.files import write_whole

if TYPE_CHECKING:
    from copersona.runtime.engine.llama_context import State

MAGIC = b"CoPpKV1\n"
HEAD = len(MAGIC) + 64  # magic, key, sha256 of key and state
SUFFIX = ".state"


class KeptStates(NamedTuple):
    """How many states of a person are on disk, and their bytes."""

    states: int
    bytes: int


class PrefixFiles:
    """The states beside one people store. Reading and writing never raise; forgetting raises OSError."""

    def __init__(self, store: Path) -> None:
        self.folder = store.with_name(f"{store.stem}.prefixes")
        self._store = store

    def read(self, person: str, key: str) -> State | None:
        """The state that was written under this key, now the most recently used; a file that is none is removed."""
        path = self._path(person, key)
        try:
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
        except OSError:
            return None
        with open(descriptor, "rb", buffering=0) as file, contextlib.suppress(OSError):
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode) and status.st_size > HEAD:
                import numpy as np  # here: a store that only lists people needs none of it

                raw = np.empty(status.st_size, np.uint8)
                whole = file.readinto(raw.data) == status.st_size
                if whole and raw[:HEAD].tobytes() == _head(key, raw[HEAD:]):
                    os.utime(descriptor if os.utime in os.supports_fd else path)
                    return raw[HEAD:]
        self.drop(person, key)
        return None

    def write(self, person: str, key: str, state: State, limit: int) -> None:
        """Keep a state of someone whom the store knows, and of all states no more than `limit` bytes."""
        if HEAD + len(state) > limit:
            return
        path = self._path(person, key)
        with contextlib.suppress(OSError):
            self.folder.mkdir(mode=0o700, exist_ok=True)
            path.parent.mkdir(mode=0o700, exist_ok=True)
            write_whole(path, [_head(key, state), state.data], 0o600, durable=False)
            if not self._knows(person):  # forgotten meanwhile: asked after writing, so that one of both sees the other
                self.forget(person)
            self._bound(limit)

    def drop(self, person: str, key: str) -> None:
        """Remove one state."""
        with contextlib.suppress(OSError):
            _wipe(self._path(person, key))

    def forget(self, person: str) -> None:
        """Remove all states of a person; it is no error if there are none."""
        _remove(self.folder / _folder_name(person))

    def sweep(self, people: Iterable[str]) -> None:
        """Remove all states but those of these people."""
        kept = {_folder_name(person) for person in people}
        for folder in _entries(self.folder):
            if folder.name not in kept:
                _remove(Path(folder.path))

    def kept(self, person: str) -> KeptStates:
        """What there is of a person."""
        sizes = [entry.stat().st_size for entry in _entries(self.folder / _folder_name(person))]
        return KeptStates(len(sizes), sum(sizes))

    def _path(self, person: str, key: str) -> Path:
        return self.folder / _folder_name(person) / f"{key}{SUFFIX}"

    def _bound(self, limit: int) -> None:
        """Remove the least recently used files until all are within the limit."""
        files = [(e.stat().st_mtime_ns, e.stat().st_size, e.path) for f in _entries(self.folder) for e in _entries(f)]
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= limit:
                return
            _wipe(Path(path))
            total -= size

    def _knows(self, person: str) -> bool:
        try:
            with contextlib.closing(sqlite3.connect(f"{self._store.absolute().as_uri()}?mode=ro", uri=True)) as store:
                return store.execute("SELECT 1 FROM people WHERE name = ?", (person,)).fetchone() is not None
        except sqlite3.Error:
            return False


def _folder_name(person: str) -> str:
    return hashlib.sha256(person.encode("utf-8")).hexdigest()[:32]


def _head(key: str, state: State) -> bytes:
    named = hashlib.sha256(key.encode("ascii")).digest()
    digest = hashlib.sha256(named)
    digest.update(state.data)
    return MAGIC + named + digest.digest()


def _entries(folder: Path | os.DirEntry[str]) -> Iterator[os.DirEntry[str]]:
    """What is in a folder; nothing where there is none."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        yield from list(entries)


def _remove(folder: Path) -> None:
    for entry in _entries(folder):
        _wipe(Path(entry.path))
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        folder.rmdir()


def _wipe(path: Path) -> None:
    """Overwrite a file and remove it: what a person wrote is not left in free blocks where that can be helped."""
    with contextlib.suppress(FileNotFoundError):
        if not path.is_symlink():
            with path.open("r+b") as file:
                left = os.fstat(file.fileno()).st_size
                while left > 0:
                    left -= file.write(bytes(min(left, 1 << 20)))
                file.flush()
                os.fsync(file.fileno())
        path.unlink()
