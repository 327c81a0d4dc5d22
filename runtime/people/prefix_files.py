"""States of prefixes on disk: beside the people store, a folder a person, gone when the person is.

A state holds what a person wrote, in the model's terms, so it is kept as their history is: readable by this user only,
never in a bundle, and sealed where the store is (`state_form.py`). It is a cache: bounded in bytes, least recently used
out first, lost without harm. A file that was cut, changed, or put under another name is never given out.

Only what is ours by name and kind is ever read, overwritten or removed; anything else is left as it is, and named.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from copersona.runtime.people.own_folder import Entry, NotOurs, OwnFolder
from copersona.runtime.people.sealed import Key, connect, driver
from copersona.runtime.people.state_form import MOST, StateForm, state_form

if TYPE_CHECKING:
    from copersona.runtime.engine.llama_context import State

SUFFIX = ".state"
PART = "tmp*.part"  # a state that is being written

_FOLDER = re.compile(r"[0-9a-f]{32}")
_FILE = re.compile(r"[0-9a-f]{64}\.state|tmp[0-9a-z_]{8}\.part")


class KeptStates(NamedTuple):
    """How many states of a person are on disk, and their bytes."""

    states: int
    bytes: int


class PrefixFiles:
    """The states beside one people store. Reading and writing never raise; forgetting raises OSError where something of
    ours cannot be removed, and says what it left because it is not ours."""

    def __init__(self, store: Path, sealed_by: Key | None = None, revision: int | None = None) -> None:
        self.folder = store.with_name(f"{store.stem}.prefixes")
        self._store, self._key, self._revision = store, sealed_by, revision
        self._form: StateForm = state_form(sealed_by)

    def at(self, revision: int) -> PrefixFiles:
        """The same for someone whose last revision this is: after a later one nothing is kept."""
        return PrefixFiles(self._store, self._key, revision)

    def read(self, person: str, key: str) -> State | None:
        """The state that was written under this key, now the most recently used; a file that is none is removed."""
        try:
            with OwnFolder(self.folder) as root, root.folder(self._form.folder(person)) as folder:
                found = _read(folder, self._form, key)
                if found is None:
                    folder.wipe(self._file(key))
                return found
        except OSError:
            return None

    def write(self, person: str, key: str, state: State, limit: int) -> None:
        """Keep a state of someone whom the store knows, and of all states no more than `limit` bytes."""
        if self._form.extra + len(state) > min(limit, MOST):
            return
        with contextlib.suppress(OSError), OwnFolder(self.folder, make=True) as root:
            with root.folder(self._form.folder(person), make=True) as folder:
                folder.write(self._file(key), PART, self._form.write(key, state))
            if not self._knows(
                person
            ):  # forgotten or revised meanwhile: asked after writing, so that one of both sees the other
                self.forget(person)
            _bound(root, limit)

    def drop(self, person: str, key: str) -> None:
        """Remove one state."""
        name = self._form.folder(person)
        with contextlib.suppress(OSError), OwnFolder(self.folder) as root, root.folder(name) as folder:
            folder.wipe(self._file(key))

    def forget(self, person: str) -> tuple[str, ...]:
        """Remove all states of a person; it is no error if there are none. What was left where they would be, not being
        ours, each in one line."""
        try:
            with OwnFolder(self.folder) as root:
                return tuple(_remove(root, self._form.folder(person)))
        except FileNotFoundError:
            return ()
        except NotOurs as error:
            return (_line(error),)

    def forget_all(self, people: Iterable[str]) -> None:
        """`forget` of many, of whom few have states. `people` is not looked at where nobody has any."""
        with contextlib.suppress(FileNotFoundError, NotOurs), OwnFolder(self.folder) as root:
            if kept := {entry.name for entry in root.entries()}:
                for name in map(self._form.folder, people):
                    if name in kept:
                        _remove(root, name)

    def sweep(self, people: Iterable[str]) -> tuple[str, ...]:
        """Remove all states but those of these people; what was left, as `forget`."""
        left = []
        try:
            with OwnFolder(self.folder) as root:
                entries = root.entries()
                folders = {entry.name for entry in entries}
                kept = folders.intersection(map(self._form.folder, people)) if folders else set()
                for entry in entries:
                    if not _FOLDER.fullmatch(entry.name):
                        left.append(_foreign(root, entry))
                    elif entry.name not in kept:
                        left += _remove(root, entry.name)
        except FileNotFoundError:
            return ()
        except NotOurs as error:
            return (_line(error),)
        return tuple(left)

    def kept(self, person: str) -> KeptStates:
        """What there is of a person."""
        try:
            with OwnFolder(self.folder) as root:
                sizes = [entry.status.st_size for entry in _states(root, self._form.folder(person))]
        except OSError:
            sizes = []
        return KeptStates(len(sizes), sum(sizes))

    def _knows(self, person: str) -> bool:
        try:
            with contextlib.closing(connect(self._store, self._key, readonly=True)) as store:
                query = "SELECT 1 FROM people WHERE name = ? AND last_revision = ifnull(?, last_revision)"
                return store.execute(query, (person, self._revision)).fetchone() is not None
        except driver(self._key).Error:
            return False

    def _file(self, key: str) -> str:
        return f"{self._form.file(key)}{SUFFIX}"


def _read(folder: OwnFolder, form: StateForm, key: str) -> State | None:
    """The state under this key, None where what stands there is none. Raises OSError where nothing does."""
    name = f"{form.file(key)}{SUFFIX}"
    with open(folder.open(name), "rb", buffering=0) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size <= form.extra:
            return None
        import numpy as np  # here: a store that only lists people needs none of it

        raw = np.empty(status.st_size, np.uint8)
        whole = file.readinto(raw.data) == status.st_size
        found = form.read(key, raw) if whole else None
        if found is not None:
            os.utime(file.fileno() if os.utime in os.supports_fd else folder.path / name)
        return found


def _states(root: OwnFolder, name: str) -> list[Entry]:
    """The files of ours in one person's folder; none where there is no such folder, or none of ours."""
    with contextlib.suppress(FileNotFoundError, NotOurs), root.folder(name) as folder:
        return [entry for entry in folder.entries() if entry.is_file and _FILE.fullmatch(entry.name)]
    return []


def _bound(root: OwnFolder, limit: int) -> None:
    """Remove the least recently used files until all are within the limit."""
    names = [entry.name for entry in root.entries() if _FOLDER.fullmatch(entry.name)]
    files = [(e.status.st_mtime_ns, e.status.st_size, name, e.name) for name in names for e in _states(root, name)]
    total = sum(size for _, size, _, _ in files)
    for _, size, name, file in sorted(files):
        if total <= limit:
            return
        with contextlib.suppress(FileNotFoundError, NotOurs), root.folder(name) as folder:
            folder.wipe(file)
        total -= size


def _remove(root: OwnFolder, name: str) -> list[str]:
    """Remove one person's folder with the files of ours in it; what was left, each in one line."""
    left = []
    try:
        with root.folder(name) as folder:
            for entry in folder.entries():
                if not _FILE.fullmatch(entry.name):
                    left.append(_foreign(folder, entry))
                    continue
                try:
                    folder.wipe(entry.name)
                except NotOurs as error:
                    left.append(_line(error))
    except FileNotFoundError:
        return []
    except NotOurs as error:
        return [_line(error)]
    root.remove(name)  # stays where something was left, or is being written: who writes asks afterwards
    return left


def _foreign(folder: OwnFolder, entry: Entry) -> str:
    return f"{str(folder.path / entry.name)!r}: not copersona's, left as it is"


def _line(error: NotOurs) -> str:
    return f"{error.filename!r}: {error.strerror}"
