"""Item words: the most telling words of each item, over training people's interactions before validation."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from copersona.export.data.splits import Splits
from copersona.runtime.history.interactions import History
from copersona.runtime.profile.items import LEAST_PEOPLE, pick_words
from copersona.runtime.profile.segments import tells, words_of
from copersona.runtime.profile.style import COMPLAINT, HEDGE, PRAISE

KEPT = 12
LONGEST = 100  # characters of a word, as a bundle may hold it
_STOP = ENGLISH_STOP_WORDS | PRAISE | COMPLAINT | HEDGE

ItemTable = dict[str, dict[str, int]]
"""item -> word -> number of people who use it of this item; most telling words first."""


def item_table(histories: Mapping[str, History]) -> ItemTable:
    """Words by how many people use them of the item, times how few items they are used of (TF-IDF)."""
    people: dict[str, Counter[str]] = defaultdict(Counter)
    for history in histories.values():
        said: dict[str, set[str]] = defaultdict(set)
        for interaction in history:
            if interaction.item is not None:
                said[interaction.item].update(w for w in words_of(interaction.output) if _tells(w))
        for item, words in said.items():
            people[item].update(words)
    items = Counter(word for counts in people.values() for word in counts)
    table = {}
    for item, counts in people.items():
        rank = {w: n * math.log(1 + len(people) / items[w]) for w, n in counts.items() if n >= LEAST_PEOPLE}
        best = sorted(rank, key=lambda w: (-rank[w], w))[:KEPT]
        table[item] = {word: counts[word] for word in best}
    return table


def _tells(word: str) -> bool:
    return len(word) <= LONGEST and tells(word) and word not in _STOP


def attach_words(histories: Mapping[str, History], splits: Splits, table: ItemTable) -> dict[str, History]:
    """Item words on every interaction that has no input of its own; a counted review's author is taken out."""
    done = {}
    for person, history in histories.items():
        split = splits[person]
        rows = []
        for place, item in enumerate(history):
            counted = not split.new and place < split.seen
            words = pick_words(table.get(item.item or "", {}), item.output if counted else None)
            rows.append(replace(item, words=words) if item.input is None and not item.words else item)
        done[person] = tuple(rows)
    return done
