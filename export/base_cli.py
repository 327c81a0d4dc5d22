"""`copersona export base`: the demo's base model, trained from scratch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from copersona.runtime.commands import foreseen


@click.command("base")
@click.argument("out", metavar="OUT", type=click.Path(file_okay=False, path_type=Path))
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Folder with posts, reviews and qa/.")
@click.option("--tokens", type=click.IntRange(1), help="Tokens to train on.")
@click.option("--hours", type=click.FloatRange(0, min_open=True),
              help="Instead of --tokens: as many as the speed measured at the start allows.")  # fmt: skip
@click.option("--shape", type=click.Choice(["cpu", "gpu"]), default="cpu", show_default=True, help="Size of the model.")
@click.option("--batch", type=click.IntRange(1), help="Tokens a step.")
@click.option("--micro", type=click.IntRange(1), help="Tokens at once.")
@click.option("--lr", type=click.FloatRange(0, min_open=True), help="Peak learning rate.")
@click.option("--seed", type=int, default=0, show_default=True)
@foreseen
def base(
    out: Path, data: Path, tokens: int | None, hours: float | None, shape: str, batch: int | None, micro: int | None,
    lr: float | None, seed: int,
) -> None:  # fmt: skip
    """Train the demo's base model from scratch; OUT/model is then a folder for `copersona export run --base`.

    Run the same command again after an interruption: it goes on from the last checkpoint, with the same plan.
    """
    from copersona.export.base import Recipe, make_base
    from copersona.export.base_folder import SHAPES
    from copersona.export.pretrain import PretrainSettings

    given = {"batch": batch, "micro": micro, "lr": lr, "seed": seed}
    train = replace(PretrainSettings(), **{k: v for k, v in given.items() if v is not None})  # type: ignore[arg-type]
    recipe = Recipe(str(data.resolve()), tokens or 0, SHAPES[shape], train=train)
    done = make_base(out, recipe, hours=hours, say=lambda line: click.echo(line, err=True))
    click.echo(str(done))
