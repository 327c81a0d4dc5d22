"""Files and folders of a run: written whole under a temporary name, then renamed, so that a kill leaves the old or the
new one. A full disk is said in one line, whichever library met it."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from copersona.runtime.common.errors import ExportError
from copersona.runtime.common.files import sync_folder

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
FULL_WORDS = ("No space left on device", "database or disk is full")  # of safetensors and torch; of SQLite
ROOM = 1 << 20  # bytes; where no more than this is free, a failed write is put down to the full disk


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; renamed over it, durably, when the block ends without an error.

    Raises:
        ExportError: the disk is full.
    """
    part = path.with_name(f"{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with room_for(path):
            yield part
            _sync(part)
            os.replace(part, path)
            sync_folder(path.parent)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """The same for a folder: an empty one to fill, put in the place of `path` when the block ends without an error.

    Folders cannot be exchanged in one step everywhere, so the old one is moved aside first; `restore` brings it back
    after a kill between the two.
    """
    part, old = path.with_name(f"{path.name}.part"), _aside(path)
    restore(path)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        with room_for(path):
            yield part
            for file in (p for p in part.rglob("*") if p.is_file()):
                _sync(file)
            if path.exists():
                path.rename(old)
            part.rename(path)
            sync_folder(path.parent)
    finally:
        restore(path)
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def restore(path: Path) -> None:
    """Bring back a folder that was moved aside when the one to replace it did not come."""
    if not path.exists() and _aside(path).exists():
        _aside(path).rename(path)


def _aside(path: Path) -> Path:
    return path.with_name(f"{path.name}.old")


def _sync(path: Path) -> None:
    with path.open("rb") as handle:
        os.fsync(handle.fileno())


@contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """An empty folder at `path` for the time of the block; one that a kill left there is emptied first.

    Beside the results and not where the system keeps temporary files, which may be small.
    """
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def room_for(path: Path) -> Iterator[None]:
    """Turn what the libraries raise on a full disk into one line that says where and what to do.

    Raises:
        ExportError: a write failed, and the file system of `path` is full.
    """
    try:
        yield
    except Exception as error:
        free = shutil.disk_usage(_existing(path)).free
        if free >= ROOM and not _tells_of_full_disk(error):
            raise
        raise ExportError(
            f"{path}: cannot be written, the disk is full; make room and run the same "
            "command again, it goes on from what is done"
        ) from error


def need_room(path: Path, size: int) -> None:
    """Raises ExportError before a write of up to `size` bytes that the file system of `path` has no room for."""
    free = shutil.disk_usage(_existing(path)).free
    if free < size:
        raise ExportError(
            f"{path}: needs up to {size / 1e6:.1f} MB, {free / 1e6:.1f} MB of the disk are free; make room and run "
            "the same command again, it goes on from what is done"
        )


def _existing(path: Path) -> Path:
    return next(p for p in (path, *path.absolute().parents) if p.exists())


def _tells_of_full_disk(error: BaseException | None) -> bool:
    """Whether the error or one that led to it is the system's or SQLite's for no space."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return True
        if any(words in str(error) for words in FULL_WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text whole or not at all."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def weight_hashes(folder: Path) -> list[str]:
    """Hex digests of the weights in a model's folder, in the order of their names; none where it is no folder here."""
    paths = sorted(path for pattern in ("*.safetensors", "pytorch_model*.bin") for path in folder.rglob(pattern))
    return [_unchanged(path, path.stat().st_size, path.stat().st_mtime_ns) for path in paths]


@lru_cache(maxsize=64)
def _unchanged(path: Path, size: int, changed: int) -> str:
    """`sha256` of a file, once as long as size and time stay: gigabytes that every later step asks for."""
    return sha256(path)
