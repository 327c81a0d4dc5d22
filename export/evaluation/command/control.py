"""The control: on invented people with planted traits and hidden facets every arrow of the method must show.

A whole run is exported on them with the base, the encoder and the settings of the run that is evaluated, and then
evaluated as any other; what needs the truth (completion of a facet that never shows) is added from `completion.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from copersona.export.common.files import write_text
from copersona.export.data.invented import write_invented
from copersona.export.evaluation.bench.bench import TRAINED, Bench
from copersona.export.evaluation.bench.cases import cases
from copersona.export.evaluation.experiments.gating import ENOUGH, Gating, gating
from copersona.export.evaluation.report.claims import Claim, verdict
from copersona.export.evaluation.report.results_file import read_results
from copersona.export.measure.completion import HiddenFacets, hidden_facet_figures
from copersona.export.run.run import Run
from copersona.export.steps.pipeline import run_steps
from copersona.export.steps.steps import STEPS
from copersona.runtime.common.progress import note

if TYPE_CHECKING:
    from copersona.export.evaluation.command.evaluate import Options

PEOPLE, HIDING = 200, 0.25


def invented_run(run: Run, people: int = PEOPLE) -> Run:
    """A run on invented people, exported as far as it is not."""
    folder = run.path("variants") / "invented"
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "people.jsonl"
    write_invented(source, people, run.settings.seed, hidden=HIDING)
    settings = replace(run.settings, histories=(str(source.resolve()),), format="jsonl", metadata=None)
    other = Run(folder, replace(settings, limit_people=None, facets_model=None, profiles_model=None))
    other.save_settings()
    run_steps(other, tuple(STEPS), note)
    return other


def control(run: Run, out: Path, options: Options, people: int = PEOPLE) -> list[Claim]:
    """Export, evaluate, and say of each arrow whether it shows; writes `invented/control.json` and `control.md`."""
    from copersona.export.evaluation.command.evaluate import evaluate_bundle

    other, folder = invented_run(run, people), out / "invented"
    asked = replace(options, only=("methods", "twins", "cold"), invented=False, train_=())
    evaluate_bundle(other.path("bundle"), other, folder, asked)
    body = read_results(folder)
    with Bench(other, {TRAINED: other.path("bundle")}, threads=options.threads) as bench:
        shares = gating(bench, cases(other, options.limit))
    hidden = hidden_facet_figures(other.settings.seed, other.encode, people=people)
    found = [*completion_claims(hidden), gate_claim(shares), *(Claim(**row) for row in body["claims"])]
    figures = {"gating": asdict(shares), "completion": hidden.to_json()}
    write_text(folder / "control.json", json.dumps(figures, indent=1))
    rows = [f"| {a.claim} | {a.figure} | {a.people} | {a.verdict} |" for a in found]
    lines = [
        "# Control on invented people",
        "",
        *([f"LIMITED to {options.limit} people (--limit).", ""] if options.limit else []),
        "| claim | found | people, measurements | shows |",
        "| --- | --- | --- | --- |",
        *rows,
    ]
    write_text(folder / "control.md", "\n".join(lines) + "\n")
    return found


def completion_claims(hidden: HiddenFacets) -> list[Claim]:
    """Peers tell what a person never shows better than nobody and than random peers."""
    never = hidden.never_shown
    if never is None:
        reason = "no facet of subjects was induced, or too few lack it"
        return [Claim("completion: peers tell the topic that is never shown", reason, 0, "not shown")]
    return [
        Claim(
            f"completion: peers tell the topic that is never shown, {name}",
            _interval(row),
            row["people"],
            verdict(row["low"], row["high"]),
        )
        for name in ("gain over no peers", "gain over random peers")
        for row in (never[name],)
    ]


def gate_claim(shares: Gating) -> Claim:
    """The best share of one's own evidence rises with its reliability, over labels with enough measurements."""
    best = {label: row["best share"] for label, row in shares.rows.items() if row["measurements"] >= ENOUGH}
    figure = ", ".join(f"{label} {value:.2f}" for label, value in best.items())
    count = int(sum(row["measurements"] for row in shares.rows.values()))
    claim = "gating: the best share of own evidence rises"
    if shares.rise is None:
        return Claim(claim, f"{figure}; too few measurements", count, "not shown")
    mean, low, high = shares.rise
    shown = verdict(low, high)
    if shown == "yes" and list(best.values()) != sorted(best.values()):
        shown = "not shown"
    return Claim(claim, f"{figure}: {mean:+.2f} [{low:+.2f}, {high:+.2f}]", count, shown)


def _interval(row: Mapping[str, float]) -> str:
    return f"{row['mean']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
