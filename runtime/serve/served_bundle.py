"""Which bundle is served: the one that was named, the demo's, or of a GGUF a training-free one, made once."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from copersona.runtime.assemble.training_free import training_free
from copersona.runtime.bundle.verify import open_manifest
from copersona.runtime.common.errors import BundleError
from copersona.runtime.common.places import cache_home
from copersona.runtime.common.progress import note


def served_bundle(given: Path | None, like: Callable[[], Path]) -> Path:
    """The folder to open. `like` gives the bundle that is served where none is named, or whose population a GGUF gets.

    Raises:
        BundleError, ModelError: the GGUF or `like` is refused, or a bundle cannot be made of them.
    """
    if given is None:
        return like()
    return _of_gguf(given, like()) if given.is_file() else given


def _of_gguf(model: Path, like: Path) -> Path:
    try:
        path = model.resolve(strict=True)
        status = path.stat()
    except OSError as error:
        raise BundleError(f"{model}: {error.strerror or error}") from None
    facts = (str(path), status.st_size, status.st_mtime_ns, open_manifest(like).bundle_id)
    name = hashlib.sha256("\n".join(map(str, facts)).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    folder = cache_home() / "served" / name
    if not os.path.lexists(folder):
        note(f"{model}: made into a bundle without training in {folder}, once")
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        training_free(path, like, folder)
    return folder
