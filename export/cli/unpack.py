"""`copersona export unpack`: a bundle's language model as a base again."""

from __future__ import annotations

from pathlib import Path

import click

from copersona.export.common.extra import ready
from copersona.runtime.cli.commands import foreseen
from copersona.runtime.cli.streams import say


@click.command("unpack")
@click.argument("bundle", metavar="BUNDLE", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to write; must not be there.")
@foreseen
def unpack(bundle: Path, out: Path) -> None:
    """Write the language model of a bundle as a folder for `copersona export run --base`.

    To train on from a model that was exported before, where its base is not at hand. The weights are those that the
    device has: LoRA merged, as exact as the bundle's quantisation. A tokenizer by pieces, as of Llama 2, is refused.
    """
    ready()
    from copersona.export.convert.unpack import unpack_model

    say(str(unpack_model(bundle, out)))
