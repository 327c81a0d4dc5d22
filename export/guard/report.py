"""The report of a guard: what the set came to, where the persona moves facts, and what each mode pays and costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from copersona.export.evaluation.report.document import Block, Grid, Heading, Text
from copersona.export.guard.asking import Outcome
from copersona.export.guard.counted import helped, tallies
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


def mode_blocks(title: str, compared: Mapping[str, Compared], cases: tuple[int, int]) -> list[Block]:
    """Every mode: P, F, Overall, what it loses of P and gains of Overall against off, in percent."""
    rows = [
        [name, points(one.p), points(one.f), points(one.overall), f"{percent(one.p_lost.mean)} (≤ "
         f"{percent(one.p_lost.most)})", points(one.gained)]
        for name, one in compared.items()
    ]  # fmt: skip
    head = ("mode", "P", "F", "Overall", "P lost (one-sided 95 %)", "Overall minus off")
    personal, facts = cases
    note = f"{personal} personal cases, {facts} facts that nobody answers rightly; in percent, 95 % by person and question."
    return [Heading(title, 3), Grid(head, rows), Text(note)]


def percent(share: float) -> str:
    """A share in percent."""
    return f"{100 * share:.1f}"


def points(found: Interval) -> str:
    """A share and its interval in percent."""
    return f"{percent(found.mean)} [{percent(found.low)}, {percent(found.high)}]"
