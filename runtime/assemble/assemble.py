"""`copersona bundle assemble`: a thin bundle and its base become a whole bundle, there complete or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from copersona.runtime.assemble.lora import read_lora
from copersona.runtime.assemble.merge import make_model
from copersona.runtime.assemble.pinned import find_base
from copersona.runtime.assemble.probe import check_probe
from copersona.runtime.assemble.thin import HALVED, Thin, read_thin, widen
from copersona.runtime.bundle.manifest import FileRow, Manifest
from copersona.runtime.bundle.parts import check_parts
from copersona.runtime.bundle.verify import open_manifest, verify, write_manifest
from copersona.runtime.common.errors import BundleError, ModelError
from copersona.runtime.common.files import sync_folder
from copersona.runtime.common.hashes import file_sha256
from copersona.runtime.common.places import cache_home

PART = ".assembling-"
LEFT = 3600.0  # seconds after which an unfinished folder is nobody's any more


def assembled_folder(manifest: Manifest) -> Path:
    """Where the whole bundle of a thin one lies in the cache."""
    return cache_home() / "bundles" / manifest.bundle_id[:16]


def assemble(folder: Path | str, base: Path | None = None, out: Path | None = None) -> Path:
    """Make the whole bundle of the thin bundle in `folder`; returns where it is.

    Args:
        base: the base model's GGUF; None looks in the cache and in known packages.
        out: the new folder; None is one in the cache, which is returned as it is when it is whole already.

    Raises:
        BundleError: the thin bundle is damaged or not thin, or `out` is there.
        ModelError: the base is not found or another one, the disk is full, or the model answers otherwise than the
            manifest's probe says.
    """
    folder = Path(folder)
    manifest = verify(folder, full=True)
    thin = read_thin(manifest)
    target = assembled_folder(manifest) if out is None else Path(out)
    if os.path.lexists(target):
        if out is not None:
            raise BundleError(f"{target}: is there already; give a folder that is not")
        if _of(target, manifest):
            return target
        shutil.rmtree(target)
    source = find_base(thin.base, base)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _new_folder(target) as part:
            _fill(part, folder, manifest, thin, source)
    except ModelError:
        if out is not None or not _of(target, manifest):  # another process may have been quicker
            raise
    return target


def _of(target: Path, manifest: Manifest) -> bool:
    """Whether the folder is the whole bundle of this thin one."""
    try:
        return verify(target).settings.get("assembled_from") == manifest.bundle_id
    except BundleError:
        return False


@contextlib.contextmanager
def _new_folder(target: Path) -> Iterator[Path]:
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


def _fill(part: Path, folder: Path, manifest: Manifest, thin: Thin, base: Path) -> None:
    """All files of the whole bundle and, last, its manifest."""
    roles: dict[str, str] = {}
    for row in manifest.files:
        path = part / row.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if row.role == "lora":
            continue
        roles[row.path] = row.role
        if row.role in HALVED:
            _widened(folder / row.path, path, next(one for one in thin.whole if one.role == row.role))
        else:
            shutil.copyfile(folder / row.path, path)
    lora = manifest.path(folder, "lora")
    _room(part, thin)
    make_model(base, read_lora(lora), part / thin.model.path, thin.quantize)
    roles[thin.model.path] = "model"
    check_probe(part / thin.model.path, thin.probe)
    settings = {name: value for name, value in manifest.settings.items() if name != "thin"}
    settings["assembled_from"] = manifest.bundle_id
    check_parts(part, write_manifest(part, roles, manifest.shapes, settings))


def _widened(source: Path, target: Path, row: FileRow) -> None:
    """One of the files that ship as float16, as it was before: the `row` of the whole bundle, proven by its hash."""
    from safetensors import SafetensorError

    try:
        widen(source, target)
    except (ValueError, EOFError, SafetensorError) as error:
        raise BundleError(f"{source}: cannot be read as float16 ({error}); fetch a whole copy") from None
    if file_sha256(target).sha256 != row.sha256:
        raise BundleError(f"{source}: does not become the {row.path} that the manifest names; fetch a whole copy")


def _room(part: Path, thin: Thin) -> None:
    """Raises ModelError before the merge where the disk has no room for it."""
    needed = thin.model.bytes + 8 * thin.base.bytes  # float32 of a 4-bit base, at the most
    free = shutil.disk_usage(part).free
    if free < needed:
        raise ModelError(f"{part.parent}: assembling needs {needed / 1e6:.0f} MB, {free / 1e6:.0f} MB are free")


def whole_bundle(folder: Path | str) -> Path:
    """The folder itself, or of a thin bundle the assembled one in the cache, made if it is not there.

    Raises:
        BundleError, ModelError: as `assemble`.
    """
    return assemble(folder) if open_manifest(folder).thin else Path(folder)
