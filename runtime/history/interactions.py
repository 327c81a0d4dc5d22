"""What a person wrote: the types of a history, its order, and the one rendering of a missing input.

Knows nothing of files or stores: `importers.py` reads formats into these types, the people store keeps them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from copersona.runtime.common.composed import bounded_marks, composed
from copersona.runtime.common.hidden import without_hidden

ASKED = "Write to an assistant."
"""The input of what someone typed to an assistant: it says what they asked, so that it is weak evidence at most."""
MAX_TEXT = 200_000  # characters of one field; what is longer is refused by the importers, never cut silently


@dataclass(frozen=True, slots=True)
class Interaction:
    """One `(input, output)` pair of a person. The output is what the person wrote.

    `time` is seconds since 1970 (UTC), `item` an id or a short name of what the interaction is about, `words` what
    stands for it in a request: the item's title as one entry or, where the source has none, words of other people.
    """

    person: str
    output: str
    input: str | None = None
    time: float | None = None
    item: str | None = None
    title: str | None = None
    rating: float | None = None
    words: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Hash of the content (item words aside: they depend on other people), for idempotent imports: the same for
        the same text in other line ends, Unicode forms or blanks at the end of a line."""
        texts = (self.person, self.output, self.input, self.item, self.title)
        person, output, given, item, title = (None if text is None else same_text(text) or None for text in texts)
        time, rating = (None if number is None else float(number) for number in (self.time, self.rating))
        fields = (person, output, given, time, item, title, rating)
        return hashlib.sha256(_JSON.encode(fields).encode("utf-8", "surrogatepass")).hexdigest()

    def request(self) -> str:
        """The input as the model sees it: the interaction's own, or rendered from item, rating and title."""
        if self.input is not None and self.input.strip():
            return clean_text(self.input)
        return render_input(item=" ".join(self.words) or None, rating=self.rating, title=self.title)


_UNCLEAN = re.compile(r"[^\n\t -~]")
"""What has to be looked at; printed ASCII is clean as it is."""
_CONTROL = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\ud800-\\udfff]")
"""The categories Cc and Cs, which Unicode will not change, but for \\n and \\t."""
_JSON = json.JSONEncoder(ensure_ascii=False)
_LINE_ENDS = re.compile(r"(?<![ \t])[ \t]+\n")  # from the first blank on, or each would be tried

History = tuple[Interaction, ...]
"""A person's interactions, oldest first."""


def clean_text(text: str) -> str:
    """What a model reads of a text: NFC, line ends as \\n, no control characters but \\n and \\t, nothing hidden, no
    blanks around it."""
    written = _composed_text(text)
    shown = without_hidden(written)
    return written if shown == written else composed(shown).strip()


def _composed_text(text: str) -> str:
    """The same with what is hidden: digests stand on it, so that it never changes."""
    if not _UNCLEAN.search(text):
        return text.strip()
    text = composed(text.replace("\r\n", "\n").replace("\r", "\n"))
    kept = _CONTROL.sub("", text)
    return (kept if len(kept) == len(text) else bounded_marks(kept)).strip()


def same_text(text: str) -> str:
    """What two forms of one text have in common: composed, without marks that show nothing, without blanks at the ends
    of its lines."""
    if not text.isascii():
        text = text.replace("\u00a0", " ").replace("\ufeff", "").replace("\u200b", "")
    same = _composed_text(text)
    return _LINE_ENDS.sub("\n", same) if " \n" in same or "\t\n" in same else same


def render_input(*, item: str | None = None, rating: float | None = None, title: str | None = None) -> str:
    """The input of a review that has none, one field a line; fields that are missing are left out.

    Training, evaluation and the device share this function, so that the same review always reads the same.
    """
    lines = ["Write a review."]
    if item:
        lines.append(f"Item: {clean_text(item)}")
    if rating is not None:
        lines.append(f"Rating: {rating:g} of 5")
    if title:
        lines.append(f"Title: {clean_text(title)}")
    return "\n".join(lines)


def order_history(interactions: Iterable[Interaction]) -> History:
    """Oldest first by (time, place in the source); interactions without a time come first, in the source's order.

    Equal interactions are kept once, the first one, with the item words of the first one that has any.
    """
    unique: dict[str, Interaction] = {}
    for interaction in interactions:
        kept = unique.setdefault(interaction.digest, interaction)
        if interaction.words and not kept.words:
            unique[interaction.digest] = replace(kept, words=interaction.words)
    return tuple(sorted(unique.values(), key=lambda i: i.time if i.time is not None else float("-inf")))


def group_by_person(interactions: Iterable[Interaction]) -> dict[str, History]:
    """Histories by person, people in order of first appearance."""
    by_person: dict[str, list[Interaction]] = {}
    for interaction in interactions:
        by_person.setdefault(interaction.person, []).append(interaction)
    return {person: order_history(rows) for person, rows in by_person.items()}


def outputs(history: Sequence[Interaction]) -> list[str]:
    """What the person wrote, oldest first."""
    return [interaction.output for interaction in history]


def without_fields(
    interaction: Interaction, *, item: bool = False, rating: bool = False, title: bool = False
) -> Interaction:
    """A copy with some input fields dropped, as on a device that does not have them (training drops them at random)."""
    return replace(
        interaction,
        item=None if item else interaction.item,
        words=() if item else interaction.words,
        rating=None if rating else interaction.rating,
        title=None if title else interaction.title,
    )
