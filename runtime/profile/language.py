"""Which language someone writes in: the lists of words behind measured facets, and most encoders, are made for one.

English is told by its commonest words, which costs nothing; only where these are rare is a library asked that knows a
hundred languages and takes a second to load.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import islice

ENGLISH = "en"
COMMON = frozenset("the and of it this my that with you but have not they are was so".split())
SHARE = 0.08  # of an English text's words that are among them; of other languages' hardly any
LEAST = 200  # letters from which on a language can be told
TEXTS = 20  # the first of a person
LOOKED_AT = 4_000  # characters of them in all
NORWEGIAN = {"nb": "no", "nn": "no"}  # which model cards name as one, or by its written forms
PART = 0.1  # of a population, from which on its language counts as measured


@dataclass(frozen=True, slots=True)
class Languages:
    """Codes of the languages that facets by statistics and the encoder serve; none where that is not known, or any."""

    facets: tuple[str, ...] = ()
    encoder: tuple[str, ...] = ()

    def named(self) -> dict[str, tuple[str, ...]]:
        """The parts that serve certain languages, with their codes."""
        return {part: codes for part, codes in asdict(self).items() if codes}

    def unserved(self, code: str) -> dict[str, tuple[str, ...]]:
        """The parts that serve other languages, with the codes of these."""
        return {part: codes for part, codes in self.named().items() if code not in codes}


def language_of(texts: Iterable[str]) -> str:
    """The ISO 639-1 code of the language that most of the first texts are in, as `plain_code` has it; empty where there
    is too little of them."""
    text = ""
    for one in texts:
        text += f"{one}\n"
        if len(text) > LOOKED_AT:
            break
    text = text[:LOOKED_AT]
    if sum(map(str.isalpha, text)) < LEAST:
        return ""
    words = text.lower().split()
    if sum(word.strip(".,!?;:()\"'") in COMMON for word in words) >= SHARE * len(words):
        return ENGLISH
    from py3langid import classify

    return plain_code(str(classify(text)[0]))


def plain_code(tag: str) -> str:
    """The language of a tag without its region or script: zh of zh-CN; one code for Norwegian."""
    code = tag.replace("_", "-").partition("-")[0].strip().lower()
    return NORWEGIAN.get(code, code)


def measured_languages(people: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """The languages that a good part of a population writes in, the most used one first; none where there is too little
    text. `people` are the texts of each."""
    found = Counter(code for texts in people if (code := language_of(islice(texts, TEXTS))))
    return tuple(code for code, count in found.most_common() if count >= PART * found.total())
