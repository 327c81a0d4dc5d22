"""Per-person values as they come, kept so that an evaluation that was stopped goes on where it was.

One JSON line a person and trial: ids and figures, never text. A row belongs to its trial by the hash of everything
that the value depends on, so a changed bundle or setting measures anew and old rows are simply not found.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from copersona.runtime.common.errors import ExportError

Metrics = Mapping[str, float]
"""Metric to value, of one person under one trial."""


class ValueStore:
    """An append-only file of values. A last line that a kill cut is dropped.

    Raises:
        ExportError: a line that is none of ours.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        raw = path.read_bytes() if path.exists() else b""
        whole = raw.rfind(b"\n") + 1
        self._rows: dict[tuple[str, str], dict[str, float]] = {}
        try:
            for line in raw[:whole].splitlines():
                row: dict[str, Any] = json.loads(line)
                self._rows.setdefault((row["key"], row["person"]), {}).update(row["values"])
        except (ValueError, TypeError, KeyError) as error:
            raise ExportError(f"{path}: not a file of values ({error}); move it away") from None
        self._file = path.open("ab")
        self._file.truncate(whole)

    def __enter__(self) -> ValueStore:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def get(self, key: str, person: str) -> dict[str, float]:
        """What is known of a person under the trial with this key; empty where nothing is."""
        return self._rows.get((key, person), {})

    def put(self, key: str, method: str, condition: str, person: str, values: Metrics) -> None:
        """Keep values; a kill after this loses at most what the system has not written yet."""
        row = {"key": key, "method": method, "condition": condition, "person": person}
        self._file.write(json.dumps({**row, "values": dict(values)}, ensure_ascii=False).encode() + b"\n")
        self._file.flush()
        self._rows.setdefault((key, person), {}).update(values)

    def sync(self) -> None:
        """Have the system write what it holds."""
        os.fsync(self._file.fileno())
