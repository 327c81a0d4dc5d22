"""A store is sealed, sealed anew or unsealed: copied whole into another file, which then takes its place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from copersona.runtime.common.errors import PersonError
from copersona.runtime.people.replacing import new_name, replace_file, wipe
from copersona.runtime.people.sealed import Key, Passphrase, check_packages, connect, export, new_key
from copersona.runtime.people.store import PeopleStore

SHORTEST = 8  # characters of a passphrase that is set


def seal(path: Path, new: Passphrase, current: Passphrase | None = None) -> str:
    """Seal a plain store, or give a sealed one another passphrase. States of prompts on disk are removed.

    A kill leaves the store as it was or as it is to be, and the next opening removes what was left of the other. Gives
    what is still to be done then, empty when it is all done: nothing of the old file can be read any more.

    Raises:
        PersonError: the passphrase is too short, or `current` is wrong or missing; another process uses the store; or
            the disk is full. The store is as it was.
    """
    check_packages(path)
    return _again(path, new, current)


def unseal(path: Path, current: Passphrase) -> str:
    """Make a sealed store a plain one; the rest as `seal`."""
    return _again(path, None, current)


def _again(path: Path, new: Passphrase | None, current: Passphrase | None) -> str:
    with PeopleStore(path, passphrase=current) as store:  # which brings it up to date
        key = store.key
        store.check()
    later = None if new is None else _new_key(new() if callable(new) else new)
    from sqlcipher3 import dbapi2

    try:
        _replace(path, key, later)
    except dbapi2.OperationalError as error:
        why = "another process is using it" if "locked" in str(error) else str(error)
        raise PersonError(f"{path}: {why}; the store is as it was") from None
    except dbapi2.Error as error:
        raise PersonError(f"{path}: {error}; the store is as it was") from None
    except OSError as error:
        raise PersonError(f"{error.filename or path}: {error.strerror or error}") from None
    with PeopleStore(path, passphrase=later) as store:
        return store.unfinished


def _new_key(passphrase: str | bytes) -> Key:
    if len(passphrase) < SHORTEST:
        raise PersonError(f"the passphrase has {len(passphrase)} characters, expected at least {SHORTEST}")
    return new_key(passphrase)


def _replace(path: Path, key: Key | None, later: Key | None) -> None:
    if os.lstat(path).st_nlink > 1:
        raise PersonError(f"{path}: the file has a second name elsewhere (a hard link); remove that first")
    db = _sqlcipher(path, key)
    try:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")  # held until the connection is closed
        db.execute("BEGIN EXCLUSIVE")
        db.execute("COMMIT")
        wipe(new_name(path))
        try:
            _copy(db, new_name(path), later)
            replace_file(path)
        except BaseException:
            wipe(new_name(path))
            raise
    finally:
        db.close()


def _copy(db: Any, target: Path, later: Key | None) -> None:
    """Everything of the store in another file, compared and whole."""
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    export(db, target, later, "INSERT INTO later.pending DEFAULT VALUES")  # who opens it sweeps the states of before
    before = _counts(db, "main")
    copy = _sqlcipher(target, later)
    try:
        after, found = _counts(copy, "main"), copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
    finally:
        copy.close()
    if found != "ok" or after != before:
        raise PersonError(f"{target}: the copy is not what was copied ({found}); the store is as it was")


def _counts(db: Any, schema: str) -> dict[str, int]:
    """Rows by table; but for the marks of what is pending, of which a copy has one more."""
    query = f"SELECT name FROM {schema}.sqlite_master WHERE type = 'table' AND name <> 'pending'"
    names = [found[0] for found in db.execute(query)]
    return {name: db.execute(f'SELECT count(*) FROM {schema}."{name}"').fetchone()[0] for name in names}


def _sqlcipher(path: Path, key: Key | None) -> Any:
    """A connection of SQLCipher's, for a plain file too: one process must not lock one file by two libraries."""
    if key is not None:
        return connect(path, key)
    from sqlcipher3 import dbapi2

    return dbapi2.connect(str(path), timeout=5.0, isolation_level=None)
