"""`copersona persona`: a person of this device for other programs."""

from __future__ import annotations

from pathlib import Path

import click

from copersona.runtime.cli.commands import foreseen, open_session
from copersona.runtime.cli.passphrase import open_store
from copersona.runtime.cli.streams import say
from copersona.runtime.common.terminal import in_line


@click.group()
def persona() -> None:
    """Personas for other programs on this machine."""


@persona.command("export")
@click.argument("folder", metavar="BUNDLE", type=click.Path(path_type=Path))
@click.option("--person", required=True, help="A name in the people store.")
@click.option(
    "--as",
    "kind",
    required=True,
    type=click.Choice(("text", "gguf-rows", "llama-slot")),
    help="text: a system prompt. gguf-rows: a model whose vocabulary holds the soft prompt. llama-slot: a state for "
    "llama-server.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FOLDER", help="A folder to be made.")
@foreseen
def export(folder: Path, person: str, kind: str, out: Path) -> None:
    """Write a person of this device as files for programs that know nothing of copersona.

    A README.md in the folder says how to use them and what is lost against the runtime. The files hold what the
    person wrote: they are for you alone (0600), and `people forget` names the folder.

    \b
    copersona persona export BUNDLE --person ana --as text --out ana-text
    copersona persona export BUNDLE --person ana --as gguf-rows --out ana-model
    ollama create ana -f ana-model/Modelfile
    """
    from copersona.runtime.elsewhere.files import KINDS, LOSES, write_files

    chosen = next(one for one in KINDS if one == kind)
    with open_store() as store, open_session(folder) as session:
        known = session.person(store, store.find(person))
        store.keep_output([person], out)  # before the first byte, so that a kill leaves nothing that nobody names
        for path in write_files(session, known, chosen, out):
            say(in_line(path))
    for line in LOSES[chosen]:
        say(line, err=True)
