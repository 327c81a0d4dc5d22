"""A folder on this device that is ours alone, entered so that nothing foreign in it or behind a link is touched.

It is held by its descriptor and what is in it is reached from there by name, never through a link, so that nothing that
is exchanged meanwhile leads elsewhere. Systems that cannot do this go by path, and look at it first.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from copersona.runtime.common.closing import Closing

BY_DESCRIPTOR = os.open in os.supports_dir_fd and os.scandir in os.supports_fd
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
CHUNK = 1 << 20  # bytes overwritten at once


class NotOurs(OSError):
    """Where a file or folder of ours was expected there is a link, another kind of file, or another user's. It is left
    as it is."""


class Entry(NamedTuple):
    """One name in a folder, and what stands there; a link is itself, not what it leads to."""

    name: str
    status: os.stat_result

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file of this user."""
        return stat.S_ISREG(self.status.st_mode) and _is_mine(self.status)


class OwnFolder(Closing):
    """One folder, entered. Close it, or use it in a `with`.

    With `within` it is the folder of that name in another; with `make` it is made (0700) where it is not there. One
    that others may enter is closed to them.

    Raises:
        NotOurs: a link or no folder stands there, or it belongs to another user.
        FileNotFoundError: there is none.
    """

    def __init__(self, path: Path, *, within: OwnFolder | None = None, make: bool = False) -> None:
        self.path = path
        self._descriptor: int | None = None
        target, at = (str(path), None) if within is None else within._at(path.name)
        if make:
            with contextlib.suppress(FileExistsError):
                os.mkdir(target, 0o700, dir_fd=at)
        self._check(os.stat(target, dir_fd=at, follow_symlinks=False))
        if BY_DESCRIPTOR:
            self._descriptor = os.open(target, os.O_RDONLY | os.O_DIRECTORY | NO_FOLLOW, dir_fd=at)
            try:
                self._secure(os.fstat(self._descriptor))
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Leave the folder; leaving twice is no error."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def folder(self, name: str, *, make: bool = False) -> OwnFolder:
        """A folder in this one. Raises as the class does."""
        return OwnFolder(self.path / name, within=self, make=make)

    def entries(self) -> list[Entry]:
        """Everything in the folder, by name; what goes meanwhile is left out."""
        found = []
        with os.scandir(self.path if self._descriptor is None else self._descriptor) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    found.append(Entry(entry.name, entry.stat(follow_symlinks=False)))
        return sorted(found)

    def open(self, name: str) -> int:
        """The descriptor of a file to read, never through a link; the caller closes it. Raises OSError."""
        target, at = self._at(name)
        return os.open(target, os.O_RDONLY | NO_FOLLOW, dir_fd=at)

    def write(self, name: str, part: str, chunks: Iterable[bytes | memoryview]) -> None:
        """A file of these bytes (0600), there whole or not at all, in the place of what had this name.

        Meanwhile it is called `part` with `*` replaced by eight random digits. Raises OSError.
        """
        target, at = self._at(name)
        beside, _ = self._at(part.replace("*", secrets.token_hex(4)))
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_FOLLOW, 0o600, dir_fd=at)
        try:
            with open(descriptor, "wb") as file:
                file.writelines(chunks)
            os.replace(beside, target, src_dir_fd=at, dst_dir_fd=at)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(beside, dir_fd=at)
            raise

    def wipe(self, name: str) -> None:
        """Overwrite a file of ours and remove it: what a person wrote is not left in free blocks where that can be
        helped. It is no error if there is none.

        Raises:
            NotOurs: what stands there is a link, no regular file, or another user's, and left as it is; or the file
                has a second name elsewhere (a hard link): its name here is removed and its bytes are left as they are.
            OSError: the file cannot be overwritten or removed.
        """
        target, at = self._at(name)
        with contextlib.suppress(FileNotFoundError):
            found = Entry(name, os.stat(target, dir_fd=at, follow_symlinks=False))
            if not found.is_file:
                raise NotOurs(errno.EPERM, "no regular file of this user, left as it is", str(self.path / name))
            with open(os.open(target, os.O_WRONLY | NO_FOLLOW, dir_fd=at), "wb", buffering=0) as file:
                opened = Entry(name, os.fstat(file.fileno()))
                single = opened.is_file and opened.status.st_nlink == 1
                if single:
                    overwrite(file.fileno())
            os.unlink(target, dir_fd=at)
            if not single:
                raise NotOurs(errno.EMLINK, "had a second name elsewhere, left as it is there", str(self.path / name))

    def remove(self, name: str) -> bool:
        """Remove a folder in this one; False where something is in it. It is no error if there is none."""
        target, at = self._at(name)
        try:
            os.rmdir(target, dir_fd=at)
        except FileNotFoundError:
            return True
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            return False
        return True

    def _at(self, name: str) -> tuple[str, int | None]:
        """How to reach a name in this folder: what to open, from which descriptor."""
        return (str(self.path / name), None) if self._descriptor is None else (name, self._descriptor)

    def _check(self, status: os.stat_result) -> None:
        if not stat.S_ISDIR(status.st_mode):
            what = "a link" if stat.S_ISLNK(status.st_mode) else "no folder"
            raise NotOurs(errno.ENOTDIR, f"{what}, expected a folder of copersona's; left as it is", str(self.path))
        if not _is_mine(status):
            raise NotOurs(errno.EPERM, "a folder of another user, left as it is", str(self.path))

    def _secure(self, status: os.stat_result) -> None:
        """Of what was entered, the same once more: it may have been exchanged; and others are kept out."""
        self._check(status)
        if status.st_mode & 0o077 and self._descriptor is not None:
            with contextlib.suppress(OSError):  # a file system without modes
                os.fchmod(self._descriptor, 0o700)


def _is_mine(status: os.stat_result) -> bool:
    return not hasattr(os, "geteuid") or status.st_uid == os.geteuid()


def overwrite(descriptor: int) -> None:
    """Zeros over all bytes of an open file, on the device when this returns. Raises OSError."""
    left = os.fstat(descriptor).st_size
    try:
        while left > 0:
            left -= os.write(descriptor, bytes(min(left, CHUNK)))
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.ENOSPC:  # a file system that copies, and has no room left: removed all the same
            raise
