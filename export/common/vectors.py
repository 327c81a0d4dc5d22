"""Text vectors of a run, kept on disk, so that a profiling that was interrupted does not encode a text twice.

Keyed by the text and the encoder that made them: another encoder finds nothing of the last one's.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from copersona.export.common.files import room_for
from copersona.runtime.common.arrays import F32

FLUSH = 256  # vectors between two commits
TABLE = (
    "create table if not exists vectors "
    "(encoder text, text blob, vector blob, primary key (encoder, text)) without rowid"
)


class VectorFile:
    """`encode` that remembers what it has encoded in the SQLite file `path`. For several threads; close it."""

    def __init__(self, path: Path, encoder: str, encode: Callable[[str], F32]) -> None:
        self._path, self._encoder, self._encode = path, encoder, encode
        self._pending: dict[bytes, F32] = {}
        self._lock = threading.Lock()
        with room_for(path):
            self._database = _opened(path)
        self.encoded = 0

    def __call__(self, text: str) -> F32:
        """The vector of a text, (E,) float32."""
        key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        with self._lock:
            found = self._find(key)
        if found is not None:
            return found
        vector = self._encode(text)
        with self._lock:
            self._pending[key] = vector
            self.encoded += 1
            if len(self._pending) >= FLUSH:
                self._flush()
        return vector

    def close(self) -> None:
        """Write what is not yet written."""
        with self._lock:
            self._flush()
            self._database.close()

    def _find(self, key: bytes) -> F32 | None:
        if key in self._pending:
            return self._pending[key]
        query = "select vector from vectors where encoder = ? and text = ?"
        row = self._database.execute(query, (self._encoder, key)).fetchone()
        return None if row is None else np.frombuffer(row[0], dtype=np.float32)

    def _flush(self) -> None:
        rows = [(self._encoder, key, vector.tobytes()) for key, vector in self._pending.items()]
        with room_for(self._path), self._database:
            self._database.executemany("insert or ignore into vectors values (?, ?, ?)", rows)
        self._pending.clear()


def _opened(path: Path) -> sqlite3.Connection:
    """The database, made anew where the file is damaged: all it does is save time."""
    try:
        return _connect(path)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):  # busy or full, not damaged
            raise
        path.unlink()
        return _connect(path)


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, check_same_thread=False)
    try:
        database.execute(TABLE)
    except sqlite3.Error:
        database.close()
        raise
    return database
