"""A file that SQLite has open in this process, so that nothing else of the process takes its locks away.

On POSIX systems all locks of a process on a file go when it closes any descriptor of that file. Whoever looked into a
store while another part of the process writes to it would so let a second process write at the same time.
"""

from __future__ import annotations

import os
import threading
from collections import Counter, defaultdict
from pathlib import Path

from copersona.runtime.common.closing import Closing

_lock = threading.Lock()
_held = Counter[tuple[int, int]]()  # by device and file number
_waiting = defaultdict[tuple[int, int], list[int]](list)


class Held(Closing):
    """From here until it is closed, descriptors of this file that `let_go` gets stay open. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self._file: tuple[int, int] | None = _identity(os.stat(path))
        with _lock:
            _held[self._file] += 1

    def close(self) -> None:
        """Close what waited, where nobody else holds the file; closing twice is no error."""
        with _lock:
            if self._file is None:
                return
            _held[self._file] -= 1
            if not _held[self._file]:
                del _held[self._file]
                for descriptor in _waiting.pop(self._file, ()):
                    os.close(descriptor)
            self._file = None


def let_go(descriptor: int) -> None:
    """Close a descriptor, now or when nobody in this process holds its file any more."""
    with _lock:
        file = _identity(os.fstat(descriptor))
        if file in _held:
            _waiting[file].append(descriptor)
        else:
            os.close(descriptor)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
