"""A history that is read while it is used and never held as a whole: what is good of it, and counts of what is not."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from pathlib import Path

from copersona.runtime.common.errors import HistoryError
from copersona.runtime.history.formats import Metadata
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.history.jsonlines import listed
from copersona.runtime.history.tally import Tally

LOOKS_LIKE = " (this looks like the format '{}')"

Outcome = Interaction | HistoryError | None
"""What became of an interaction or a record: itself, why it cannot be read, or None where its output is blank."""


class Reading:
    """The interactions among `outcomes`, items named by `metadata`; iterate it once. What was left out so far stands
    beside: `skipped_empty` blank outputs, and `bad_records`, of which `bad` lists the first `named`; `tally` counts
    what was odd in texts."""

    def __init__(
        self,
        outcomes: Generator[Outcome, None, None],
        metadata: Metadata | None,
        tally: Tally,
        *,
        skip_bad: bool,
        named: int | None = None,
    ) -> None:
        self._outcomes, self._metadata, self._skip_bad, self._named = outcomes, metadata, skip_bad, named
        self.tally = tally
        self.bad: list[str] = []
        self.bad_records = self.skipped_empty = 0

    def __iter__(self) -> Generator[Interaction, None, None]:
        """Raises HistoryError where a record cannot be read, and at the end where none could, or the metadata is of
        other items."""
        good, products = 0, self._metadata
        strange = products is not None  # so far, every item is none of the metadata
        with closing(self._outcomes) as outcomes:
            for outcome in outcomes:
                if isinstance(outcome, Interaction):
                    good += 1
                    strange = strange and products is not None and outcome.item not in products.products
                    yield outcome if products is None else products.name(outcome)
                elif outcome is None:
                    self.skipped_empty += 1
                elif self._skip_bad:
                    self._leave_out(str(outcome), self.tally.path)
                else:
                    raise _with_remedy(outcome)
        if self.bad and not good:
            raise HistoryError(f"none of {self.bad_records} lines could be read; the first: {self.bad[0]}")
        if products is not None:
            if good and strange:
                raise HistoryError(f"{products.path}: none of the histories' items is in this metadata file")
            for line in products.bad:
                self._leave_out(line, products.path)

    def _leave_out(self, line: str, path: Path | str) -> None:
        self.bad_records += 1
        if self._named is None or len(self.bad) < self._named:
            listed(self.bad, line, path)


def _with_remedy(error: HistoryError) -> HistoryError:
    """The error of a bad record, with what can be done but to mend it; not where the file is in another format."""
    said = str(error)
    return error if said.endswith(LOOKS_LIKE[-2:]) else HistoryError(f"{said}; --skip-bad leaves such records out")
