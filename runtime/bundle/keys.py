"""Keys for signing, in minisign's files: made, and opened by their passphrase."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from copersona.runtime.bundle.signature import check_package, key_id, parsed
from copersona.runtime.common.errors import BundleError

if TYPE_CHECKING:
    from minisign import SecretKey

OPERATIONS, MEMORY = 1 << 22, 1 << 27  # of scrypt, as the people store has it: n = 2^17, r = 8, p = 1; 128 MiB


def make_keys(path: Path, passphrase: Callable[[], str | bytes]) -> str:
    """Write a secret key (0600), sealed by a passphrase, and the public one beside it; returns the public key's text.

    Raises:
        BundleError: py-minisign is not installed, a file is there already or cannot be written, no passphrase.
    """
    check_package()
    from minisign import KeyPair

    public = path.with_name(f"{path.name}.pub")
    for one in (path, public):
        if os.path.lexists(one):
            raise BundleError(f"{one}: is there already; a key that is overwritten is lost for good, give another name")
    words = _words(passphrase())
    if not words:
        raise BundleError(f"{path}: an empty passphrase; whoever has the file could sign in your name")
    pair = KeyPair.generate()
    text = pair.public_key.to_base64()
    with pair.secret_key as secret:
        secret.encrypt(words, opslimit=OPERATIONS, memlimit=MEMORY)
        _write(path, bytes(secret), 0o600)
    pair.public_key.untrusted_comment = f"minisign public key {key_id(text)}"
    _write(public, bytes(pair.public_key), 0o644)
    return str(text, "ascii")


@contextlib.contextmanager
def opened_key(path: Path, passphrase: Callable[[], str | bytes]) -> Iterator[SecretKey]:
    """A secret key that can sign; wiped from memory afterwards. Asks only where the key is sealed.

    Raises:
        BundleError: py-minisign is not installed, the file is no secret key, the passphrase is another one.
    """
    check_package()
    from minisign import Error

    found: SecretKey = parsed(path, "SecretKey")
    with found as secret:
        if secret.is_encrypted():
            words = _words(passphrase())
            try:
                secret.decrypt(words)
            except (Error, MemoryError) as error:
                raise BundleError(f"{path}: cannot be opened ({error or 'too little memory'})") from None
        yield secret


def _words(passphrase: str | bytes) -> str:
    try:
        return passphrase if isinstance(passphrase, str) else passphrase.decode("utf-8")
    except UnicodeDecodeError:
        raise BundleError("the passphrase is not UTF-8 text") from None


def _write(path: Path, content: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with open(descriptor, "wb") as file:
            file.write(content + b"\n")
            os.fsync(descriptor)
    except OSError as error:
        raise BundleError(f"{path}: cannot be written ({error.strerror or error})") from None
