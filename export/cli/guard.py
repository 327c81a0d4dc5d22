"""`copersona export guard`: what a persona does to facts, and a guard against it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from copersona.export.common.extra import ready
from copersona.export.common.figures import report_lines
from copersona.runtime.cli.commands import AS_JSON, THREADS, foreseen
from copersona.runtime.cli.people_import import read_enrolment
from copersona.runtime.cli.streams import say, say_json

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("guard")
@click.argument("target", metavar="RUN|BUNDLE", type=click.Path(path_type=Path))
@click.option("--questions", multiple=True, required=True, type=FILE,
              help="Factual questions with answers, a JSON array or JSON lines; may be given again.")  # fmt: skip
@click.option("--people", default=160, show_default=True, type=click.IntRange(3), help="How many people are asked.")
@click.option("--bundle", type=click.Path(path_type=Path),
              help="Another bundle of the run's population, such as one of `copersona bundle from`.")  # fmt: skip
@click.option("--histories", multiple=True, type=FILE, help="Without a run: what people wrote.")
@click.option("--format", "format_", default="jsonl", show_default=True, help="The form of these files.")
@click.option("--enrolled-as", type=FILE, help="Without a run: pseudonyms.json of those who are peers of the bundle.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of answers and report.  [default: RUN]")
@click.option("--evaluate", is_flag=True, help="Also try every mode on the test cases: takes as long again.")
@THREADS
@AS_JSON
@foreseen
def guard(target: Path, format_: str, enrolled_as: Path | None, as_json: bool, **options: Any) -> None:
    """Ask facts and personal questions with and without personas, and calibrate a guard from what they spoil.

    Writes guard.safetensors into the bundle where a guard can be judged, and a report beside the answers in any case.
    Answers are kept: a stopped run goes on where it was.
    """
    ready()
    from copersona.export.guard.make import make_guard
    from copersona.export.guard.source import Options

    names = read_enrolment(enrolled_as) if enrolled_as else {}
    figures = make_guard(target, Options(format=format_, enrolled=names, **options))
    if as_json:
        say_json(figures)
        return
    for line in report_lines(figures, ""):
        say(line)
