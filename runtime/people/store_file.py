"""The file of the people store: opened, checked, migrated, locked, written all or nothing. Knows its tables' steps and
nothing of what stands in them.

* What was acknowledged survives a kill at any moment: one transaction a call, rollback journal, synchronous=EXTRA.
  (The write-ahead log of SQLite before 3.51.3 can corrupt a file that two processes write, so it is not used.)
* A file that cannot be read is never repaired, replaced or written to.
* A sealed one (`sealed.py`) is the same behind another SQLite.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from copersona.runtime.common.closing import Closing
from copersona.runtime.common.errors import PersonError
from copersona.runtime.common.places import create_private
from copersona.runtime.people.held import Held
from copersona.runtime.people.replacing import has_strays, settle, settle_locked
from copersona.runtime.people.rewriting import rewrite
from copersona.runtime.people.sealed import Key, Passphrase, connect, driver, find_key, is_sealed
from copersona.runtime.people.tables import APPLICATION_ID, MIGRATIONS, PRAGMAS, SCHEMA_VERSION

CHECK_BELOW = 64 * 1024 * 1024  # bytes; a store up to this size is checked page by page when it is opened

COLUMNS = """
SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' ORDER BY m.name, c.cid
"""


class StoreFile(Closing):
    """One SQLite file that only this user can read. Safe to share between threads."""

    def __init__(self, path: Path, *, busy_seconds: float, passphrase: Passphrase | Key | None = None) -> None:
        """Open the file, creating it (folder 0700, file 0600) where there is none.

        Raises:
            PersonError: the file is no store, damaged, of a newer version, a link, or in a folder that cannot be
                written, or by others too; or it is sealed, and the passphrase or what reads it is missing.
        """
        self.path = path
        self._lock = threading.RLock()
        with contextlib.ExitStack() as closing:
            try:
                create_private(self.path)
                _check_journal(self.path.with_name(f"{self.path.name}-journal"))
                settle(self.path)
                self._held = closing.enter_context(Held(self.path))
                self.key = find_key(self.path, passphrase)
                self._sql = driver(self.key)
                self._db = closing.enter_context(contextlib.closing(self._connect(busy_seconds)))
                self._opened = os.stat(self.path).st_ino
            except OSError as error:
                raise PersonError(f"{self.path}: the people store cannot be opened ({error})") from None
            self._open()
            self._clear()
            closing.pop_all()

    def close(self) -> None:
        """Close the file; closing twice is no error."""
        with self._lock:
            self._db.close()
            self._held.close()

    def compact(self) -> bool:
        """Rewrite the file without its free space; False where another process is using it just now.

        Raises:
            PersonError: there is no room for what stays a second time, or the file cannot be written.
        """
        with self._reading():
            try:
                rewrite(self._db, self.path, self.key)
            except OSError as error:
                raise PersonError(f"{error.filename or self.path}: {error.strerror or error}") from None
            except self._sql.OperationalError as error:
                if "locked" not in str(error):
                    raise
                return False
        return True

    def check(self) -> None:
        """Read the whole file. Raises PersonError where it is damaged."""
        with self._reading():
            found = self._db.execute("PRAGMA integrity_check(1)").fetchone()[0]
            if found != "ok" or self._db.execute("PRAGMA foreign_key_check").fetchone():
                raise self._damaged(found)

    def columns(self) -> list[tuple[str, str]]:
        """All tables and their columns."""
        with self._reading():
            return list(self._db.execute(COLUMNS))

    def values(self, table: str, column: str) -> Iterator[bytes]:
        """The bytes of all values of a column, one after the other."""
        query = f'SELECT CAST("{column}" AS BLOB) FROM "{table}" WHERE "{column}" NOT NULL'
        with self._reading():
            yield from (value for (value,) in self._db.execute(query))

    def _connect(self, busy_seconds: float) -> Any:
        try:
            return connect(self.path, self.key, busy_seconds=busy_seconds)
        except self._sql.Error as error:
            raise PersonError(f"{self.path}: the people store cannot be opened ({error})") from None

    def _unlock(self) -> None:
        """The first question to a sealed file. Raises PersonError where it was another passphrase."""
        try:
            self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except self._sql.DatabaseError as error:
            if "not a database" not in str(error):
                raise
            raise PersonError(f"{self.path}: the passphrase is wrong, or the file is damaged at its head") from None

    def _open(self) -> None:
        with self._reading():
            if self.key is not None:
                self._unlock()
            for pragma in PRAGMAS:
                self._db.execute(pragma)
            version = self._version()
            if version > SCHEMA_VERSION:
                raise PersonError(
                    f"{self.path}: a store of version {version}, this copersona knows {SCHEMA_VERSION}; update it"
                )
            if self.path.stat().st_size <= CHECK_BELOW:
                found = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
                if found != "ok":
                    raise self._damaged(found)
            self._db.execute("PRAGMA journal_mode=TRUNCATE")
        if version < SCHEMA_VERSION:
            with self._transaction():
                self._migrate()

    def _clear(self) -> None:
        """Remove what a kill left of sealing, unsealing or rewriting, with the file locked."""
        if has_strays(self.path):
            try:
                with self._transaction():
                    settle_locked(self.path)
            except OSError as error:
                raise PersonError(f"{self.path}: what was left beside it cannot be removed ({error})") from None

    def _version(self) -> int:
        """The schema's version, 0 for a new file. Raises PersonError for another program's database."""
        tables = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables and self._db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise PersonError(f"{self.path}: this is another program's database, expected copersona's people store")
        return int(self._db.execute("PRAGMA user_version").fetchone()[0])

    def _migrate(self) -> None:
        """Bring the schema up to date, inside the caller's transaction (another process may have just done it)."""
        from sqlite_utils import Database  # here: it takes long to import and only a new store needs it

        for version, step in enumerate(MIGRATIONS[self._version() :], start=self._version() + 1):
            step(Database(self._db))
            self._db.execute(f"PRAGMA user_version={version}")

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """The lock, and SQLite's errors as PersonError."""
        with self._lock:
            try:
                yield
            except self._sql.OperationalError as error:
                if "locked" in str(error):
                    raise PersonError(
                        f"{self.path}: another process is writing to it; try again when it is done"
                    ) from None
                raise PersonError(f"{self.path}: {error}") from None
            except self._sql.ProgrammingError as error:
                raise PersonError(f"{self.path}: the store is closed ({error})") from None
            except self._sql.DatabaseError as error:
                raise self._damaged(str(error)) from None

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing; the write lock is taken at the start, so that two processes wait instead of clash."""
        with self._reading():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _damaged(self, found: str) -> PersonError:
        with contextlib.suppress(OSError):
            other_kind = is_sealed(self.path) != (self.key is not None)
            if other_kind or os.stat(self.path).st_ino != self._opened:
                return PersonError(f"{self.path}: another process sealed or unsealed the store; open it again")
        what = " ".join(found.split())
        return PersonError(f"{self.path}: no people store, or a damaged one ({what}); move it away or restore a copy")


def _check_journal(path: Path) -> None:
    """SQLite writes to this file and cuts it: it must not be someone's under another name. Raises OSError."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(status.st_mode) or (status.st_size and status.st_nlink > 1):
        raise OSError(f"{path.name} beside it is a link or no regular file; move it away")
