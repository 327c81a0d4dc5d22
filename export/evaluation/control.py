"""The control: on invented people with planted traits and hidden facets every arrow of the method must show.

A whole run is exported on them with the base, the encoder and the settings of the run that is evaluated, and then
evaluated as any other; what needs the truth (completion of a facet that never shows) is added from `completion.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from copersona.export.completion import hidden_facet_figures
from copersona.export.evaluation.bench import TRAINED, Bench
from copersona.export.evaluation.cases import cases
from copersona.export.evaluation.gating import gating
from copersona.export.files import write_text
from copersona.export.invented import write_invented
from copersona.export.pipeline import run_steps
from copersona.export.run import Run
from copersona.export.steps import STEPS
from copersona.runtime.progress import note

if TYPE_CHECKING:
    from copersona.export.evaluation.evaluate import Options

PEOPLE, HIDING = 200, 0.25
BITS = "bits per byte"


@dataclass(frozen=True, slots=True)
class Arrow:
    """One claim of the method: what was found, and whether its interval is on the right side of zero."""

    claim: str
    figure: str
    holds: bool


def invented_run(run: Run, people: int = PEOPLE) -> Run:
    """A run on invented people, exported as far as it is not."""
    folder = run.path("variants") / "invented"
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "people.jsonl"
    if not source.is_file():
        write_invented(source, people, run.settings.seed, hidden=HIDING)
    settings = replace(run.settings, histories=(str(source.resolve()),), format="jsonl", metadata=None)
    other = Run(folder, replace(settings, limit_people=None, facets_model=None, profiles_model=None))
    other.save_settings()
    run_steps(other, tuple(STEPS), note)
    return other


def control(run: Run, out: Path, options: Options, people: int = PEOPLE) -> list[Arrow]:
    """Export, evaluate, and say of each arrow whether it shows; writes `invented/control.json` and `control.md`."""
    from copersona.export.evaluation.evaluate import evaluate_bundle

    other, folder = invented_run(run, people), out / "invented"
    asked = replace(options, only=("methods", "twins", "cold"), invented=False, train_=())
    evaluate_bundle(other.path("bundle"), other, folder, asked)
    body = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    with Bench(other, {TRAINED: other.path("bundle")}, threads=options.threads) as bench:
        shares = gating(bench, cases(other, options.limit))
    hidden = hidden_facet_figures(other.settings.seed, other.encode, people=people)
    found = [*completion_arrows(hidden), gate_arrow(shares), *bits_arrows(body)]
    write_text(folder / "control.json", json.dumps({"gating": shares, "completion": hidden}, indent=1))
    rows = [f"| {a.claim} | {a.figure} | {'yes' if a.holds else 'NO'} |" for a in found]
    lines = ["# Control on invented people", "", "| claim | found | shows |", "| --- | --- | --- |", *rows]
    write_text(folder / "control.md", "\n".join(lines) + "\n")
    return found


def completion_arrows(hidden: Mapping[str, Any]) -> list[Arrow]:
    """Peers tell what a person never shows better than nobody and than random peers."""
    never = hidden["topic never shown"]
    if never is None:
        return [
            Arrow("completion: peers tell the topic that is never shown", "no facet of subjects was induced", False)
        ]
    return [
        Arrow(f"completion: peers tell the topic that is never shown, {name}", _interval(never[name]), low > 0)
        for name in ("gain over no peers", "gain over random peers")
        for low in (never[name]["low"],)
    ]


def gate_arrow(shares: Mapping[str, Mapping[str, float]]) -> Arrow:
    """The best share of one's own evidence rises with its reliability, over labels with enough measurements."""
    best = {label: row["best share"] for label, row in shares.items() if row["measurements"] >= 20}
    rising = list(best.values())
    figure = ", ".join(f"{label} {value:.2f}" for label, value in best.items())
    return Arrow("gating: the best share of own evidence rises", figure, len(rising) > 1 and rising == sorted(rising))


def bits_arrows(body: Mapping[str, Any]) -> list[Arrow]:
    """What the language model shows: bits per byte, lower is better."""
    wanted = (
        ("methods", "nobody (trained state)", "the persona pays: nobody costs more than oneself", 1),
        ("twins", "a random other's", "a random other's persona costs more than one's own", 1),
        ("twins", "the least similar's", "the least similar's persona costs more than one's own", 1),
        ("cold", "1", "cold start: one interaction is better than nobody", -1),
        ("cold", "all", "cold start: all interactions are better than nobody", -1),
    )
    found = []
    for table, method, claim, sign in wanted:
        rows = (c for c in body["comparisons"] if (c["table"], c["method"], c["metric"]) == (table, method, BITS))
        row = next(rows, None)
        if row is not None:
            holds = sign * row["difference"] > 0 and (row["low"] > 0 or row["high"] < 0)
            found.append(Arrow(claim, f"{row['difference']:+.5f} [{row['low']:+.5f}, {row['high']:+.5f}]", holds))
    means = _means(body, "twins", BITS)
    near, far = means.get("the most similar other's"), means.get("the least similar's")
    if near is not None and far is not None:
        found.append(Arrow("near twin: the most similar's costs less than the least similar's",
                           f"{near:.5f} against {far:.5f}", near < far))  # fmt: skip
    one, whole = (_means(body, "cold", BITS).get(name) for name in ("1", "all"))
    if one is not None and whole is not None:
        found.append(
            Arrow("cold start: all interactions are better than one", f"{whole:.5f} against {one:.5f}", whole < one)
        )
    return found


def _means(body: Mapping[str, Any], table: str, metric: str) -> dict[str, float]:
    rows = body["values"].get(table, {})
    means = {}
    for label, people in rows.items():
        column = [values[metric] for values in people.values() if metric in values]
        if column:
            means[label] = sum(column) / len(column)
    return means


def _interval(row: Mapping[str, float]) -> str:
    return f"{row['mean']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
