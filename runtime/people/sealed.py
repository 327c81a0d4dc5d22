"""A store under a passphrase: SQLCipher's file, opened by a key that scrypt makes of the passphrase.

SQLCipher encrypts every page (AES-256-CBC) and proves it (HMAC-SHA256), in the journal too. Its own derivation of keys
is not used: scrypt of the standard library costs a guess memory as well. The salt of the file, its first 16 bytes,
begins with a mark and the cost of scrypt, so that a sealed store is told from a plain one and from what is none.

The passphrase is used once and not kept. The key stays in memory as long as its store does.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import sqlite3
import stat
import unicodedata
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from copersona.runtime.common.errors import PersonError
from copersona.runtime.people.held import let_go

MARK = b"CoPp\x01"
SALT = 16  # bytes at the head of the file: mark, logarithm of the cost, random ones
COST = 17  # logarithm of scrypt's n for a new store: 128 MiB and about half a second
COSTS = range(10, 20)  # what is read; more would let a changed byte hold the device up
LONGEST = 1_024  # bytes of a passphrase
PLAIN = b"SQLite format 3\x00"
SETTINGS = ("PRAGMA cipher_page_size = 8192", "PRAGMA cipher_hmac_algorithm = HMAC_SHA256")
EXTRA = "pip install 'copersona[sealed]'"


class Key:
    """What opens one sealed file: 32 bytes, and the file's salt. It is never shown, copied or pickled."""

    __slots__ = ("_raw", "salt")

    def __init__(self, passphrase: str | bytes, salt: bytes) -> None:
        self.salt = salt
        raw, cost = passphrase_bytes(passphrase), 1 << salt[len(MARK)]
        try:
            self._raw = hashlib.scrypt(raw, salt=salt, n=cost, r=8, p=1, maxmem=cost << 11, dklen=32)
        except (ValueError, MemoryError):
            raise PersonError(f"making a key of the passphrase needs {cost >> 10} MiB of memory, not there") from None

    def __repr__(self) -> str:
        return "Key(hidden)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is not written anywhere")

    @property
    def sql(self) -> str:
        """The key as SQLCipher takes it; to be handed to it and to nothing else."""
        return f"x'{self._raw.hex()}{self.salt.hex()}'"

    def derived(self, purpose: str) -> bytes:
        """Another key of 32 bytes, for something beside the store."""
        return hmac.digest(self._raw, purpose.encode("utf-8"), "sha256")


Passphrase = str | bytes | Callable[[], str | bytes]
"""A passphrase, or what asks for it when a sealed store is met."""


def passphrase_bytes(passphrase: str | bytes) -> bytes:
    """One passphrase has one form, typed or read. Raises PersonError where it is empty, too long or no text."""
    if isinstance(passphrase, bytes):
        passphrase = passphrase.decode("utf-8", "surrogateescape")
    try:
        raw = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise PersonError("the passphrase holds half a character") from None
    if not raw or len(raw) > LONGEST:
        raise PersonError(f"the passphrase has {len(raw):,} bytes, expected 1 to {LONGEST:,}")
    return raw


def new_key(passphrase: str | bytes) -> Key:
    """The key of a store that is to be made."""
    return Key(passphrase, MARK + bytes([COST]) + secrets.token_bytes(SALT - len(MARK) - 1))


def is_sealed(path: Path) -> bool:
    """Whether a sealed store stands there. Raises OSError where the file cannot be read."""
    return _head(path).startswith(MARK)


def find_key(path: Path, passphrase: Passphrase | Key | None) -> Key | None:
    """The key of the file, None for a plain one. A passphrase itself, and not what asks for it, makes an empty file a
    sealed one and is refused by a plain one.

    Raises:
        PersonError: the store is sealed and there is no passphrase, or no SQLCipher; or it is plain and there is one.
        OSError: the file cannot be read.
    """
    head = _head(path)
    given = isinstance(passphrase, str | bytes)
    if not head and isinstance(passphrase, str | bytes):
        check_packages(path)
        return new_key(passphrase)
    if not head.startswith(MARK):
        if head == PLAIN and given:
            raise PersonError(
                f"{path}: the store is not sealed, a passphrase was given; `copersona people seal` seals it"
            )
        return None
    cost = head[len(MARK)] if len(head) == SALT else 0
    if cost not in COSTS:
        raise PersonError(f"{path}: sealed in a way that this copersona does not know; update it, or restore a copy")
    check_packages(path)
    if passphrase is None:
        raise PersonError(f"{path}: the store is sealed, and no passphrase was given")
    if isinstance(passphrase, Key):
        return passphrase
    return Key(passphrase() if callable(passphrase) else passphrase, head)


def check_packages(path: Path) -> None:
    """Raises PersonError where a sealed store cannot be read, not being installed for."""
    missing = [name for name in ("sqlcipher3", "cryptography") if find_spec(name) is None]
    if missing:
        raise PersonError(f"{path}: a sealed store needs {' and '.join(missing)}, not installed; run: {EXTRA}")


def driver(key: Key | None) -> Any:
    """The module that reads the file: sqlite3, or SQLCipher's, which is the same in its names."""
    if key is None:
        return sqlite3
    from sqlcipher3 import dbapi2

    return dbapi2


def connect(path: Path, key: Key | None, *, busy_seconds: float = 5.0, readonly: bool = False) -> Any:
    """A connection of `driver`, not yet tried: a wrong key is found out by the first question. Raises its errors."""
    target = f"{path.absolute().as_uri()}?mode=ro" if readonly else path
    module = driver(key)
    db = module.connect(str(target), timeout=busy_seconds, isolation_level=None, check_same_thread=False, uri=readonly)
    if key is not None:
        db.execute("PRAGMA cipher_log_level = NONE")  # it would write to standard error
        db.set_key(key.sql)
        for setting in SETTINGS:
            db.execute(setting)
    return db


def export(db: Any, target: Path, key: Key | None, *more: str) -> None:
    """Everything behind a connection of SQLCipher's in another file, sealed by this key or plain; then `more`, where
    the other file is `later`. The file is there, and empty; it counts when this returns. Raises SQLCipher's errors."""
    db.execute("ATTACH DATABASE ? AS later KEY ?", (str(target), "" if key is None else key.sql))
    try:
        for setting in () if key is None else SETTINGS:
            db.execute(setting.replace("PRAGMA ", "PRAGMA later."))
        for pragma in ("journal_mode = OFF", "synchronous = OFF"):
            db.execute(f"PRAGMA later.{pragma}")
        db.execute("BEGIN")
        db.execute("SELECT sqlcipher_export('later')")
        for number in ("application_id", "user_version"):  # which are not of what it exports
            db.execute(f"PRAGMA later.{number} = {db.execute(f'PRAGMA main.{number}').fetchone()[0]}")
        for statement in more:
            db.execute(statement)
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
        db.execute("DETACH DATABASE later")


def _head(path: Path) -> bytes:
    """The first bytes of the file, none of an empty one or of what is no file."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        return os.read(descriptor, SALT) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
    finally:
        let_go(descriptor)
