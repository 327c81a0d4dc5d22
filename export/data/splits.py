"""Who and what is trained on: one `splits.json` that every step reads.

A person's interactions are ordered by (time, line in the file). Test is the last, validation the one before; people
with fewer than MIN_HELD interactions have no held-out ones. A fifth of the people, chosen by hash, are *new people*:
never in discovery, graph or training; fewer where LEAST_PEOPLE would not be left.
Everything induced from the population sees training people's interactions before validation.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from copersona.export.common.files import write_text
from copersona.runtime.common.errors import ExportError
from copersona.runtime.history.interactions import History

NEW_SHARE = 0.2
LEAST_PEOPLE = 24  # fewer people than this have no clusters worth contrasting, so no facets: they are all trained on
MIN_HELD = 3
FIRST_TARGET = 2  # training targets roll from the third interaction on


@dataclass(frozen=True, slots=True)
class PersonSplit:
    """One person: `new` or trained on, `seen` interactions before validation, `digests` of the whole history in
    order."""

    new: bool
    seen: int
    digests: tuple[str, ...]

    @property
    def held_out(self) -> bool:
        """Whether validation (index `seen`) and test (index `seen + 1`) exist."""
        return self.seen < len(self.digests)


Splits = Mapping[str, PersonSplit]


def is_new(person: str, seed: int) -> bool:
    """A fifth of all people, by hash: stable under reordering and under people who join later."""
    return place(person, seed) < NEW_SHARE


def place(person: str, seed: int) -> float:
    """A place from 0 to 1 that only the name and the seed decide."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{person}".encode()).digest()[:8], "big") / 2**64


def _new_people(people: Iterable[str], seed: int) -> frozenset[str]:
    """Who is new: a fifth by hash, but so few that LEAST_PEOPLE are left to train on."""
    ranked = sorted(people, key=lambda person: place(person, seed))
    return frozenset(person for person in ranked[: max(len(ranked) - LEAST_PEOPLE, 0)] if is_new(person, seed))


def make_splits(histories: Mapping[str, History], seed: int) -> dict[str, PersonSplit]:
    """Splits of histories that are already in order."""
    splits, new = {}, _new_people(histories, seed)
    for person, history in histories.items():
        seen = len(history) - 2 if len(history) >= MIN_HELD else len(history)
        splits[person] = PersonSplit(person in new, seen, tuple(item.digest for item in history))
    return splits


def training_people(splits: Splits) -> list[str]:
    """People of discovery, graph and training, in the order of the splits."""
    return [person for person, split in splits.items() if not split.new]


def seen_history(histories: Mapping[str, History], splits: Splits, person: str) -> History:
    """Interactions before validation."""
    return histories[person][: splits[person].seen]


def write_splits(path: Path, splits: Splits) -> None:
    rows = {
        person: {"new": split.new, "known": split.seen, "digests": list(split.digests)}
        for person, split in splits.items()
    }
    write_text(path, json.dumps({"version": 1, "people": rows}, ensure_ascii=False, indent=1))


def read_splits(path: Path, histories: Mapping[str, History]) -> dict[str, PersonSplit]:
    """Read splits and check that they are of these histories.

    Raises:
        ExportError: another version, or a history that is not the one that was split.
    """
    body = json.loads(path.read_text(encoding="utf-8"))
    if body.get("version") != 1:
        raise ExportError(f"{path}: splits of version {body.get('version')}, expected 1; run the export again")
    splits = {p: PersonSplit(r["new"], r["known"], tuple(r["digests"])) for p, r in body["people"].items()}
    for person, history in histories.items():
        if person not in splits or splits[person].digests != tuple(item.digest for item in history):
            raise ExportError(f"{path}: {person} has another history than the one that was split; use a new run folder")
    return splits
