"""What a report is about: which bundle and base, who was asked, under which settings and versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Base:
    """The language model that everything began from: its numbers, what it was trained on in words, its quantisation."""

    name: str
    parameters: int
    training: str
    precision: str


@dataclass(frozen=True, slots=True)
class Facts:
    """The bare facts of one evaluation. `limit` and `profiles_by` are None where nothing was limited, and where people
    were profiled by statistics; `settings` are the run's, `variants` what each variant's training came to, as JSON."""

    bundle: str
    dataset: str
    people: int
    new_people: int
    limit: int | None
    validation: bool
    profiles_by: str | None
    base: Base
    training: str
    settings: Mapping[str, Any]
    seed: int
    versions: Mapping[str, str]
    variants: Mapping[str, Any]
    hashes: Mapping[str, str]
    gating: Mapping[str, Mapping[str, float]]

    def to_json(self) -> dict[str, Any]:
        """As results.json.gz holds them."""
        return {name.replace("_", " "): value for name, value in asdict(self).items()}
