"""A person at one moment, as answering needs them."""

from __future__ import annotations

from dataclasses import dataclass

from copersona.runtime.common.arrays import F32
from copersona.runtime.history.interactions import History
from copersona.runtime.people.prefix_files import PrefixFiles
from copersona.runtime.people.wishes import NO_WISHES, Wishes
from copersona.runtime.persona.persona import Persona


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Known:
    """What they wrote, who they are in the population, and their soft prompt (L, H) float32.

    One of the people store has a name, and files for the states of their prompts' beginnings; of a long history only
    the end is read, and `earlier` says how many interactions stand before it. What is left out is not in it; texts that
    are `pinned` come first in prompts. `revision` is the last one of theirs that was heeded.
    """

    history: History
    persona: Persona
    soft: F32
    name: str | None = None
    files: PrefixFiles | None = None
    earlier: int = 0
    pinned: History = ()
    wishes: Wishes = NO_WISHES
    revision: int = 0

    @property
    def unpinned(self) -> History:
        """The history without what is pinned."""
        return tuple(one for one in self.history if one not in self.pinned) if self.pinned else self.history
