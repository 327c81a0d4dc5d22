"""Answers to the questions of a set, each computed once: kept line by line, so that a kill loses the last few at most.

Greedy, short, as a persona or as nobody. A person's prompt is decoded once; their questions are asked behind it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from copersona.export.common.files import room_for
from copersona.runtime.common.closing import Closing
from copersona.runtime.common.errors import ModelRefused
from copersona.runtime.engine.engine import Engine, Wanted
from copersona.runtime.engine.sampling import Sampling

GREEDY = Sampling(temperature=0, max_tokens=16)


def reply_key(request: str, person: str | None, mode: str = "") -> str:
    """What a reply is kept under: who was asked what, and in which mode of the guard."""
    return hashlib.sha256(json.dumps([request, person, mode]).encode()).hexdigest()[:24]


class Replies(Closing):
    """The file of replies, JSON lines by key; what a kill left of a last line is cut off. Close it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._found: dict[str, str] = {}
        path.touch()
        whole = 0
        for line in path.read_bytes().splitlines(keepends=True):
            if not line.endswith(b"\n"):
                break
            row = json.loads(line)
            self._found[row["key"]] = row["text"]
            whole += len(line)
        os.truncate(path, whole)
        self._file = path.open("a", encoding="utf-8")

    def __getitem__(self, key: str) -> str:
        return self._found[key]

    def __contains__(self, key: str) -> bool:
        return key in self._found

    def add(self, key: str, text: str) -> None:
        """Keep a reply; a kill does not lose it when this has returned."""
        self._found[key] = text
        with room_for(self.path):
            self._file.write(json.dumps({"key": key, "text": text}, ensure_ascii=False) + "\n")
            self._file.flush()

    def close(self) -> None:
        self._file.close()


def reply_all(engine: Engine, asked: Iterable[tuple[str, Wanted]]) -> Iterator[tuple[str, str]]:
    """The reply to everything asked, each with its key, as many at once as the engine has sequences.

    Raises:
        ModelError: the model fails, or one of them cannot be answered.
    """
    for key, pieces in engine.generate_many(asked):
        if isinstance(pieces, ModelRefused):
            raise pieces
        yield key, "".join(piece.text for piece in pieces).strip()
