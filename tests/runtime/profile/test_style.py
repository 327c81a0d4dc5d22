"""Style features against counts made by hand, and for any text."""

from __future__ import annotations

import math
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copersona.runtime.profile.segments import sentences_of, words_of
from copersona.runtime.profile.style import STYLE_FEATURES, style_matrix

TEXT = "I LOVE it, you know (maybe)! Don't buy 2 of them... ok?"


def row(text: str) -> dict[str, float]:
    return dict(zip(STYLE_FEATURES, style_matrix([text])[0].tolist(), strict=True))


def test_features_equal_counts_made_by_hand() -> None:
    words = ["i", "love", "it", "you", "know", "maybe", "don't", "buy", "2", "of", "them", "ok"]
    assert words_of(TEXT) == words
    assert sentences_of(TEXT) == ["I LOVE it, you know (maybe)!", "Don't buy 2 of them...", "ok?"]
    rate = lambda count: math.sqrt(100 * count / 12)
    expected = {
        "log_words": math.log(13),
        "distinct_words": 12 / math.sqrt(12),
        "sentence_words": math.log(5),
        "word_letters": 30 / 10,  # of words that are all letters, so neither don't nor 2
        "commas": rate(1),
        "brackets": rate(1),
        "dashes": 0.0,
        "exclamations": rate(1),
        "questions": rate(1),
        "ellipses": rate(1),
        "digits": rate(1),
        "apostrophes": rate(1),
        "capital_words": rate(1),  # LOVE; a lone I is no shouting
        "lower_starts": 1 / 3,
        "glued_sentences": 0.0,
        "praise": rate(1),
        "complaint": 0.0,
        "hedges": rate(1),
        "first_person": rate(1),
        "second_person": rate(1),
    }
    found = row(TEXT)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-5), name


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", []),
        ("one line\nanother", ["one line", "another"]),
        ("It broke.Bad", ["It broke.", "Bad"]),
        ('He said "no." Then left.', ['He said "no."', "Then left."]),
        ("Version 2.5 is out", ["Version 2.5 is out"]),
        ("...", ["..."]),
    ],
)
def test_sentences_end_at_marks_lines_and_glued_capitals(text: str, sentences: list[str]) -> None:
    # The end mark's closing quotes belong to the split, so a quoted sentence may lose them but never a word.
    assert [s.rstrip('"') for s in sentences_of(text)] == [s.rstrip('"') for s in sentences]


def test_a_curly_apostrophe_counts_as_a_straight_one() -> None:
    assert words_of("Don’t") == words_of("don't") == ["don't"]
    assert style_matrix(["Don’t stop"]).tolist() == style_matrix(["Don't stop"]).tolist()


def test_a_rate_does_not_grow_with_length() -> None:
    short, long = row("Nice, wow!"), row(" ".join(["Nice, wow!"] * 50))
    for name in ("commas", "exclamations", "praise"):
        assert short[name] == pytest.approx(long[name], rel=1e-6)
    assert long["log_words"] > short["log_words"]


def test_each_text_has_its_own_row() -> None:
    texts = ["First one.", "", "Third (with brackets), and more!"]
    whole = style_matrix(texts)
    assert whole.shape == (3, len(STYLE_FEATURES))
    assert whole.dtype == np.float32
    for text, found in zip(texts, whole, strict=True):
        assert np.array_equal(style_matrix([text])[0], found)
    assert style_matrix([]).shape == (0, len(STYLE_FEATURES))


@settings(deadline=None)
@given(st.text(max_size=400))
def test_any_text_gives_finite_features_and_its_own_words(text: str) -> None:
    features = style_matrix([text])
    assert np.isfinite(features).all()
    assert (features >= 0).all()
    joined = "".join(sentences_of(text))
    for sentence in sentences_of(text):
        assert sentence in text
        assert sentence == sentence.strip() != ""
    letters = [c for c in text if unicodedata.category(c).startswith("L")]
    assert [c for c in joined if unicodedata.category(c).startswith("L")] == letters  # no letter is lost


@settings(deadline=None)
@given(st.lists(st.sampled_from("i great you 2 Don't (x) maybe BAD".split()), min_size=1, max_size=30))
def test_counts_follow_the_words_that_are_there(words: list[str]) -> None:
    found = row(" ".join(words))
    n = len(words)
    assert found["log_words"] == pytest.approx(math.log1p(n), rel=1e-5)
    for name, word in (("praise", "great"), ("digits", "2"), ("brackets", "(x)"), ("hedges", "maybe")):
        assert found[name] == pytest.approx(math.sqrt(100 * words.count(word) / n), rel=1e-5)
