"""Where the passphrase of a sealed store or of a key comes from: the terminal, an open file, or, if asked for, for a
store the system's keyring.

Never from an argument or the environment, which other programs can read.
"""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from copersona.runtime.common.errors import PersonError
from copersona.runtime.people.sealed import LONGEST, Passphrase

if TYPE_CHECKING:
    from copersona.runtime.people.store import PeopleStore

T = TypeVar("T")

SERVICE = "copersona"
"""The name of our entries in a keyring; each is under the path of its store."""


@dataclass(frozen=True, slots=True)
class Source:
    """What the caller said about it; nothing is the terminal."""

    descriptor: int | None = None
    keyring: bool = False

    @property
    def asks(self) -> bool:
        """Whether somebody at the terminal is asked."""
        return self.descriptor is None and not self.keyring


def passphrase_options(function: Callable[..., T]) -> Callable[..., T]:
    """The options of a Source, for the root group."""
    for option in (
        click.option("--keyring", is_flag=True, help="Read the passphrase of a sealed people store from the system's "
                     "keyring (needs the package keyring)."),
        click.option("--passphrase-fd", type=click.IntRange(0), metavar="N",
                     help="Read the passphrase of a sealed people store, or of a key for signing, from file descriptor "
                     "N, up to a line end."),
    ):  # fmt: skip
        function = option(function)
    return function


def source() -> Source:
    """What the root group was told in this call."""
    context = click.get_current_context(silent=True)
    found = None if context is None else context.find_root().obj
    return found if isinstance(found, Source) else Source()


def open_store(busy_seconds: float = 10.0) -> PeopleStore:
    """The people store of this device; a sealed one asks for its passphrase. Raises PersonError."""
    from copersona.runtime.people.store import PeopleStore

    return PeopleStore(busy_seconds=busy_seconds, passphrase=asking())


def asking() -> Passphrase:
    """What finds the passphrase when a sealed store is met."""
    return _given


def _given() -> str | bytes:
    from copersona.runtime.people.store import store_path

    said = source()
    if said.descriptor is not None:
        return from_descriptor(said.descriptor)
    if said.keyring:
        found = _keyring("get_password", SERVICE, str(store_path().absolute()))
        if found is None:
            raise PersonError(f"{store_path()}: the keyring has no passphrase for this store")
        return str(found)
    return from_terminal(f"passphrase of {store_path()}: ")


def from_descriptor(descriptor: int) -> bytes:
    """Bytes of an open file up to a line end or its end. Raises PersonError."""
    found = bytearray()
    try:
        while (one := os.read(descriptor, 1)) not in (b"", b"\n") and len(found) <= LONGEST:
            found += one
    except OSError as error:
        raise PersonError(f"file descriptor {descriptor}: no passphrase can be read there ({error.strerror})") from None
    return bytes(found).removesuffix(b"\r")


def from_terminal(question: str, what: str = "the people store") -> str:
    """What is typed, unseen. Raises PersonError where there is no terminal."""
    if not _has_terminal():
        raise PersonError(
            f"{what} is sealed, and there is no terminal to ask for the passphrase; give it by "
            "`copersona --passphrase-fd N`"
        )
    try:
        return getpass.getpass(question)
    except (EOFError, OSError):
        raise PersonError("no passphrase was typed") from None


def asked_twice(place: Path, what: str = "the people store") -> str:
    """A new passphrase of what is at this path. Raises PersonError."""
    first = from_terminal(f"new passphrase of {place}: ", what)
    if from_terminal("the same again: ", what) != first:
        raise PersonError("the two passphrases differ; nothing was changed")
    return first


def keep_in_keyring(passphrase: str | bytes | None, place: str) -> None:
    """Put the passphrase of the store at this path into the keyring; None takes it out. Raises PersonError."""
    if passphrase is None:
        if _keyring("get_password", SERVICE, place) is not None:
            _keyring("delete_password", SERVICE, place)
        return
    text = passphrase.decode("utf-8", "surrogateescape") if isinstance(passphrase, bytes) else passphrase
    _keyring("set_password", SERVICE, place, text)


def check_keyring() -> None:
    """Raises PersonError where there is no keyring that can be asked."""
    _keyring("get_password", SERVICE, "")


def _keyring(function: str, *arguments: str) -> Any:
    try:
        import keyring
    except ImportError:
        raise PersonError("--keyring needs the package keyring, not installed; run: pip install keyring") from None
    try:
        return getattr(keyring, function)(*arguments)
    except Exception as error:  # each system's keyring raises its own
        what = next(iter(str(error).splitlines()), type(error).__name__)
        raise PersonError(f"the system's keyring cannot be used ({what})") from None


def _has_terminal() -> bool:
    if os.name == "nt":
        return sys.stdin is not None and sys.stdin.isatty()
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
