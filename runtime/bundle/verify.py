"""The bundle's manifest, and the check that a folder is what its manifest says.

`verify` runs before any parser sees a byte: safe relative paths, regular files, none missing, none too many, sizes and
hashes. A hash once checked is remembered by path, size, modification time and inode, so that a large model is not read
at every start. `parts.check_parts` then looks inside the files without loading them.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from copersona.runtime.bundle.manifest import (
    AGAIN,
    FORMAT_VERSION,
    MANIFEST,
    MAX_MANIFEST,
    SIGNATURE,
    FileRow,
    Manifest,
    Shapes,
    bundle_id,
    check_files,
)
from copersona.runtime.common.errors import BundleError
from copersona.runtime.common.files import write_whole
from copersona.runtime.common.hashes import CheckedHashes, file_sha256

__all__ = [
    "FORMAT_VERSION",
    "MANIFEST",
    "FileRow",
    "Manifest",
    "Shapes",
    "bundle_id",
    "open_manifest",
    "verify",
    "write_manifest",
]

MAX_DEPTH = 8  # folders below the bundle's own


def write_manifest(
    folder: Path | str, roles: Mapping[str, str], shapes: Shapes, settings: Mapping[str, Any]
) -> Manifest:
    """Hash the files of a finished export (path -> role) and write its manifest last, in one step.

    Raises:
        BundleError: a file that is missing or not listed, a role that is not known, settings that are no plain JSON.
    """
    folder = Path(folder)
    _check_listed(folder, set(roles))
    rows = []
    for path, role in sorted(roles.items()):
        digest = file_sha256(folder / path, sync=True)
        rows.append(FileRow(path, role, digest.bytes, digest.sha256))
    files = tuple(rows)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        check_files(files)
        text = Manifest(FORMAT_VERSION, bundle_id(files), created, files, shapes, dict(settings)).to_json()
    except (TypeError, ValueError) as error:
        raise BundleError(f"{folder}: the manifest cannot be written ({error})") from None
    if len(text.encode("utf-8")) > MAX_MANIFEST:
        raise BundleError(f"{folder}: the manifest would be longer than {MAX_MANIFEST:,} bytes; shorten its settings")
    manifest = Manifest.from_json(text, str(folder / MANIFEST))
    write_whole(folder / MANIFEST, [text.encode("utf-8")])
    return manifest


def open_manifest(folder: Path | str) -> Manifest:
    """Read the manifest of a bundle; the files that it lists are not looked at.

    Raises:
        BundleError: no such folder, no manifest in it, one that is too long, damaged, changed, or of a newer format.
    """
    folder = Path(folder)
    if not os.path.exists(folder):
        raise BundleError(f"{folder}: there is no such folder, expected a bundle")
    if not os.path.isdir(folder):
        raise BundleError(f"{folder}: this is a file, expected the folder of a bundle")
    path = folder / MANIFEST
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise BundleError(f"{path}: not a regular file; {AGAIN}")
        with open(path, "rb") as file:
            raw = file.read(MAX_MANIFEST + 1)
    except FileNotFoundError:
        raise BundleError(f"{folder}: holds no {MANIFEST}, so it is no bundle or an export that did not end") from None
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror or error})") from None
    if len(raw) > MAX_MANIFEST:
        raise BundleError(f"{path}: longer than {MAX_MANIFEST:,} bytes; {AGAIN}")
    try:
        return Manifest.from_json(raw.decode("utf-8"), str(path))
    except UnicodeDecodeError:
        raise BundleError(f"{path}: not UTF-8 text; {AGAIN}") from None


def verify(folder: Path | str, *, full: bool = False, cache: Path | None = None) -> Manifest:
    """Check that the folder holds exactly the files of its manifest, and return the manifest.

    A hash that `cache` (a file; by default in the user's cache folder) remembers is trusted unless `full`.

    Raises:
        BundleError: the first file that is missing, cut, changed, a link, or not listed.
    """
    folder = Path(folder)
    manifest = open_manifest(folder)
    _check_listed(folder, {row.path for row in manifest.files})
    hashes = CheckedHashes(cache)
    try:
        for row in manifest.files:
            _check_file(folder / row.path, row, hashes, full)
    finally:
        hashes.save()
    return manifest


def _check_file(path: Path, row: FileRow, hashes: CheckedHashes, full: bool) -> None:
    try:
        status = os.lstat(path)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror or error})") from None
    if status.st_size != row.bytes:
        how = "cut" if status.st_size < row.bytes else "changed"
        raise BundleError(f"{path}: {how}, {status.st_size:,} bytes where the manifest has {row.bytes:,}; {AGAIN}")
    if not full and hashes.knows(path, status, row.sha256):
        return
    found = file_sha256(path)
    if found.sha256 != row.sha256:
        raise BundleError(
            f"{path}: changed or from another export, "
            f"sha256 {found.sha256[:12]}... where the manifest has {row.sha256[:12]}...; {AGAIN}"
        )
    hashes.remember(path, found)


def _check_listed(folder: Path, listed: set[str]) -> None:
    """Every listed file is there as a regular file, and nothing else is, folders on the way aside."""
    found = dict(_walk(folder))
    for path in sorted(listed - found.keys()):
        raise BundleError(f"{folder / path}: missing; {AGAIN}")
    for path, mode in sorted(found.items()):
        if stat.S_ISLNK(mode):
            raise BundleError(
                f"{folder / path}: a link, expected the file itself; copy the bundle with its links followed"
            )
        if path not in listed and path not in (MANIFEST, SIGNATURE):
            raise BundleError(f"{folder / path}: not listed in the manifest; remove it, or {AGAIN}")
        if not stat.S_ISREG(mode):
            raise BundleError(f"{folder / path}: not a regular file; {AGAIN}")


def _walk(folder: Path, prefix: str = "") -> Iterator[tuple[str, int]]:
    """Relative POSIX path and mode of everything in the folder but folders that hold something; links not followed."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                path, mode = prefix + entry.name, entry.stat(follow_symlinks=False).st_mode
                enter = stat.S_ISDIR(mode) and path.count("/") < MAX_DEPTH
                inside = list(_walk(folder / entry.name, path + "/")) if enter else []
                yield from inside or [(path, mode)]
    except OSError as error:
        raise BundleError(f"{folder}: cannot be read ({error.strerror or error})") from None
