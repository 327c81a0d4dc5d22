"""A store file written anew without its free space, so that nothing deleted stays in a page; the file stays the same.

What stays is copied into a second file beside it (`new_name`), and read back from there as one transaction: memory is
bounded, and who has the store open goes on. SQLite's VACUUM would hold that copy in memory, or leave it to a folder for
temporary files. Whoever opens the store next removes a copy that a kill left; nobody who was forgotten is in it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from copersona.runtime.people.replacing import new_name, wipe
from copersona.runtime.people.sealed import Key, connect, export


def rewrite(db: Any, path: Path, key: Key | None) -> None:
    """Write the store behind this connection anew, all or nothing. Other processes wait meanwhile.

    Raises:
        OSError: the second file cannot be made or removed.
        Errors of the connection's module; the store is as it was.
    """
    copy = new_name(path)
    with _alone(db):
        wipe(copy)
        try:
            os.close(os.open(copy, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            if key is None:
                db.execute("VACUUM INTO ?", (str(copy),))
            else:  # VACUUM INTO would not know how the file is sealed
                export(db, copy, key)
            with contextlib.closing(connect(copy, key)) as source:
                source.backup(db)
        finally:
            wipe(copy)


@contextlib.contextmanager
def _alone(db: Any) -> Iterator[None]:
    """The file locked against everyone else, also between transactions."""
    try:
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        db.execute("BEGIN EXCLUSIVE")
        db.execute("COMMIT")
        yield
    finally:
        db.execute("PRAGMA locking_mode=NORMAL")
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()  # the lock goes with the next reading
