"""The lines of a file of requests that were not answered, each with its number and the reason."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from copersona.runtime.batch.answers_file import private
from copersona.runtime.common.files import write_whole


def rejects_path(answers: Path) -> Path:
    """Where the rejects of a file of answers stand."""
    return answers.with_name(f"{answers.name}.rejects.jsonl")


class Rejects:
    """The rejects of one run; the file is there only if there are any. Starts with those that are known already."""

    def __init__(self, path: Path, earlier: Mapping[int, str]) -> None:
        self.path, self.count = path, len(earlier)
        if earlier:
            write_whole(path, [_line(number, reason) for number, reason in sorted(earlier.items())], 0o600)
        else:
            path.unlink(missing_ok=True)

    def add(self, number: int, reason: str) -> None:
        """One more line; when this returns, the device has it."""
        with open(self.path, "ab", opener=private) as file:
            file.write(_line(number, reason))
            file.flush()
            os.fsync(file.fileno())
        self.count += 1


def _line(number: int, reason: str) -> bytes:
    return json.dumps({"line": number, "reason": reason}, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
