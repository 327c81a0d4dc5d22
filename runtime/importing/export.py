"""An export that was recognised, read while it is used: interactions, and counts of what gave none, by reason."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from copersona.runtime.common.errors import HistoryError
from copersona.runtime.history.checks import is_blank
from copersona.runtime.history.interactions import ASKED, MAX_TEXT, Interaction
from copersona.runtime.history.tally import Tally
from copersona.runtime.importing.junk import TWICE, NearDuplicates, junk
from copersona.runtime.importing.prose import prose
from copersona.runtime.importing.records import EMPTY, Format, Given, Left, Own, Record
from copersona.runtime.importing.source import Source

EVERY = 256  # records between two words on how far it is
MAX_GIVEN = 4_000  # characters of what was answered that are kept
TYPED = "typed to an assistant (--prompts takes what is long)"
TYPED_SHORT = "typed to an assistant, short"
TYPED_LONG = "typed to an assistant, so long that it may be pasted"
PROMPT_LEAST, PROMPT_MOST = 200, 3_000  # characters of own prose that was typed to an assistant
PASTED_FROM = 200  # characters behind a colon at a line's end
TRIPLE = re.compile(r'("{3}|\'{3}|<{3}).*?(?:\1|>{3}|\Z)', re.DOTALL)
LONG = f"longer than {MAX_TEXT:,} characters"


@dataclass(slots=True)
class Found:
    """What an export held so far: texts that were taken, with the first and the last time, and records by the reason
    why they gave none, each with the first one's text."""

    taken: int = 0
    typed: int = 0
    first: float | None = None
    last: float | None = None
    left: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def take(self, one: Interaction) -> None:
        self.taken += 1
        self.typed += one.input == ASKED
        if one.time is not None:
            self.first = one.time if self.first is None else min(self.first, one.time)
            self.last = one.time if self.last is None else max(self.last, one.time)

    def leave(self, reason: str, text: str) -> None:
        self.left[reason] += 1
        if reason not in self.examples or not self.examples[reason]:
            self.examples[reason] = text[:200]

    def reasons(self) -> str:
        """The commonest of them in words."""
        return ", ".join(f"{count:,} {reason}" for reason, count in self.left.most_common(5))


class Export:
    """The interactions of one person in an export; iterate it once, `found` stands beside.

    `prompts` takes what was typed to an assistant where it is long prose; `keep_junk` what the rules of `junk.py` leave
    out.
    """

    def __init__(
        self, source: Source, format: Format, files: Sequence[str], given: Given, person: str,
        *, prompts: bool = False, keep_junk: bool = False,
    ) -> None:  # fmt: skip
        self.source, self.format, self.files, self.person = source, format, tuple(files), person
        self._given, self._prompts, self._keep_junk = given, prompts, keep_junk
        self._near = NearDuplicates()
        self.found, self.tally = Found(), Tally(path=source.path)
        self.size = sum(map(source.size, self.files))  # bytes that are read
        self.tell: Callable[[int, str], None] | None = None  # is told how many of them were, now and then

    def __iter__(self) -> Iterator[Interaction]:
        """Raises HistoryError where a file cannot be read, or none of the texts is by who is meant."""
        self.source.done = 0
        for number, record in enumerate(self.format.read(self.source, self.files, self._given)):
            if self.tell is not None and number % EVERY == 0:
                self.tell(min(self.source.done, self.size), f"{self.found.taken:,} texts")
            outcome = self._evidence(record)
            if isinstance(outcome, Left):
                self.found.leave(*outcome)
            else:
                self.found.take(outcome)
                yield outcome
        if not self.found.taken and not self.found.left:
            raise HistoryError(f"{self.source.path}: recognised as {self.format.name}, but it holds no records")

    def _evidence(self, record: Record) -> Interaction | Left:
        """The interaction of a record, or the reason why it gives none."""
        if isinstance(record, Left):
            return record
        if record.typed and not self._prompts:
            return Left(TYPED, record.text)
        text, why = prose(TRIPLE.sub("", record.text) if record.typed else record.text)
        if is_blank(text):
            return Left(why or EMPTY, record.text)
        if len(text) > MAX_TEXT:
            return Left(LONG, text)
        if record.typed:
            text = without_pasted(text)
            if not PROMPT_LEAST <= len(text) <= PROMPT_MOST:
                return Left(TYPED_SHORT if len(text) < PROMPT_LEAST else TYPED_LONG, text)
        if not self._keep_junk and (why := junk(text) or (TWICE if self._near.seen(text) else "")):
            return Left(why, text)
        try:
            return self.tally.checked(self._kept(record, text))
        except ValueError as error:
            return Left(f"cannot be kept: {error}"[:100], text)

    def _kept(self, record: Own, text: str) -> Interaction:
        asked = ASKED if record.typed else record.given[:MAX_GIVEN] or None
        return replace(
            Interaction(self.person, text, asked, record.time, record.item, record.title, record.rating),
            words=(record.product,) if record.product else (),
        )


def without_pasted(text: str) -> str:
    """What was typed, up to a line that ends with a colon where much follows: that was pasted."""
    for found in re.finditer(r":[ \t]*\n", text):
        if len(text) - found.end() >= PASTED_FROM:
            return text[: found.start()].strip()
    return text
