"""`copersona people seal` and `unseal`: the people store under a passphrase, or without one again."""

from __future__ import annotations

from pathlib import Path

import click

from copersona.runtime.cli.commands import foreseen
from copersona.runtime.cli.passphrase import (
    asked_twice,
    asking,
    check_keyring,
    from_descriptor,
    keep_in_keyring,
    source,
)
from copersona.runtime.cli.streams import say
from copersona.runtime.common.errors import PersonError

LOST = "A lost passphrase cannot be recovered, by anybody: the people in this store are then gone."


@click.command("seal")
@click.option("--change", is_flag=True, help="Give a sealed store another passphrase.")
@click.option(
    "--new-passphrase-fd",
    type=click.IntRange(0),
    metavar="N",
    help="Read the new passphrase from file descriptor N instead of asking for it twice.",
)
@foreseen
def people_seal(change: bool, new_passphrase_fd: int | None) -> None:
    """Encrypt the people store, and what is kept beside it, under a passphrase that you are asked for.

    From then on every command that opens the store asks for it (`copersona --passphrase-fd N` and `copersona --keyring`
    read it elsewhere). A LOST PASSPHRASE CANNOT BE RECOVERED: the people in the store are then gone. The plain file is
    overwritten and removed; copies of it that you made, and old blocks of a flash drive, are out of reach.
    """
    from copersona.runtime.people.sealing import seal

    path = _store(sealed=change)
    if source().keyring:
        check_keyring()
    new: str | bytes | None = None if new_passphrase_fd is None else from_descriptor(new_passphrase_fd)

    def passphrase() -> str | bytes:
        nonlocal new
        if new is None:
            say(LOST, err=True)
            new = asked_twice(path)
        return new

    left = seal(path, passphrase, asking() if change else None)
    if source().keyring:
        keep_in_keyring(passphrase(), str(path.absolute()))
    _say(f"{path}: {'sealed under the new passphrase' if change else 'sealed'}", left)


@click.command("unseal")
@foreseen
def people_unseal() -> None:
    """Make a sealed people store a plain file again, readable by this user as it was before it was sealed."""
    from copersona.runtime.people.sealing import unseal

    path = _store(sealed=True)
    left = unseal(path, asking())
    if source().keyring:
        keep_in_keyring(None, str(path.absolute()))
    _say(f"{path}: not sealed any more", left)


def _store(*, sealed: bool) -> Path:
    """The path of the store, which is to be sealed or not. Raises PersonError."""
    from copersona.runtime.people.sealed import check_packages, is_sealed
    from copersona.runtime.people.store import store_path

    path = store_path()
    check_packages(path)
    there = path.is_file()
    if sealed and not (there and is_sealed(path)):
        raise PersonError(f"{path}: the store is not sealed; `copersona people seal` seals it")
    if not sealed and there and is_sealed(path):
        raise PersonError(f"{path}: sealed already; `copersona people seal --change` changes the passphrase")
    return path


def _say(line: str, left: str) -> None:
    say(line)
    if left:
        say(f"pending: the file is to be rewritten ({left}); the next command that opens it does", err=True)
