"""`copersona evaluate`: what a bundle's persona is worth on what its run held out, as a report."""

from __future__ import annotations

from pathlib import Path

import click

from copersona.export.common.extra import ready
from copersona.runtime.cli.commands import BUNDLE, THREADS, foreseen
from copersona.runtime.cli.streams import say
from copersona.runtime.common.errors import ExportError


@click.command("evaluate")
@BUNDLE
@click.option("--run", "run_folder", required=True, type=click.Path(path_type=Path), help="The bundle's run folder.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the report.")
@click.option("--only", multiple=True, help="Only these experiments; an unknown name lists them all.")
@click.option("--limit", type=click.IntRange(2), help="Only so many people, to try things out; said in the report.")
@click.option("--validation", is_flag=True,
              help="Ask at validation interactions, to choose settings by; the test stays untouched.")  # fmt: skip
@click.option("--sweeps", type=click.IntRange(2), metavar="PEOPLE",
              help="For how many people settings are swept; by default for all.")  # fmt: skip
@click.option("--texts", default=200, show_default=True, type=click.IntRange(0),
              help="For how many people texts are generated.")  # fmt: skip
@click.option("--max-tokens", type=click.IntRange(1), help="Longest text; by default as long as was trained on.")
@click.option("--bert-encoder", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Local encoder for BERTScore; by default the run's sentence encoder.")  # fmt: skip
@click.option("--train", "train_", multiple=True, metavar="VARIANT",
              help="Retrain this variant first, or 'all'; trainings are kept in RUN/variants.")  # fmt: skip
@click.option("--invented", is_flag=True, help="Also the control on invented people; exports a run of them first.")
@click.option("--endpoint", help="A model that writes PAG's summaries and DPL's differences, at an OpenAI-compatible "
              "address. What people wrote is SENT THERE.")  # fmt: skip
@click.option("--model", help="Name of the model at the endpoint.")
@click.option("--gguf", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The same in a GGUF, here.")
@click.option("--judge-endpoint", help="A model that judges generated texts, at an OpenAI-compatible address.")
@click.option("--judge-model", help="Name of the judge at its endpoint.")
@click.option("--judge-gguf", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The same in a GGUF.")
@click.option("--api-key-env", metavar="VAR", help="Environment variable that holds the endpoints' key.")
@click.option("--base-training", default="its training is not stated", metavar="TEXT",
              help="How the base was trained, for the report.")  # fmt: skip
@THREADS
@click.option("--seed", default=0, show_default=True, help="Same seed, same values.")
@foreseen
def evaluate(folder: Path, run_folder: Path, out: Path, **options: object) -> None:
    """Measure BUNDLE on what the run held out; writes report.md, report.html, results.json.gz and plots to OUT.

    What was measured before, with the same bundle and settings, is not measured again: a stopped evaluation goes on.
    """
    ready()
    from copersona.export.evaluation.command.evaluate import Options, evaluate_bundle
    from copersona.export.run.run import Run

    try:
        asked = Options(**options)  # type: ignore[arg-type]
    except TypeError as error:
        raise ExportError(f"options of evaluate: {error}") from None
    say(evaluate_bundle(folder, Run.open(run_folder), out, asked))
