"""One store file put in the place of another, so that a kill leaves the old one or the new one, whole.

The new one is made beside the store under a name of its own. When it is whole, the old one gets a second name, the new
one takes its place in one step, and the old one's bytes are overwritten. Whoever opens the store next finishes what a
kill left: nothing that was readable before stays under any name.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from copersona.runtime.common.files import sync_file, sync_folder
from copersona.runtime.people.own_folder import NO_FOLLOW, overwrite


def new_name(path: Path) -> Path:
    """Where the new file is made."""
    return path.with_name(f".{path.name}.copersona-new")


def old_name(path: Path) -> Path:
    """What the old file is called until it is overwritten."""
    return path.with_name(f".{path.name}.copersona-old")


def replace_file(path: Path) -> None:
    """Put the whole new file in the place of the store, and overwrite the old one. The caller holds the store's lock.

    Raises:
        OSError: nothing was replaced, or the old file could not be overwritten; the next opening does it then.
    """
    new, old = new_name(path), old_name(path)
    sync_file(new)
    sync_folder(path.parent)
    with contextlib.suppress(OSError):  # a file system without second names
        os.link(path, old)
        sync_folder(path.parent)
    descriptor = os.open(path, os.O_WRONLY | NO_FOLLOW)
    try:
        os.replace(new, path)
        sync_folder(path.parent)
        overwrite(descriptor)
    finally:
        os.close(descriptor)
    old.unlink(missing_ok=True)
    sync_folder(path.parent)


def settle(path: Path) -> None:
    """Overwrite and remove the old file of a replacement that was killed after its step. Raises OSError."""
    if _is_same(old_name(path), path) is False:
        wipe(old_name(path))


def has_strays(path: Path) -> bool:
    """Whether something of a replacement is there."""
    return os.path.lexists(old_name(path)) or os.path.lexists(new_name(path))


def settle_locked(path: Path) -> None:
    """Remove what a replacement left that was killed before its step. The caller holds the store's write lock, so that
    no other process is at it. Raises OSError."""
    if _is_same(old_name(path), path):
        old_name(path).unlink(missing_ok=True)
    wipe(new_name(path))


def _is_same(one: Path, other: Path) -> bool | None:
    """Whether both names are of one file; None where the first is not there, or goes meanwhile."""
    try:
        return os.path.samestat(os.lstat(one), os.lstat(other))
    except FileNotFoundError:
        return None


def wipe(path: Path) -> None:
    """Overwrite a file and remove it; it is no error if there is none.

    Raises:
        OSError: it is no regular file, has a second name, or cannot be overwritten; it is left as it is.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | NO_FOLLOW)
    except FileNotFoundError:
        return
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            raise OSError(f"{path.name} is no file of copersona's, or has a second name; move it away")
        overwrite(descriptor)
    finally:
        os.close(descriptor)
    path.unlink(missing_ok=True)
