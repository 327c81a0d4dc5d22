"""What a set of outcomes comes to, and whether a guard can be judged on it at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from copersona.export.guard.asking import Outcome
from copersona.export.guard.people import GROUPS, Group
from copersona.export.guard.resampling import Clusters, Interval

LEAST: dict[Group, int] = {"training": 100, "validation": 10, "test": 100}
"""Facts that the persona spoils."""
LEAST_HELPED = 10  # personal questions that it helps with, in each group


@dataclass(frozen=True, slots=True)
class Tally:
    """Cases of one group and form: how many people, questions and cases, and what the persona did to them."""

    group: Group
    form: str
    people: int
    questions: int
    did: Counter[str]

    @property
    def cases(self) -> int:
        return sum(self.did.values())


def tallies(outcomes: Sequence[Outcome]) -> list[Tally]:
    """Of every group and form, in order."""
    found = []
    for group in GROUPS:
        for form in sorted({one.case.form for one in outcomes}, key=lambda form: (form != "fact", form)):
            rows = [one for one in outcomes if one.case.group == group and one.case.form == form]
            people, questions = {one.case.person for one in rows}, {one.case.question for one in rows}
            found.append(Tally(group, form, len(people), len(questions), Counter(one.did for one in rows)))
    return found


def helped(outcomes: Sequence[Outcome]) -> Interval:
    """How much more often the persona answers personal questions rightly than nobody does."""
    rows = [one for one in outcomes if one.case.kind == "personal"]
    gain = np.array([float(one.right) - float(one.plain_right) for one in rows])
    clusters = Clusters([one.case.person for one in rows], [one.case.question for one in rows])
    return clusters.of([gain])


def obstacles(outcomes: Sequence[Outcome]) -> list[str]:
    """Why no guard can be made of these outcomes, with the numbers; empty where one can."""
    found = []
    for group, least in LEAST.items():
        rows = [one for one in outcomes if one.case.group == group]
        spoilt = sum(one.case.kind == "fact" and one.did == "degraded" for one in rows)
        helps = sum(one.case.kind == "personal" and one.did == "beneficial" for one in rows)
        if spoilt < least:
            found.append(f"{spoilt} degraded facts for {group}, {least} are the least")
        if helps < LEAST_HELPED:
            found.append(f"{helps} helped personal questions for {group}, {LEAST_HELPED} are the least")
    gain = helped(outcomes)
    if not gain.low > 0:
        found.append(
            f"the persona does not help with personal questions: {100 * gain.mean:+.1f} points against nobody "
            f"[{100 * gain.low:.1f}, {100 * gain.high:.1f}]"
        )
    return found
