"""`copersona export base`: the demo's base model, trained from scratch."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from copersona.export.common.extra import ready
from copersona.export.common.figures import report_lines
from copersona.runtime.cli.commands import AS_JSON, foreseen
from copersona.runtime.cli.streams import say
from copersona.runtime.common.errors import ExportError


@click.command("base")
@click.argument("out", metavar="OUT", type=click.Path(file_okay=False, path_type=Path))
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Folder with posts, reviews and qa/.")
@click.option("--tokens", type=click.IntRange(1), help="Tokens to train on.")
@click.option("--hours", type=click.FloatRange(0, min_open=True),
              help="Instead of --tokens: as many as the speed measured at the start allows.")  # fmt: skip
@click.option("--decay-now", is_flag=True,
              help="Leave out the rest of the plateau and let the learning rate fall: to end sooner.")  # fmt: skip
@click.option(
    "--shape",
    type=click.Choice(["cpu", "gpu"]),
    default="cpu",
    show_default=True,
    help="Size of the model and of its steps.",
)
@click.option("--batch", type=click.IntRange(1), help="Tokens a step.")
@click.option("--micro", type=click.IntRange(1), help="Tokens at once.")
@click.option("--lr", type=click.FloatRange(0, min_open=True), help="Peak learning rate.")
@click.option("--seed", type=int, default=0, show_default=True)
@foreseen
def base(
    out: Path, data: Path, tokens: int | None, hours: float | None, shape: str, batch: int | None, micro: int | None,
    lr: float | None, seed: int, decay_now: bool,
) -> None:  # fmt: skip
    """Train the demo's base model from scratch; OUT/model is then a folder for `copersona export run --base`.

    Run the same command again after an interruption: it goes on from the last checkpoint, with the same plan.
    """
    ready()
    from copersona.export.base.base import Recipe, make_base

    recipe = Recipe.for_device(str(data.resolve()), shape)
    given: dict[str, Any] = {"batch": batch, "micro": micro, "lr": lr, "seed": seed}
    train = replace(recipe.train, **{k: v for k, v in given.items() if v is not None})
    recipe = replace(recipe, tokens=tokens or 0, train=train)
    done = make_base(out, recipe, hours=hours, say=partial(say, err=True), decay_now=decay_now)
    say(str(done))


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


@click.command("measure-base")
@click.argument("models", metavar="NAME=MODEL...", nargs=-1, required=True)
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Folder with posts, reviews and qa/.")
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path),
              help="JSON file; models in it whose weights are the same are not measured again.")  # fmt: skip
@click.option("--posts", type=click.IntRange(2), default=1_000, show_default=True, help="Held-out posts to score.")
@click.option("--people", type=click.IntRange(2), default=400, show_default=True, help="People to score.")
@AS_JSON
@foreseen
def measure_base(models: tuple[str, ...], data: Path, out: Path, posts: int, people: int, as_json: bool) -> None:
    """Measure base models on held-out text, and compare each with the first, paired over texts and people.

    A MODEL is a Hugging Face folder, a GGUF or (questions only) a bundle. For instance:

    copersona export measure-base tiny=../shared/models/tiny-base ours=OUT/model --data ../shared/data --out base.json
    """
    ready()
    from copersona.export.base.measure import held_text, measure_all
    from copersona.export.base.text import BaseText

    named = dict(_named(model) for model in models)
    figures = measure_all(named, held_text(BaseText(data), posts, people), out)
    if as_json:
        click.echo(json.dumps(figures, ensure_ascii=False))
        return
    for line in report_lines(figures, ""):
        say(line)


def _named(model: str) -> tuple[str, Path]:
    name, equals, path = model.partition("=")
    if not (name and equals and path):
        raise ExportError(f"{model}: expected NAME=MODEL, such as ours=runs/base/model")
    return name, Path(path)
