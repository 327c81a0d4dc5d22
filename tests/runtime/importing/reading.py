"""An export laid out as a file, a folder or a zip, and read."""

from __future__ import annotations

import zipfile
from pathlib import Path

from copersona.runtime.history.interactions import Interaction
from copersona.runtime.importing.export import Export
from copersona.runtime.importing.recognise import names, open_export
from copersona.runtime.importing.records import Given
from copersona.runtime.importing.source import Source

from .variants import Variant


def lay(variant: Variant, place: Path, form: str = "folder") -> Path:
    """The export as a folder, as a zip, or as its one file."""
    if form == "zip":
        path = place / "export.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, raw in variant.files.items():
                archive.writestr(name, raw)
        return path
    folder = place / "export"
    for name, raw in variant.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
    return folder if form == "folder" else path


def read(variant: Variant, path: Path, format: str = "auto") -> tuple[list[Interaction], Export]:
    """What is taken of it, and the export."""
    given = Given(names(variant.me), variant.day_first, without=variant.without)
    person = variant.person or (variant.me[0] if variant.me else None)
    with Source(path) as source:
        export = open_export(source, format, given, person, prompts=variant.prompts)
        return list(export), export
