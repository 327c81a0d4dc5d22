"""The figures of a report as a file: JSON in gzip, each person's values in it, so that others compute with them."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from copersona.export.common.files import replacing

NAME = "results.json.gz"


def write_results(folder: Path, results: Mapping[str, Any]) -> None:
    """Write a report's results to its folder, whole or not at all; the same results are the same bytes."""
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=packed, mtime=0) as file:
        file.write(json.dumps(results, ensure_ascii=False).encode())
    with replacing(folder / NAME) as part:
        part.write_bytes(packed.getvalue())


def read_results(folder: Path) -> dict[str, Any]:
    """The results of the report in a folder."""
    found: dict[str, Any] = json.loads(gzip.decompress((folder / NAME).read_bytes()))
    return found
