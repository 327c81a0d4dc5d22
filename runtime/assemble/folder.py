"""The folder of a new bundle: there complete or not at all, filled from the files of another one."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from copersona.runtime.assemble.thin import HALVED, Thin, widen
from copersona.runtime.bundle.manifest import FileRow
from copersona.runtime.common.errors import BundleError, ModelError
from copersona.runtime.common.files import sync_folder
from copersona.runtime.common.hashes import file_sha256

PART = ".assembling-"
LEFT = 3600.0  # seconds after which an unfinished folder is nobody's any more


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder beside `target` to fill, renamed to it at the end; what a kill left an hour ago or longer is removed.

    Raises:
        ModelError: the disk is full.
    """
    for left in target.parent.iterdir():
        if left.name.startswith(f"{PART}{target.name}-") and time.time() - left.stat().st_mtime > LEFT:
            shutil.rmtree(left, ignore_errors=True)
    part = Path(tempfile.mkdtemp(prefix=f"{PART}{target.name}-", dir=target.parent))
    try:
        yield part
        os.chmod(part, 0o755)
        os.rename(part, target)
        sync_folder(target.parent)
    except OSError as error:
        raise ModelError(f"{target}: cannot be written ({error.strerror or error}); nothing was left there") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def copy_file(folder: Path, row: FileRow, part: Path, thin: Thin | None) -> None:
    """Copy a file of the bundle in `folder` into `part`: of a thin bundle, as its whole one has it.

    Raises:
        BundleError: it does not become what the thin manifest says.
    """
    source, path = folder / row.path, part / row.path
    path.parent.mkdir(parents=True, exist_ok=True)
    if thin is not None and row.role in HALVED:
        _widened(source, path, next(one for one in thin.whole if one.role == row.role))
    else:
        shutil.copyfile(source, path)


def _widened(source: Path, target: Path, row: FileRow) -> None:
    """One of the files that ship as float16, as it was before: the `row` of the whole bundle, proven by its hash."""
    from safetensors import SafetensorError

    try:
        widen(source, target)
    except (ValueError, EOFError, SafetensorError) as error:
        raise BundleError(f"{source}: cannot be read as float16 ({error}); fetch a whole copy") from None
    if file_sha256(target).sha256 != row.sha256:
        raise BundleError(f"{source}: does not become the {row.path} that the manifest names; fetch a whole copy")
