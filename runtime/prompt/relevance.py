"""Whether a request has to do with a person: with how they write, or with what they write about.

How: by its sentence vector the request is nearer to the examples below that want something written than to those that
want a fact, a sum or code. What: half of its words, function words aside, stand in the person's texts. The thresholds
are chosen by `benchmarks/relevance.py` on one set of requests and judged on another. The examples are English; of a
request in other letters nothing is decided, and the person is recalled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from copersona.runtime.common.arrays import F32
from copersona.runtime.history.interactions import Interaction, clean_text
from copersona.runtime.profile.profiler import Encode
from copersona.runtime.profile.segments import terms_of

NEAREST = 3  # examples of each kind that a request is compared with
WRITING = 0.04  # nearer by so much to the one kind than to the other
FOLLOWING = -0.08  # from here on a request that follows a relevant one is taken to go on with it
OWN_WORDS = 0.5  # share of the request's words
OWN_TEXTS = 500  # latest texts that are searched for them
LATIN = 0.5  # share of letters from which on the examples tell something
LONGEST = 2_000  # characters of a request that are looked at
FUNCTION_WORDS = frozenset(
    "a an the and or but if of to in on at by for with from as is are was were be been being do does did have has had "
    "having will would can could should shall may might must not no nor so than then that this these those there here "
    "it its i me my mine you your yours he him his she her hers we us our ours they them their theirs who whom whose "
    "which what when where why how much many more most some any all each both few other such own same just only very "
    "too also about into over under again once up down out off s t re ve ll d m".split()
)

TO_WRITE = (
    "Write a review.",
    "Write a short review of the last thing you bought.",
    "Write to my landlord about the heating.",
    "Draft an e-mail to my boss asking for Friday off.",
    "Reply to this message from my sister.",
    "Thank a friend for dinner.",
    "Write a birthday card for my mother.",
    "How would I tell them that I cannot come?",
    "Write a post about my weekend.",
    "What do I think of this guitar?",
    "What would I say about it?",
    "Describe my new headphones the way I would.",
    "Write a letter of complaint to the shop.",
    "Make this sound like me: I am not satisfied with the product.",
    "Rewrite this in my own words.",
    "Write a comment under my friend's photo.",
    "Tell the group that the meeting is moved.",
    "Write a few lines about the concert last night.",
    "What did I write about strings?",
    "What do I usually complain about?",
    "Which of these would I like better?",
    "Recommend me something that I would enjoy.",
    "Write a toast for the wedding.",
    "Answer the customer who wants a refund.",
    "Say no to this invitation, politely, as I would.",
    "Write an introduction of myself.",
    "Write a diary entry about today.",
    "Continue my story.",
    "Write a caption for this picture of my dog.",
    "Write a cover letter for this job.",
)
TO_KNOW = (
    "What is the capital of Australia?",
    "Who wrote Pride and Prejudice?",
    "When did the second world war end?",
    "How many people live in Brazil?",
    "What is 17 times 23?",
    "Solve 3x + 5 = 20.",
    "What is the square root of 1764?",
    "Convert 50 miles to kilometres.",
    "Define entropy.",
    "What does photosynthesis mean?",
    "Explain how a transistor works.",
    "Write a Python function that reverses a list.",
    "Fix this SQL query: SELECT * FORM users.",
    "What does this error mean: segmentation fault?",
    "How do I undo a commit in git?",
    "Write a regular expression for e-mail addresses.",
    "Translate good morning into French.",
    "What is the boiling point of water?",
    "Which planet is the largest?",
    "Who is the president of France?",
    "What year was the telephone invented?",
    "List the countries of the European Union.",
    "How far is the moon from the earth?",
    "What language do they speak in Brazil?",
    "Which films did she star in?",
    "Summarise this article in three points.",
    "Sort these numbers: 4, 9, 1.",
    "What time is it in Tokyo when it is noon in London?",
    "What is the chemical formula of salt?",
    "Where was he born?",
)


class Relevance(NamedTuple):
    """Whether the person is to be recalled, and why: how much nearer the request is to a wish for writing than to one
    for knowing (None in other letters), and the share of its words that are the person's, from 0 to 1 (None where it
    was not needed)."""

    relevant: bool
    writing: float | None
    own_words: float | None


class Examples:
    """The vectors of the examples, made once by an encoder. `encode` gives a unit vector of a text."""

    def __init__(self, encode: Encode) -> None:
        self._encode = encode
        self._writing, self._knowing = self._vectors(TO_WRITE), self._vectors(TO_KNOW)

    def relevance(self, request: str, history: Sequence[Interaction], earlier: str = "") -> Relevance:
        """What a request has to do with the person of this history. `earlier` is the request before it, if there is
        one: "Make it shorter." has to do with whom that one had to do."""
        text = clean_text(request)[:LONGEST]
        writing = self.writing(text)
        if writing is None or writing >= WRITING:
            return Relevance(True, writing, None)
        own = own_words(text, history[-OWN_TEXTS:])
        relevant = own >= OWN_WORDS
        if not relevant and earlier and writing >= FOLLOWING:
            relevant = self.relevance(earlier, history).relevant
        return Relevance(relevant, writing, own)

    def writing(self, text: str) -> float | None:
        """How much nearer a request is to the examples of writing than to those of knowing; None in other letters."""
        if not is_latin(text):
            return None
        vector = self._encode(text)
        return _nearness(self._writing @ vector) - _nearness(self._knowing @ vector)

    def _vectors(self, texts: Sequence[str]) -> F32:
        return np.stack([self._encode(text) for text in texts])


def is_latin(text: str) -> bool:
    """Whether at least half of the letters are Latin; of a text without letters, yes."""
    letters = [char for char in text if char.isalpha()]
    return sum(char < "ɐ" for char in letters) >= LATIN * len(letters)


def own_words(text: str, history: Sequence[Interaction]) -> float:
    """The share of a text's different terms, function words aside, that stand in the history; 0 without any."""
    wanted = set(terms_of(text)) - FUNCTION_WORDS
    found = set[str]()
    for one in history:
        found |= wanted.intersection(terms_of(f"{one.title or ''} {clean_text(one.output)}"))
    return len(found) / len(wanted) if wanted else 0.0


def _nearness(cosines: F32) -> float:
    return float(np.sort(cosines)[-NEAREST:].mean())
