"""`copersona bundle key` and `sign`: who makes bundles says so."""

from __future__ import annotations

from pathlib import Path

import click

from copersona.runtime.cli.commands import BUNDLE, foreseen
from copersona.runtime.cli.passphrase import asked_twice, from_descriptor, from_terminal, source
from copersona.runtime.cli.streams import say
from copersona.runtime.common.terminal import in_line

WHAT = "the key"


@click.command("key")
@click.argument("path", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@foreseen
def bundle_key(path: Path) -> None:
    """Make a pair of keys for signing: FILE is the secret one, FILE.pub the one to give to others.

    The secret key is sealed by a passphrase that you are asked for (`copersona --passphrase-fd N` reads it elsewhere).
    Both files are minisign's, and its keys can be used as well.
    """
    from copersona.runtime.bundle.keys import make_keys

    key = make_keys(path, lambda: _passphrase(path, new=True))
    say(f"{in_line(path)}: the secret key; keep it, and its passphrase, to yourself")
    say(f"{in_line(path)}.pub: the public key, {key}")


@click.command("sign")
@BUNDLE
@click.option("--key", required=True, type=click.Path(dir_okay=False, path_type=Path),
              help="The secret key, a file of `copersona bundle key` or of minisign.")  # fmt: skip
@click.option("--name", help="What the bundle goes by, in every version of it; otherwise the name of its folder.")
@foreseen
def bundle_sign(folder: Path, key: Path, name: str | None) -> None:
    """Sign BUNDLE: say that you made it, in the file manifest.json.minisig beside its manifest.

    All files are checked first. Nothing of the bundle changes, its ids neither. Those who use it keep your key under
    the NAME, and are warned where a bundle of that name is signed by another one. `minisign -Vm manifest.json` checks
    the signature too.
    """
    from copersona.runtime.bundle.keys import opened_key
    from copersona.runtime.bundle.signature import sign
    from copersona.runtime.bundle.verify import verify

    manifest = verify(folder, full=True)
    with opened_key(key, lambda: _passphrase(key)) as secret:
        signed = sign(folder, manifest, secret, folder.resolve().name if name is None else name)
    say(f"{in_line(folder)}: {signed}; the key to give to others: {signed.key}")


def _passphrase(path: Path, *, new: bool = False) -> str | bytes:
    said = source()
    if said.descriptor is not None:
        return from_descriptor(said.descriptor)
    return asked_twice(path, WHAT) if new else from_terminal(f"passphrase of {path}: ", WHAT)
