"""Whom an evaluation asks: everyone's last interaction, and what had been written before it."""

from __future__ import annotations

from dataclasses import dataclass

from copersona.export.run.run import Run
from copersona.runtime.history.interactions import History, Interaction


@dataclass(frozen=True, slots=True)
class Case:
    """One person at their held-out interaction. `person` is a number within the evaluation, no id of the source.

    `pseudonym` is their own peer if they took part, `new` says that no step of the export has seen them, `validation`
    that they are asked at the interaction before the test.
    """

    person: str
    history: History
    target: Interaction
    pseudonym: str | None
    new: bool
    validation: bool = False

    @property
    def request(self) -> str:
        return self.target.request()


def cases(run: Run, limit: int | None = None, *, validation: bool = False) -> list[Case]:
    """Everyone with a test interaction, in the order of the splits; with a limit, as many spread over all of them.
    With `validation`, at the interaction before it, to choose settings by."""
    rows = []
    for place, (person, split) in enumerate(run.splits.items()):
        if split.held_out:
            at, history = split.seen + (not validation), run.histories[person]
            name = f"{'v' if validation else 'n'}{place:05d}"
            rows.append(Case(name, history[:at], history[at], run.pseudonyms.get(person), split.new, validation))
    return spread(rows, limit)


def spread(rows: list[Case], limit: int | None) -> list[Case]:
    """As many as `limit`, evenly from the whole list."""
    if limit is None or limit >= len(rows):
        return rows
    return [rows[i * len(rows) // limit] for i in range(limit)]
