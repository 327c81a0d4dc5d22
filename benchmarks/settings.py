"""What the measurements share: how often, where files may lie, and which bundle if any."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """`work` keeps what takes long to make, such as a model's file; `quick` is for seeing that all of it runs.

    `bundle` is one that was exported, such as the demo's: rows that need one are left out without. `picture` is where
    growth is drawn, None for nowhere. `model` is a real GGUF for the rows of the engine instead of random weights.
    """

    work: Path
    quick: bool
    bundle: Path | None
    threads: int
    picture: Path | None = None
    model: Path | None = None

    def rounds(self, many: int) -> int:
        """How often something is measured."""
        return min(many, 2) if self.quick else many

    def size(self, full: int, small: int) -> int:
        """A number of people."""
        return small if self.quick else full
