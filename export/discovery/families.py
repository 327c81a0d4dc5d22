"""The statistical inducer's vocabulary: families of style features that may become a facet, with words for people.

A family is a hypothesis about how people differ; `discover.py` keeps those that the population supports. Weights say
which way a feature pushes the family's score; phrases complete "many ..." and "few ...".
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Family:
    """A candidate facet: features of `profile.style` with the sign they count with, and five values."""

    name: str
    definition: str
    values: tuple[str, str, str, str, str]
    features: tuple[tuple[str, float], ...]


FAMILIES = (
    Family(
        "Length and detail",
        "How much the person writes and how much they go into particulars.",
        ("very short", "short", "of middling length", "long", "very long and detailed"),
        (("log_words", 1.0), ("distinct_words", 1.0)),
    ),
    Family(
        "Sentence rhythm",
        "How sentences are built: plain and short, or long with insertions.",
        (
            "very short plain sentences",
            "short sentences",
            "medium sentences",
            "long sentences",
            "long winding sentences",
        ),
        (("sentence_words", 1.0), ("commas", 1.0), ("brackets", 1.0), ("dashes", 1.0)),
    ),
    Family(
        "Enthusiasm",
        "How warmly and loudly approval is voiced.",
        ("dry", "reserved", "friendly", "warm", "effusive"),
        (("praise", 1.0), ("exclamations", 1.0)),
    ),
    Family(
        "Critical distance",
        "How much the person qualifies, doubts and complains.",
        ("uncritical", "rarely critical", "balanced", "critical", "very critical"),
        (("complaint", 1.0), ("hedges", 1.0), ("questions", 1.0)),
    ),
    Family(
        "Personal voice",
        "How much the person speaks of themselves and to the reader, and how colloquially.",
        ("impersonal", "rather impersonal", "sometimes personal", "personal", "chatty and personal"),
        (("first_person", 1.0), ("second_person", 1.0), ("apostrophes", 1.0)),
    ),
    Family(
        "Typing habits",
        "Care with capitals, spaces and full stops against a casual hand.",
        ("very tidy", "tidy", "mostly tidy", "casual", "very casual"),
        (("lower_starts", 1.0), ("ellipses", 1.0), ("glued_sentences", 1.0), ("capital_words", 1.0)),
    ),
    Family(
        "Technical knowledge",
        "How technical the wording is: long words, figures, model numbers.",
        ("plain words", "mostly plain words", "some technical terms", "technical", "very technical"),
        (("word_letters", 1.0), ("digits", 1.0)),
    ),
)

PHRASES = {
    "log_words": "words",
    "distinct_words": "different words",
    "sentence_words": "words to a sentence",
    "word_letters": "long words",
    "commas": "commas",
    "brackets": "brackets",
    "dashes": "dashes",
    "exclamations": "exclamation marks",
    "questions": "questions",
    "ellipses": "dots",
    "digits": "figures",
    "apostrophes": "contractions",
    "capital_words": "words in capitals",
    "lower_starts": "lower-case starts",
    "glued_sentences": "missing spaces",
    "praise": "words of praise",
    "complaint": "complaints",
    "hedges": "hedges",
    "first_person": "mentions of themselves",
    "second_person": "words to the reader",
}

SUBJECTS = (
    "Subjects",
    "What the person writes about most.",
    "The subject whose words the person uses most above what others do; two if both stand out.",
)
