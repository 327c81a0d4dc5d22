"""The receipt that a bundle was loaded on this machine by these libraries: a file that is there, or the load is due.

Its name is a hash of what it says, and it must say just that, word for word, in a file of the user's own that nobody
else may write or read. Anything else is no receipt. It is a note to oneself, not a proof: who can write the user's
files needs none.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from importlib.util import find_spec
from pathlib import Path

from copersona.runtime.bundle.manifest import Manifest
from copersona.runtime.bundle.parts import CHECKS
from copersona.runtime.common.files import write_whole
from copersona.runtime.common.places import cache_home

VERSION = 1  # raise it when a bundle is tried in another way
INSTALLED = ("copersona-", "llama_cpp_python-", "onnxruntime", "tokenizers-")
NATIVE = {"llama_cpp": "lib", "onnxruntime": "capi", "tokenizers": "."}
"""Packages, and in which folder of each its compiled files are."""
MOST = 1 << 16  # bytes


class LoadReceipt:
    """The receipt of one bundle's load: by its manifest, which says all of it, and by what loads it."""

    def __init__(self, manifest: Manifest) -> None:
        said = {
            "bundle": manifest.bundle_id,
            "manifest": hashlib.sha256(manifest.to_json().encode("utf-8")).hexdigest(),
            "libraries": _versions(),
            "build": _build(),
            "checks": f"{CHECKS}, load {VERSION}",
        }
        self._text = json.dumps(said, sort_keys=True).encode("ascii")
        self.path = folder() / hashlib.sha256(self._text).hexdigest()

    def there(self) -> bool:
        """Whether the bundle was loaded before."""
        flags = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_BINARY", "O_NONBLOCK"))
        try:
            with open(os.open(self.path, flags), "rb") as file:
                status = os.fstat(file.fileno())
                own = not hasattr(os, "geteuid") or (status.st_uid == os.geteuid() and not status.st_mode & 0o077)
                return own and stat.S_ISREG(status.st_mode) and file.read(MOST) == self._text
        except OSError:
            return False

    def write(self) -> None:
        """Keep it. Where that cannot be done, the bundle is loaded apart the next time too."""
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(self.path, [self._text], 0o600, durable=False)


def folder() -> Path:
    """Where receipts lie."""
    return cache_home() / "loads"


def _versions() -> list[str]:
    """Names and versions of what is installed beside the libraries, by their folders: `importlib.metadata` takes longer
    to import than a known bundle to open."""
    places = {place.parent for name in NATIVE for place in _places(name)}
    names = [name for place in places for name in os.listdir(place)]
    return sorted(name for name in names if name.startswith(INSTALLED) and name.endswith(".dist-info"))


def _build() -> list[tuple[str, int, int]]:
    """Name, size and time of the libraries' own files, which may be others under the same version."""
    rows = []
    given = os.environ.get("LLAMA_CPP_LIB_PATH")  # where llama-cpp-python then looks instead
    for name, folder in NATIVE.items():
        places = [place / folder for place in _places(name)]
        for place in [Path(given)] if given and name == "llama_cpp" else places:
            with contextlib.suppress(OSError):
                for entry in os.scandir(place):
                    if not entry.name.endswith((".py", ".pyi")) and entry.is_file():
                        status = entry.stat()
                        rows.append((f"{name}/{entry.name}", status.st_size, status.st_mtime_ns))
    return sorted(rows)


def _places(name: str) -> list[Path]:
    """Where a package lies, which is not imported."""
    found = find_spec(name)
    return [Path(place) for place in (found.submodule_search_locations if found else None) or ()]
