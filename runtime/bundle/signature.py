"""Who made a bundle: a signature of its manifest, in minisign's format, beside it.

The manifest has the hash of every file, so whoever signs it signs them all. A signature is optional. It carries the
public key and the name that the bundle goes by, both signed too; the first key seen under a name is kept
(`publishers.py`), and another one is refused. The ordinary tool reads these files: `minisign -Vm manifest.json -P KEY`.
"""

from __future__ import annotations

import base64
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from copersona.runtime.bundle.manifest import MANIFEST, SIGNATURE, Manifest
from copersona.runtime.bundle.publishers import NAME, NAMES, Publishers
from copersona.runtime.common.errors import BundleError
from copersona.runtime.common.files import write_whole

if TYPE_CHECKING:
    from minisign import PublicKey, SecretKey, Signature

MAX_FILE = 16_384  # bytes of a signature or a key; minisign writes at most 8 KiB of comment
GET = "pip install 'copersona[signed]'"


@dataclass(frozen=True, slots=True)
class Signed:
    """A signature that stands beside a manifest. `key` is the public key that it was checked with, None where it could
    not be, for the reason in `unchecked`; `since` is the day on which the key was first seen under this name."""

    key_id: str
    key: str | None = None
    name: str | None = None
    since: str | None = None
    unchecked: str = ""

    def __str__(self) -> str:
        by = f" by key {self.key_id}" if self.key_id else ""
        if self.key is None:
            return f"signed{by}, not checked: {self.unchecked}"
        known = f", known since {self.since}" if self.since else ""
        return f"signed{f' as {self.name}' if self.name else ''}{by}{known}"


def signer(folder: Path | str, manifest: Manifest, by: str | None = None, *, renew: bool = False) -> Signed | None:
    """Check the signature beside a manifest, and keep its key where its name is new; None where there is none.

    Args:
        by: the key that it must be of, as text or the path of its file; None is the one that it holds itself, which
            must be the one that is kept under its name.
        renew: `by` is to be kept in place of another one.

    Raises:
        BundleError: no signature and one is asked for, one that is none or does not fit the manifest, another key than
            the one asked for or kept; with `by`, py-minisign is not installed.
    """
    path = Path(folder) / SIGNATURE
    if not os.path.lexists(path):
        if by is not None:
            raise BundleError(f"{folder}: not signed, there is no {SIGNATURE}; ask its maker for a signed one")
        return None
    if not _installed():
        if by is not None:
            check_package()
        return Signed("", unchecked=f"that needs {GET}")
    signature = parsed(path, "Signature")
    found, told = key_id(bytes(signature).split(b"\n")[1]), _told(path, signature)
    known = Publishers.read()
    asked = _public_key(by) if by is not None else None
    kept = (pin.key for pin in known.pins if key_id(pin.key.encode()) == found)
    key = asked or told.key or next(kept, None)
    if key is None:
        return Signed(found, unchecked="it does not hold its key, which --signed-by gives")
    _check(path, manifest, signature, key, found)
    if told.name is None:
        return Signed(found, key)
    return Signed(found, key, told.name, _kept(path, known, told.name, key, renew))


def sign(folder: Path, manifest: Manifest, secret: SecretKey, name: str) -> Signed:
    """Write the signature of a manifest, whose files were verified, by an opened key. Raises BundleError."""
    if not NAME.fullmatch(name):
        raise BundleError(f"{name!r} is no name for a bundle; use {NAMES}")
    key = secret.get_public_key().to_base64()
    told = (f"timestamp:{int(time.time())}", f"file:{MANIFEST}", "hashed", f"name:{name}", f"key:{key.decode()}")
    made = secret.sign(
        manifest.to_json().encode("utf-8"),
        trusted_comment="\t".join(told),
        untrusted_comment=f"signature of a copersona bundle by key {key_id(key)}",
    )
    write_whole(folder / SIGNATURE, [bytes(made), b"\n"])
    return Signed(key_id(key), key.decode(), name)


def _kept(path: Path, known: Publishers, name: str, key: str, renew: bool) -> str | None:
    """The day since which the key is known under the name. Raises BundleError where another one is."""
    pin = known.pin(name)
    if pin is not None and pin.key == key:
        return pin.since
    if pin is not None and not renew:
        raise BundleError(
            f"{path}: signed as {name} by key {key_id(key.encode())}, which was {key_id(pin.key.encode())} since "
            f"{pin.since}; if its maker tells you that it is theirs: --signed-by KEY --new-key"
        )
    return known.keep(name, key)


def _check(path: Path, manifest: Manifest, signature: Signature, key: str, found: str) -> None:
    """Raises BundleError where the signature is of another key, or of another manifest."""
    from minisign import Error, PublicKey

    wanted = key_id(key.encode())
    if wanted != found:
        raise BundleError(f"{path}: signed by key {found}, expected {wanted}; this is not who you asked for")
    try:
        PublicKey.from_base64(key).verify(manifest.to_json().encode("utf-8"), signature)
    except (Error, ValueError):
        raise BundleError(
            f"{path}: does not fit {MANIFEST}: the bundle was changed after it was signed, or the signature is another "
            "bundle's or damaged; fetch a whole copy"
        ) from None


# -- files --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Told:
    """What a signature says of itself, in words that are signed with it."""

    name: str | None
    key: str | None


def _told(path: Path, signature: Signature) -> _Told:
    words = dict(part.split(":", 1) for part in signature.trusted_comment.split("\t") if ":" in part)
    name, key = words.get("name"), words.get("key")
    if name is not None and not NAME.fullmatch(name):
        raise BundleError(f"{path}: the name in it is none; a name has {NAMES}")
    return _Told(name, None if key is None else _public_key(key, f"{path}: the key in it"))


def _public_key(given: str, what: str = "--signed-by") -> str:
    """The public key in a text or, but for a signature's own, in the file of that path. Raises BundleError."""
    from minisign import Error, PublicKey

    if what == "--signed-by" and os.path.exists(given):
        return _text(parsed(Path(given), "PublicKey"))
    try:
        return _text(PublicKey.from_base64(given))
    except (Error, ValueError):
        raise BundleError(f"{what}: {given[:80]!r} is no public key of minisign, and no file that holds one") from None


def _text(key: PublicKey) -> str:
    return str(key.to_base64(), "ascii")


def parsed(path: Path, kind: str) -> Any:
    """The content of a file of minisign's. Raises BundleError."""
    import minisign

    words = {"Signature": "signature", "PublicKey": "public key", "SecretKey": "secret key"}[kind]
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(descriptor, "rb") as file:
            raw = file.read(MAX_FILE + 1)
        if len(raw) > MAX_FILE:
            raise BundleError(f"{path}: longer than {MAX_FILE:,} bytes, expected a {words} of minisign")
        return getattr(minisign, kind).from_bytes(raw)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror or error})") from None
    except ValueError as error:
        raise BundleError(f"{path}: no {words} of minisign ({error})") from None


def key_id(key: bytes) -> str:
    """The name of a key as minisign shows it, from the base64 text of a key or a signature."""
    return base64.b64decode(key)[2:10][::-1].hex().upper()


def check_package() -> None:
    """Raises BundleError where py-minisign is not installed."""
    if not _installed():
        raise BundleError(f"signatures need the package py-minisign, not installed; run: {GET}")


def _installed() -> bool:
    """By its metadata: another package has a module of the same name."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        return bool(distribution("py-minisign"))
    except PackageNotFoundError:
        return False
