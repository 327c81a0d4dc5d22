"""The two kinds of store for tests that hold of both, and what stands in a sealed file, read without SQLCipher.

A subprocess gets the kind by `script`, which runs this file first; it imports nothing of the tests.
"""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import Any

import pytest

from copersona.runtime.people import sealed
from copersona.runtime.people.sealed import MARK, SALT, Key, new_key
from copersona.runtime.people.store import PeopleStore, store_path

PASS = "correct horse battery"
PAGE, RESERVED, IV = 8192, 48, 16  # bytes; reserved are the initialisation vector and the HMAC-SHA256

_MADE = PeopleStore.__init__


def _sealed_init(self: PeopleStore, path: Path | str | None = None, *, passphrase: Any = None, **more: Any) -> None:
    where = store_path() if path is None else Path(path)
    if passphrase is None or callable(passphrase):
        there = where.is_dir() or (where.is_file() and where.stat().st_size)
        passphrase = (lambda: PASS) if there else PASS
    _MADE(self, path, passphrase=passphrase, **more)


def seal_all(patch: pytest.MonkeyPatch) -> None:
    """From here on every new store is sealed under PASS, quickly, and every sealed one is opened by it."""
    patch.setattr(sealed, "COST", 10)
    patch.setattr(PeopleStore, "__init__", _sealed_init)


def is_sealed_run() -> bool:
    """Whether `seal_all` holds, by whichever import of this file."""
    return PeopleStore.__init__.__name__ == "_sealed_init"


def script(code: str) -> str:
    """The code of a subprocess, in which the same kind holds."""
    if not is_sealed_run():
        return code
    return f"exec(compile(open({__file__!r}).read(), 'kinds', 'exec'))\nseal_all(pytest.MonkeyPatch())\n{code}"


def key_of(path: Path) -> Key:
    """The key of a file that was sealed under PASS."""
    return Key(PASS, path.read_bytes()[:SALT])


def connect(path: Path) -> Any:
    """A connection past the store; a new file is of the kind that holds."""
    there = path.exists() and path.stat().st_size > 0
    if there:
        key = key_of(path) if sealed.is_sealed(path) else None
    else:
        path.touch()
        key = new_key(PASS) if is_sealed_run() else None
    return sealed.connect(path, key)


def readable(path: Path) -> bytes:
    """What someone with the passphrase can read in a file: of a sealed store every page, by AES from another library;
    of every other file its bytes.

    Raises:
        ValueError: a page is not authentic.
    """
    raw = path.read_bytes()
    if not raw.startswith(MARK):
        return raw
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    key = key_of(path)._raw
    proof = hashlib.pbkdf2_hmac("sha512", key, bytes(b ^ 0x3A for b in raw[:SALT]), 2, 32)
    pages = []
    for number, start in enumerate(range(0, len(raw), PAGE), 1):
        page = raw[start + (SALT if number == 1 else 0) : start + PAGE]
        body, tail = page[:-RESERVED], page[-RESERVED:]
        made = hmac.digest(proof, body + tail[:IV] + number.to_bytes(4, "little"), "sha256")
        if made != tail[IV:]:
            raise ValueError(f"page {number} is not authentic")
        cipher = Cipher(algorithms.AES(key), modes.CBC(tail[:IV])).decryptor()
        pages.append(cipher.update(body) + cipher.finalize())
    return b"".join(pages)


def raw_files(folder: Path) -> bytes:
    """All bytes of all files under a folder, as they stand on the disk."""
    return b"\n".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


__all__ = ["PASS", "connect", "is_sealed_run", "key_of", "raw_files", "readable", "script", "seal_all"]
