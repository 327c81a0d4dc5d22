"""Words for an item that has no title: what other people say of it.

The bundle holds, for each item, its most telling words and how many people use each. The author of a review that was
counted is taken out again, so that nobody's own words stand in their own request.
"""

from __future__ import annotations

from collections.abc import Mapping

from copersona.runtime.profile.segments import words_of

SHOWN = 5
LEAST_PEOPLE = 2


def pick_words(counts: Mapping[str, int], own_text: str | None = None) -> tuple[str, ...]:
    """The first SHOWN words, in the table's order, that at least LEAST_PEOPLE people use besides the author of
    `own_text`."""
    own = frozenset(words_of(own_text)) if own_text else frozenset[str]()
    return tuple(word for word, people in counts.items() if people - (word in own) >= LEAST_PEOPLE)[:SHOWN]
