"""What of a bundle ships in half the room, and what a thin manifest says of the whole one.

Arrays of a thin bundle are float16; in the whole one they are the same values as float32. The manifest lists hash and
size of those files as they will be, so that an assembled bundle is known byte for byte beforehand.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from copersona.runtime.assemble.merge import Quantisation
from copersona.runtime.assemble.pinned import PinnedBase
from copersona.runtime.assemble.probe import Probe
from copersona.runtime.bundle.manifest import FileRow, Manifest, check_path, file_row
from copersona.runtime.common.errors import BundleError
from copersona.runtime.common.files import write_whole
from copersona.runtime.common.tensors import rows_of, safetensors_chunks

HALVED = ("peers", "anchors", "personalizer")  # roles whose files are float16 in a thin bundle


@dataclass(frozen=True, slots=True)
class Thin:
    """How a thin bundle becomes whole: the base, how the model is quantised, its probe, the files as they will be."""

    base: PinnedBase
    quantize: Quantisation
    probe: Probe
    model: FileRow
    whole: tuple[FileRow, ...]

    def to_json(self) -> dict[str, Any]:
        """The settings `thin` of a manifest."""
        return {
            "base": self.base.to_json(),
            "quantize": self.quantize,
            "probe": self.probe.to_json(),
            "model": asdict(self.model),
            "whole": [asdict(row) for row in self.whole],
        }


def read_thin(manifest: Manifest) -> Thin:
    """What a thin bundle's manifest says.

    Raises:
        BundleError: it is not thin, or a field is missing or wrong.
    """
    body = manifest.settings.get("thin")
    if not isinstance(body, Mapping):
        raise BundleError("manifest.json: the bundle is whole already, nothing is to be assembled")
    try:
        kind = body["quantize"]
        if kind not in get_args(Quantisation):
            raise ValueError(f"quantisation {kind!r} is not known")
        rows = tuple(file_row(row) for row in body["whole"])
        model = file_row(body["model"])
        for row in (model, *rows):
            check_path(row.path)
        if tuple(row.role for row in rows) != HALVED:
            raise ValueError(f"the files to widen are {[row.role for row in rows]}, expected {list(HALVED)}")
        return Thin(PinnedBase.read(body["base"]), kind, Probe.read(body["probe"]), model, rows)
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"manifest.json: how to assemble cannot be read ({error}); fetch a whole copy") from None


def halve(source: Path, target: Path) -> None:
    """Write an .npy or .safetensors file of float32 as float16. Raises ValueError where a value would change."""
    _rewrite(source, target, "F16")


def widen(source: Path, target: Path) -> None:
    """The inverse of `halve`: the same bytes as before."""
    _rewrite(source, target, "F32")


def _rewrite(source: Path, target: Path, dtype: str) -> None:
    kind = np.float16 if dtype == "F16" else np.float32
    if source.suffix == ".npy":
        array = np.load(source, mmap_mode="r", allow_pickle=False)
        write_whole(target, _npy_chunks(array, np.dtype(kind)))
        return
    from safetensors.numpy import load_file

    tensors = {name: _exactly(array, np.dtype(kind)) for name, array in load_file(source).items()}
    write_whole(target, safetensors_chunks(rows_of(tensors, dtype)))


def _npy_chunks(array: np.ndarray[Any, Any], kind: np.dtype[Any]) -> Iterator[bytes]:
    """An .npy file, its first axis by pieces."""
    header = io.BytesIO()
    description = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": array.shape}
    np.lib.format.write_array_header_1_0(header, description)
    yield header.getvalue()
    for row in array:
        yield _exactly(row, kind).tobytes()


def _exactly(array: np.ndarray[Any, Any], kind: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """The array as another type, in which its values are the same. Raises ValueError where they are not."""
    with np.errstate(over="ignore"):
        changed = np.ascontiguousarray(array, dtype=kind)
    if not np.array_equal(changed.astype(array.dtype), array):
        raise ValueError(f"values of an array of shape {array.shape} do not fit {kind}")
    return changed
