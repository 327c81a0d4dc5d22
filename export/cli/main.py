"""`copersona export`: from histories and a base model to a bundle, all at once or step by step."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from copersona.export.cli.guard import guard as guard_command
from copersona.export.cli.model_options import model_choice
from copersona.export.cli.run_options import run_settings
from copersona.export.cli.unpack import unpack as unpack_command
from copersona.export.common.extra import ready
from copersona.export.common.figures import report_lines, sizes
from copersona.runtime.cli.commands import AS_JSON, foreseen
from copersona.runtime.cli.context_options import context_options
from copersona.runtime.cli.streams import say, say_json
from copersona.runtime.common.errors import ExportError
from copersona.runtime.common.terminal import in_line
from copersona.runtime.common.threads import MAX_THREADS

RUN = click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))
HISTORIES = click.argument(
    "histories", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
FORMAT = click.option(
    "--format", "format_", default="jsonl", show_default=True,
    help="jsonl (our own), amazon2014, amazon2023, dpl, lamp, longlamp; docs/formats.md describes them.",
)  # fmt: skip
METADATA = click.option(
    "--metadata", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Item titles, as JSON lines."
)
SKIP_BAD = click.option("--skip-bad", is_flag=True, help="Leave out records that cannot be read, and count them.")


@click.group("export")
def export() -> None:
    """Train on people's histories and pack a bundle that runs without torch.

    \b
    copersona export run reviews.jsonl --format amazon2014 --base DIR --encoder DIR --out RUN
    copersona export measure RUN          figures of a finished run, as JSON and as a table

    Every step keeps its results in the run folder; a rerun goes on where the last one stopped.
    """


export.add_command(unpack_command)
export.add_command(guard_command)


@export.command("run")
@HISTORIES
@FORMAT
@METADATA
@SKIP_BAD
@click.option(
    "--base",
    required=True,
    help="A GGUF file, a Hugging Face folder or a hub id (owner/name, owner/name@revision): a dense Qwen2, Qwen3 or "
    "Llama with a chat template. A GGUF is dequantised once, into the cache.",
)
@click.option(
    "--encoder", required=True, help="sentence-transformers folder or hub id; pooling by mean or first token."
)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Run folder; the bundle ends up in RUN/bundle."
)
@click.option("--facets", default=5, show_default=True, help="How many facets to induce.")
@click.option("--epochs", type=click.IntRange(1), help="Passes over the training targets.")
@click.option("--targets", type=click.IntRange(1), help="Train on so many targets, drawn at random, instead of all: "
              "a base of 135M parameters learns from some ten a minute on two cores.")  # fmt: skip
@click.option("--validation", type=click.IntRange(1), help="Targets of as many people that the best state is chosen "
              "on.  [default: 200]")  # fmt: skip
@click.option("--checkpoint-seconds", type=click.FloatRange(0), help="Between two checkpoints of the training.")
@click.option("--soft-tokens", type=click.IntRange(1, 256), help="L, virtual tokens of the soft prompt.")
@click.option("--quantize", type=click.Choice(["q8_0", "f16", "f32", "q4_k_m"]), default="q8_0", show_default=True)
@click.option("--thin", is_flag=True, help="Pack LoRA and name of the base (a GGUF) instead of the model; "
              "`copersona bundle assemble` makes it whole on the device.")  # fmt: skip
@click.option(
    "--seed", default=0, show_default=True, help="Same seed, data and threads: same facets, graph, personalizer."
)
@click.option("--preset", type=click.Choice(["small", "paper"]), default="small", show_default=True,
              help="Training settings: for small bases, or the paper's own (10 epochs, 2e-5).")  # fmt: skip
@click.option(
    "--context-length", default=1024, show_default=True, help="Tokens of context that the base was trained on."
)
@click.option("--keep", type=click.Path(dir_okay=False, path_type=Path),
              help='Questions and answers that the model must not forget, JSON lines {"input", "output"}: mixed into '
              "the training, asked as nobody.")  # fmt: skip
@click.option("--no-peer-quotes", is_flag=True, help="Peers keep summaries and embeddings, no quotes.")
@click.option(
    "--limit-people", type=click.IntRange(24), help="Use only so many people, chosen by hash, to try things out."
)
@click.option(
    "--until",
    type=click.Choice(["encoder", "discover", "profile", "graph", "train", "convert"]),
    help="Stop after this step, to edit facets.json or to measure the graph alone; without it the command goes on.",
)
@model_choice
@context_options()
@click.option(
    "--workers", default=2, show_default=True, type=click.IntRange(1, MAX_THREADS), help="Texts encoded at once."
)
@AS_JSON
@foreseen
def run(out: Path, until: str | None, as_json: bool, **options: Any) -> None:
    """Do all steps: prepare, encoder, discover, profile, graph, train, convert, bundle.

    HISTORIES are files of what people wrote. What is done already and not stale is skipped; a step that was interrupted
    starts again, training goes on from its last checkpoint.
    """
    ready()
    from copersona.export.run.run import Run
    from copersona.export.steps.steps import STEPS

    work = Run(out, run_settings(**options))
    out.mkdir(parents=True, exist_ok=True)
    work.save_settings()
    steps = tuple(STEPS)
    _execute(work, steps[: steps.index(until) + 1] if until else steps, as_json)


def _execute(work: Any, steps: tuple[str, ...], as_json: bool) -> None:
    from copersona.export.steps.pipeline import run_steps

    done = run_steps(work, steps, lambda line: say(line, err=True))
    if as_json:
        say_json([asdict(d) for d in done])
        return
    say(f"\n{'step':<10}{'seconds':>10}{'peak MB':>10}")
    for one in done:
        say(f"{one.step:<10}{one.seconds:>10.1f}{one.peak_megabytes:>10.0f}")
    total, peak = sum(one.seconds for one in done), max((one.peak_megabytes for one in done), default=0)
    say(f"{'all':<10}{total:>10.1f}{peak:>10.0f}")
    say(f"\n{'size':<28}{'MB':>10}")
    for name, size in sizes(work.folder):
        say(f"{name:<28}{size / 1e6:>10.1f}")
    for one in done:
        say(f"\n{one.step}")
        for line in report_lines(one.report):
            say(line)


def _step(name: str, text: str) -> None:
    @export.command(name, help=text)
    @RUN
    @AS_JSON
    @foreseen
    def command(run_folder: Path, as_json: bool) -> None:
        ready()
        from copersona.export.run.run import Run

        _execute(Run.open(run_folder), (name,), as_json)


_step("discover", "Induce facets from the histories of RUN; writes facets.json, to be read and edited by hand.")
_step("profile", "Facet profiles of everyone at every point where something is predicted.")
_step("graph", "The multiplex persona graph: degrees, share of pairs over the threshold, facet-biased people.")
_step("train", "LoRA and personalizer, jointly; goes on from the last checkpoint.")
_step("convert", "LoRA merged, written as GGUF, quantised.")
_step("bundle", "Check parity and pack RUN/bundle; refused when a check fails.")


@export.command("compare")
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@AS_JSON
@foreseen
def compare(first: Path, second: Path, as_json: bool) -> None:
    """Whether two run folders hold the same facets, graph and personalizer. Ends with 1 when they differ."""
    ready()
    from copersona.export.measure.measure import same_run

    same = same_run(first, second)
    if as_json:
        say_json(same)
    else:
        for name, equal in same.items():
            say(f"{name}: {'the same' if equal else 'DIFFERENT'}")
    if not all(same.values()):
        raise SystemExit(1)


@export.command("measure")
@RUN
@click.option("--people", type=click.IntRange(2), help="Only so many people, to try things out; said in the output.")
@click.option("--only", multiple=True, help="Only these measurements; see the output for their names.")
@click.option("--bundle", type=click.Path(path_type=Path),
              help="Another bundle of the run's population, such as one of `copersona bundle from`.")  # fmt: skip
@AS_JSON
@foreseen
def measure(run_folder: Path, people: int | None, only: tuple[str, ...], bundle: Path | None, as_json: bool) -> None:
    """Measure a finished run on what was held out, through the bundle's public entry points.

    Bits per byte of test interactions as oneself, as nobody and as someone else; neighbours from text; parities;
    memory. Writes RUN/measured.json.
    """
    ready()
    from copersona.export.measure.measure import measure_run
    from copersona.export.run.run import Run

    figures = measure_run(Run.open(run_folder), people=people, only=only, bundle=bundle)
    if as_json:
        say_json(figures)
        return
    for line in report_lines(figures, ""):
        say(line)


@export.command("invent")
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--people", type=click.IntRange(1), default=80, show_default=True, help="How many people to invent.")
@click.option("--seed", default=0, show_default=True, help="Same seed, same people, same text.")
@click.option(
    "--hidden", type=click.FloatRange(0, 1), default=0.25, show_default=True, help="Share who never show their topic."
)
@click.option("--twins", type=click.FloatRange(0, 1), default=0.0, show_default=True,
              help="Share who are twins of another: alike in all but one trait, which truth.json names.")  # fmt: skip
@AS_JSON
@foreseen
def invent(out: Path, people: int, seed: int, hidden: float, twins: float, as_json: bool) -> None:
    """Write histories of invented people to OUT and what was planted in them to truth.json beside it.

    For trying the whole path without anyone's data, and for tests that know the truth. Needs no torch.
    """
    from copersona.export.data.invented import write_invented

    found = write_invented(out, people, seed, hidden=hidden, twins=twins)
    figures = {"people": len(found.traits), "interactions": len(found.interactions), "hidden": len(found.hidden)}
    figures |= {"twins": len(found.twins)} if twins else {}
    if as_json:
        say_json(figures)
        return
    say(f"{in_line(out)}: {', '.join(f'{name} {number}' for name, number in figures.items())}")


@export.command("prepare")
@HISTORIES
@FORMAT
@METADATA
@SKIP_BAD
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="JSON lines to write.")
@click.option("--preset", type=click.Choice(["dpl", "video_games", "sports", "music"]), default="dpl",
              show_default=True, help="DPL's thresholds, or CoPersona's for its three sparse sets.")  # fmt: skip
@click.option("--min-review", type=click.IntRange(0), help="Characters of a review.")
@click.option("--min-description", type=click.IntRange(0), help="Characters of an item's description.")
@click.option("--max-description", type=click.IntRange(0), help="Characters of an item's description.")
@click.option("--min-users-per-item", type=click.IntRange(1), help="People who reviewed an item.")
@click.option("--min-reviews-per-user", type=click.IntRange(1), help="Reviews of a person.")
@click.option("--max-reviews-per-user", type=click.IntRange(1), help="Reviews of a person.")
@click.option("--holdout", type=click.IntRange(1), help="Latest reviews set apart, at most half of a person's.")
@click.option("--min-profiles-per-item", type=click.IntRange(1), help="Profiles that an item is in.")
@click.option("--min-profile", type=click.IntRange(1), help="Reviews in a person's profile.")
@AS_JSON
@foreseen
def prepare(
    histories: tuple[Path, ...], format_: str, metadata: Path | None, skip_bad: bool, out: Path, preset: str,
    as_json: bool, **least: int | None,
) -> None:  # fmt: skip
    """Keep what is dense enough to learn from, by DPL's preprocessing; writes our own JSON lines.

    Options given beside --preset replace its thresholds. Rules about items need --metadata. Needs no torch.
    """
    from copersona.export.data.prepare import PRESETS, prepare_files

    given = {name: value for name, value in least.items() if value is not None}
    if metadata is None and {"min_description", "max_description"} & set(given):
        raise ExportError("--min-description and --max-description need --metadata, a file of item descriptions")
    thresholds = replace(PRESETS[preset], **given)
    done = prepare_files(histories, format_, out, thresholds, metadata=metadata, skip_bad=skip_bad).figures()
    if as_json:
        say_json(done)
        return
    say(f"{out}")
    for line in report_lines(done):
        say(line)
