"""The people whose facts and texts are asked about: of a run, or of files of histories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from copersona.export.data.splits import place
from copersona.export.run.run import Run
from copersona.runtime.bundle.opened import Bundle
from copersona.runtime.history.importers import load_history
from copersona.runtime.history.interactions import History, group_by_person

Group = Literal["training", "validation", "test"]
GROUPS: tuple[Group, ...] = ("training", "validation", "test")
PEOPLE = (0.3, 0.15, 0.55)  # shares of the groups: what is promised of personal questions needs many in test
QUESTIONS = (0.4, 0.2, 0.4)
HELD = 2  # latest interactions that nothing was trained on, as `splits` holds them out
LEAST = 3  # interactions of someone who is asked


@dataclass(frozen=True, slots=True)
class Person:
    """Someone with a history, oldest first. Of its last HELD interactions the model was trained on none. `pseudonym`
    is their own peer, if they are one."""

    name: str
    history: History
    pseudonym: str | None
    group: Group

    @property
    def held(self) -> History:
        """What questions about them are made from."""
        return self.history[-HELD:]


def group_of(name: str, shares: tuple[float, ...]) -> Group:
    """The group that a person, or a question, belongs to: by hash, so that it never changes."""
    at = place(name, 0)
    for group, share in zip(GROUPS, shares, strict=True):
        at -= share
        if at < 0:
            return group
    return "test"


def of_run(run: Run) -> list[Person]:
    """The people of a run."""
    held = {name: history for name, history in run.histories.items() if run.splits[name].held_out}
    return _ranked(held, run.pseudonyms)


def of_files(bundle: Bundle, histories: Sequence[Path], format_: str, names: Mapping[str, str]) -> list[Person]:
    """The people of files of histories; `names` has the pseudonyms of those who are peers of the bundle."""
    rows = load_history([str(path) for path in histories], format_).interactions
    return _ranked(group_by_person(bundle.attach_items(rows, enrolled=names)), names)


def _ranked(histories: Mapping[str, History], pseudonyms: Mapping[str, str]) -> list[Person]:
    """Those with enough texts, by hash: whatever part of them is asked first holds all groups."""
    ranked = sorted((name for name, row in histories.items() if len(row) >= LEAST), key=lambda n: place(n, 1))
    return [Person(name, histories[name], pseudonyms.get(name), group_of(name, PEOPLE)) for name in ranked]
