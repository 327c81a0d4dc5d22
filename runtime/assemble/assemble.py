"""`copersona bundle assemble`: a thin bundle and its base become a whole bundle, there complete or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from copersona.runtime.assemble.folder import copy_file, new_folder
from copersona.runtime.assemble.lora import read_lora
from copersona.runtime.assemble.merge import make_model
from copersona.runtime.assemble.pinned import find_base
from copersona.runtime.assemble.probe import check_probe
from copersona.runtime.assemble.thin import Thin, read_thin
from copersona.runtime.bundle.manifest import Manifest
from copersona.runtime.bundle.parts import check_parts
from copersona.runtime.bundle.signature import signer
from copersona.runtime.bundle.verify import open_manifest, verify, write_manifest
from copersona.runtime.common.errors import BundleError, ModelError
from copersona.runtime.common.places import cache_home
from copersona.runtime.common.progress import note
from copersona.runtime.engine.model_trial import try_model


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
    signer(folder, manifest)
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
        with new_folder(target) as part:
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


def _fill(part: Path, folder: Path, manifest: Manifest, thin: Thin, base: Path) -> None:
    """All files of the whole bundle and, last, its manifest."""
    roles: dict[str, str] = {}
    for row in manifest.files:
        if row.role != "lora":
            roles[row.path] = row.role
            copy_file(folder, row, part, thin)
    lora = manifest.path(folder, "lora")
    _room(part, thin)
    make_model(base, read_lora(lora), part / thin.model.path, thin.quantize)
    roles[thin.model.path] = "model"
    try_model(part / thin.model.path, context=64)
    check_probe(part / thin.model.path, thin.probe)
    settings = {name: value for name, value in manifest.settings.items() if name != "thin"}
    settings["assembled_from"] = manifest.bundle_id
    check_parts(part, write_manifest(part, roles, manifest.shapes, settings))


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
    manifest = open_manifest(folder)
    if not manifest.thin:
        return Path(folder)
    target = assembled_folder(manifest)
    if os.path.lexists(target) and _of(target, manifest):
        return target
    note(f"{folder}: a thin bundle, assembled into {target.parent} now, once")
    return assemble(folder)
