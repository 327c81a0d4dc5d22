"""Where a base model's folder came from, when it was made from a GGUF: `source.json` beside the weights."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from copersona.export.common.files import write_text
from copersona.runtime.common.errors import ExportError

SOURCE = "source.json"


@dataclass(frozen=True, slots=True)
class BaseSource:
    """A GGUF that was given as base: its name, hash and size in bytes, what it says of itself; `licence` may be
    empty."""

    file: str
    sha256: str
    bytes: int
    architecture: str
    quantisation: str
    licence: str

    def write(self, folder: Path) -> None:
        write_text(folder / SOURCE, json.dumps(asdict(self), indent=1))


def read_source(folder: Path) -> BaseSource | None:
    """Of which GGUF the folder was made; None where of none.

    Raises:
        ExportError: `source.json` is there and cannot be read.
    """
    path = folder / SOURCE
    if not path.is_file():
        return None
    try:
        return BaseSource(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ExportError(f"{path}: cannot be read ({error}); remove the folder, it is made again") from error
