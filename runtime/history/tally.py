"""How many of the texts that are read hold what nobody writes by hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from copersona.runtime.common.hidden import hides
from copersona.runtime.history.checks import check_interaction
from copersona.runtime.history.interactions import Interaction


@dataclass(slots=True)
class Tally:
    """Counts of interactions: of `marks` of them marks were left out that no letter needs; `hidden` hold what shows
    nothing, which is kept and not read to a model. `path` is the file that is being read."""

    marks: int = 0
    hidden: int = 0
    path: Path | str = ""

    def checked(self, one: Interaction) -> Interaction:
        """The interaction as it is kept, counted. Raises ValueError as `check_interaction`."""
        kept = check_interaction(one)
        texts = (kept.output, kept.input, kept.item, kept.title, *kept.words)
        if texts != (one.output, one.input, one.item, one.title, *one.words):
            self.marks += 1
        for text in texts:
            if text is not None and not text.isascii() and hides(text):
                self.hidden += 1
                break
        return kept
