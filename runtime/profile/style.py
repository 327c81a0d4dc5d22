"""Style of a text as numbers, from words and punctuation alone: no language model, no language-specific parser.

`style_matrix` gives one row a text and one column a feature of `STYLE_FEATURES`. Rates are per 100 words and
square-rooted, which tames their long tails before anyone takes means or standard deviations of them. The word
lists are English; in another language these columns stay near zero and the punctuation columns carry the style.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from copersona.runtime.common.arrays import F32
from copersona.runtime.profile.segments import all_letters, letters, raw_words, sentences_of, words_of

PRAISE = frozenset(
    "amazing awesome beautiful best brilliant excellent fantastic favorite flawless fun glad gorgeous great happy "
    "impressed incredible love loved lovely loves nice perfect perfectly pleased sweet superb thank thanks terrific "
    "wonderful wow enjoy enjoyed delighted cool solid recommend".split()
)
COMPLAINT = frozenset(
    "annoying awful bad broke broken cheap cheaply complaint defective disappointed disappointing disappointment "
    "fail failed fails flimsy frustrating garbage hate horrible junk lacking lousy mediocre noisy poor poorly "
    "problem problems refund return returned terrible trouble unfortunately useless waste weak worse worst "
    "wrong".split()
)
HEDGE = frozenset(
    "almost although but considering except fairly guess however kinda likely maybe might mostly overall perhaps "
    "possibly pretty probably quite rather seem seems slightly somewhat sort though usually yet".split()
)
FIRST_PERSON = frozenset("i me my mine myself i'm i've i'd i'll we our us".split())
SECOND_PERSON = frozenset("you your yours yourself you're you'll you've you'd".split())


def shares_run(text: str, others: Iterable[str], words: int) -> bool:
    """Whether `words` words in a row of `text` stand in a row in one of the others, whatever is between them."""
    own = words_of(text)
    runs = {f" {' '.join(own[i : i + words])} " for i in range(len(own) - words + 1)}
    if not runs:
        return False
    spaced = (f" {' '.join(words_of(other))} " for other in others)
    return any(run in other for other in spaced for run in runs)


def _rate(count: float, words: int) -> float:
    return math.sqrt(100.0 * count / max(words, 1))


def _share(words: Sequence[str], lexicon: frozenset[str]) -> float:
    return _rate(sum(word in lexicon for word in words), len(words))


def _mean_letters(words: Sequence[str]) -> float:
    """Mean length of words that are all letters: figures and model numbers are counted as `digits`."""
    plain = [letters(word) for word in words if all_letters(word)]
    return sum(plain) / max(len(plain), 1)


def _lower_starts(sentences: Sequence[str]) -> float:
    return sum(s[0].islower() for s in sentences) / max(len(sentences), 1)


_Row = Callable[[str, list[str], list[str]], float]

_FEATURES: dict[str, _Row] = {
    "log_words": lambda t, w, s: math.log1p(len(w)),
    "distinct_words": lambda t, w, s: len(set(w)) / math.sqrt(max(len(w), 1)),
    "sentence_words": lambda t, w, s: math.log1p(len(w) / max(len(s), 1)),
    "word_letters": lambda t, w, s: _mean_letters(w),
    "commas": lambda t, w, s: _rate(t.count(","), len(w)),
    "brackets": lambda t, w, s: _rate(t.count("("), len(w)),
    "dashes": lambda t, w, s: _rate(t.count(" - ") + t.count("--") + t.count("—") + t.count("–"), len(w)),
    "exclamations": lambda t, w, s: _rate(t.count("!"), len(w)),
    "questions": lambda t, w, s: _rate(t.count("?"), len(w)),
    "ellipses": lambda t, w, s: _rate(t.count("...") + t.count("…"), len(w)),
    "digits": lambda t, w, s: _rate(sum(any(c.isdigit() for c in x) for x in w), len(w)),
    "apostrophes": lambda t, w, s: _rate(t.count("'") + t.count("’"), len(w)),
    "capital_words": lambda t, w, s: _rate(sum(len(x) > 1 and x.isupper() for x in raw_words(t)), len(w)),
    "lower_starts": lambda t, w, s: _lower_starts(s),
    "glued_sentences": lambda t, w, s: _rate(len(re.findall(r"[a-z][.!?][A-Z]", t)), len(w)),
    "praise": lambda t, w, s: _share(w, PRAISE),
    "complaint": lambda t, w, s: _share(w, COMPLAINT),
    "hedges": lambda t, w, s: _share(w, HEDGE),
    "first_person": lambda t, w, s: _share(w, FIRST_PERSON),
    "second_person": lambda t, w, s: _share(w, SECOND_PERSON),
}

STYLE_FEATURES: tuple[str, ...] = tuple(_FEATURES)
"""Column names of `style_matrix`, in order."""


def style_matrix(texts: Sequence[str]) -> F32:
    """One row a text, one column a feature. n texts -> (n, S) float32."""
    rows = np.zeros((len(texts), len(_FEATURES)), dtype=np.float32)
    for i, text in enumerate(texts):
        words, sentences = words_of(text), sentences_of(text)
        rows[i] = [feature(text, words, sentences) for feature in _FEATURES.values()]
    return rows
