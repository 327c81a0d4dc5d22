"""The manifest of a bundle: its types and their one JSON form.

A manifest is refused unless it is byte for byte what `to_json` writes, which includes a hash of its own content: an
edited or damaged manifest never passes. This finds accidents and mixtures. Who made it is said by a signature beside
it, if there is one (`signature.py`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from copersona.runtime.common.errors import BundleError
from copersona.runtime.common.strict_json import strict_json

MANIFEST = "manifest.json"
SIGNATURE = f"{MANIFEST}.minisig"
"""The signature of the manifest's bytes. It is in no list of files, so that signing changes no id."""

FORMAT_VERSION = 1
MAX_MANIFEST = 1024 * 1024  # bytes
REQUIRED_ROLES = (
    "facets", "encoder", "encoder_tokenizer", "graph", "peers", "anchors", "card",
)  # fmt: skip
EITHER_ROLE = ("model", "lora")  # a bundle is whole, or thin and names the base that its LoRA is for
OPTIONAL_ROLES = ("personalizer", "arrays", "items", "guard")  # at most one file each
FREE_ROLES = ("licence",)  # any number of files
POPULATION_ROLES = ("graph", "peers", "anchors", "arrays", "facets", "encoder", "encoder_tokenizer")

_PATH = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
AGAIN = "export the bundle again or fetch a whole copy"


@dataclass(frozen=True, slots=True)
class FileRow:
    """One file of a bundle: where (relative, POSIX), what for, how long, and the hash of its bytes."""

    path: str
    role: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Shapes:
    """The sizes that all parts of a bundle share: M, U, D, K, L, H."""

    facets: int
    peers: int
    width: int
    neighbors: int
    soft_tokens: int
    hidden: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a bundle says of itself. `settings` is plain JSON: graph, training and context settings, seeds, versions,
    licences, parity results. `bundle_id` is a hash over the file rows: other files, another bundle. It verifies; who a
    person's peer is says `population_id`."""

    format_version: int
    bundle_id: str
    created: str
    files: tuple[FileRow, ...]
    shapes: Shapes
    settings: Mapping[str, Any]

    @property
    def thin(self) -> bool:
        """Whether the bundle has to be assembled with its base before it answers."""
        return self.file("lora") is not None

    @property
    def trained(self) -> bool:
        """Whether there is a parametric branch: a personalizer, and a model that learned with it. Without, the bundle
        is its text branch in front of a model as published."""
        return self.file("personalizer") is not None

    @property
    def population_id(self) -> str:
        """The name of the population: who a person's peer is, whatever model and personalizer stand beside it.

        A thin bundle has that of the whole one that is assembled from it. Raises ValueError where its manifest does
        not say which files those are.
        """
        return population_id(self._whole_files() if self.thin else self.files, self.settings)

    def _whole_files(self) -> tuple[FileRow, ...]:
        """The files of a thin bundle as they will be; see `assemble.thin`."""
        try:
            rows = {row["role"]: file_row(row) for row in self.settings["thin"]["whole"]}
        except (KeyError, TypeError) as error:
            raise ValueError(f"a thin bundle does not say which files it becomes ({error})") from None
        return tuple(rows.get(row.role, row) for row in self.files)

    def file(self, role: str) -> FileRow | None:
        """The file of a role that at most one file has; None where the bundle has none."""
        return next((row for row in self.files if row.role == role), None)

    def path(self, folder: Path | str, role: str) -> Path:
        """Where the file of a role is. Raises BundleError where the bundle has none."""
        row = self.file(role)
        if row is None:
            raise BundleError(f"{folder}: the bundle has no {role!r} file; {AGAIN}")
        return Path(folder) / row.path

    def to_json(self) -> str:
        """The text of manifest.json. Raises ValueError where the settings are no plain, finite JSON."""
        body = asdict(self)
        body["sha256"] = hashlib.sha256(_canonical(body).encode("utf-8")).hexdigest()
        return json.dumps(body, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str, source: str = MANIFEST) -> Manifest:
        """Inverse of `to_json`.

        Raises:
            BundleError: no strict JSON, a newer format, a field that is missing or wrong, or not what was written.
        """
        try:
            body = strict_json(text)
            _check_version(body, source)
            manifest = cls(
                format_version=body["format_version"],
                bundle_id=_string(body["bundle_id"]),
                created=_string(body["created"]),
                files=tuple(file_row(row) for row in body["files"]),
                shapes=_shapes(body["shapes"]),
                settings=dict(body["settings"]),
            )
            check_files(manifest.files)
            check_branch(manifest)
            same = manifest.to_json() == text and manifest.bundle_id == bundle_id(manifest.files)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise BundleError(f"{source}: not a manifest of this format ({what}); {AGAIN}") from None
        if not same:
            raise BundleError(f"{source}: changed after it was written (its own hash does not fit); {AGAIN}")
        return manifest


def bundle_id(files: tuple[FileRow, ...]) -> str:
    """The bundle's name for receipts and for what depends on its model: sha256 over its file rows, whatever their
    order."""
    rows = sorted([row.path, row.role, row.bytes, row.sha256] for row in files)
    return hashlib.sha256(_canonical(rows).encode("utf-8")).hexdigest()


def population_id(files: tuple[FileRow, ...], settings: Mapping[str, Any]) -> str:
    """The population's name: sha256 over role and hash of the files that define it, and the profiler's version.

    Bundles that differ in model, personalizer, card, licences, paths or other settings share it. Raises ValueError
    where the version is no plain, finite JSON.
    """
    rows = sorted([row.role, row.sha256] for row in files if row.role in POPULATION_ROLES)
    body = {"files": rows, "profiler": settings.get("profiler")}
    return hashlib.sha256(_canonical(body).encode("utf-8")).hexdigest()


def check_files(files: tuple[FileRow, ...]) -> None:
    """The rows of one bundle together: safe paths, no two alike, every role as often as it must be.

    Raises:
        ValueError: the message says which path or role.
    """
    seen: set[str] = set()
    for row in files:
        check_path(row.path)
        if row.path.casefold() in seen:
            raise ValueError(f"two files are called {row.path!r}")
        seen.add(row.path.casefold())
    roles = [row.role for row in files]
    for role in REQUIRED_ROLES:
        if roles.count(role) != 1:
            raise ValueError(f"{roles.count(role)} files have the role {role!r}, expected one")
    if sum(roles.count(role) for role in EITHER_ROLE) != 1:
        counts = " and ".join(f"{roles.count(role)} files have the role {role!r}" for role in EITHER_ROLE)
        raise ValueError(f"{counts}, expected one in all")
    for role in set(roles) - set(REQUIRED_ROLES) - set(FREE_ROLES) - set(EITHER_ROLE):
        if role not in OPTIONAL_ROLES or roles.count(role) > 1:
            raise ValueError(f"{roles.count(role)} files have the role {role!r}, which is not known or allowed once")


def check_branch(manifest: Manifest) -> None:
    """Soft tokens and a personalizer are there together, or neither; a LoRA only with them. Raises ValueError."""
    tokens = manifest.shapes.soft_tokens
    if manifest.trained != bool(tokens):
        raise ValueError(f"{tokens} soft tokens {'with' if manifest.trained else 'without'} a personalizer")
    if manifest.thin and not manifest.trained:
        raise ValueError("a LoRA without a personalizer")


def check_path(path: str) -> None:
    """A path that means the same file inside the bundle on every system. Raises ValueError."""
    parts = path.split("/")
    if len(path) > 200 or not _PATH.fullmatch(path) or any(p.endswith(".") or _DEVICES.fullmatch(p) for p in parts):
        raise ValueError(f"{path!r} is no safe relative path")
    if path.casefold() in (MANIFEST, SIGNATURE):
        raise ValueError("a manifest does not list itself, or its signature")


def _check_version(body: Any, source: str) -> None:
    version = _count(body["format_version"])
    if version > FORMAT_VERSION:
        raise BundleError(f"{source}: format {version}, this copersona reads {FORMAT_VERSION}; update copersona")


def file_row(row: Mapping[str, Any]) -> FileRow:
    """A row from its JSON. Raises KeyError, TypeError or ValueError."""
    if not re.fullmatch(r"[0-9a-f]{64}", row["sha256"]):
        raise ValueError(f"{row['path']!r} has no sha256")
    return FileRow(_string(row["path"]), _string(row["role"]), _count(row["bytes"]), row["sha256"])


def _shapes(row: Mapping[str, Any]) -> Shapes:
    return Shapes(**{field.name: _count(row[field.name]) for field in fields(Shapes)})


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, found {value!r}")
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(f"expected a number from 0, found {value!r}")
    return value


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
