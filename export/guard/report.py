"""The report of a guard: what the set came to, where the persona moves facts, and what each mode pays and costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from copersona.export.evaluation.report.document import Block, Grid, Heading, Picture, Text
from copersona.export.guard.asking import Outcome
from copersona.export.guard.calibrate import Calibration, Work, labels_of, told_apart
from copersona.export.guard.counted import helped, tallies
from copersona.export.guard.evaluate import Risks
from copersona.export.guard.modes import Compared
from copersona.export.guard.resampling import Interval

DID = ("right both", "degraded", "beneficial", "wrong both")


def set_blocks(outcomes: Sequence[Outcome], obstacles: Sequence[str]) -> list[Block]:
    """The questions, what the persona did to their answers, and whether a guard can be judged on them."""
    rows = [
        [row.group, row.form, *map(str, (row.people, row.questions, row.cases)), *(str(row.did[did]) for did in DID)]
        for row in tallies(outcomes)
    ]
    verdict = "A guard can be judged on it." if not obstacles else f"Not evaluable: {'; '.join(obstacles)}."
    gain = points(helped(outcomes))
    return [
        Heading("The set"),
        Grid(("group", "form", "people", "questions", "cases", *DID), rows),
        Text(f"Personal questions, all groups, persona minus nobody: {gain} points. {verdict}"),
    ]


def calibration_blocks(work: Work, found: Calibration, gamma: float, picture: Path) -> list[Block]:
    """Layer, probes and what was chosen on validation."""
    rows = [
        [name, *(f"{value:.3f}" for value in (one.held, one.test, one.shuffled)), f"{one.tau:.2f}"]
        for name, one in (("the persona's state", found.probed), ("the request alone", found.alone))
    ]
    layers = work.reader.engine.facts.layers
    labels = labels_of(told_apart(work.of("training")))
    return [
        Heading("Layer and probe"),
        Picture(picture, "Deviation of perplexity and the probe's area under the curve, by layer"),
        Text(f"Layer {found.layer} of {layers}, counted from 0. Probes: {int(labels.sum())} degraded facts and "
             f"{int((1 - labels).sum())} helped personal questions of training; γ = {gamma:g}, τ: of validation."),
        Grid(("probe of", "AUC, validation", "AUC, test", "shuffled labels, test", "τ"), rows),
    ]  # fmt: skip


def mode_blocks(test: Risks, compared: Mapping[str, Compared]) -> list[Block]:
    """Every mode: P, F, Overall, what it loses of P and gains of Overall against off, in percent."""
    rows = [
        [name, points(one.p), points(one.f), points(one.overall), f"{percent(one.p_lost.mean)} (≤ "
         f"{percent(one.p_lost.most)})", points(one.gained), points(one.behind)]
        for name, one in compared.items()
    ]  # fmt: skip
    head = ("mode", "P", "F", "Overall", "P lost (one-sided 95 %)", "Overall minus off", "regenerate minus this")
    personal = int(test.cases.personal.sum())
    text = (
        f"{personal} personal cases, {len(test.cases.outcomes) - personal} facts that nobody answers rightly; percent, "
        f"95 % by person and question. P lost is against off. The probe's AUC among facts alone, spoilt against kept: "
        f"{test.among_facts:.3f}."
    )
    return [Grid(head, rows), Text(text)]


def percent(share: float) -> str:
    """A share in percent."""
    return f"{100 * share:.1f}"


def points(found: Interval) -> str:
    """A share and its interval in percent."""
    return f"{percent(found.mean)} [{percent(found.low)}, {percent(found.high)}]"
