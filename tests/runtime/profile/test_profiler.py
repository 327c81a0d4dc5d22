"""The profiler: quotes are verbatim, support follows amount and consistency, and nothing unsupported is said."""

from __future__ import annotations

import math
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copersona.runtime.common.arrays import F32
from copersona.runtime.history.interactions import clean_text
from copersona.runtime.profile.facets import PLACEHOLDER, Facet, FacetSchema, Feature, Reliability
from copersona.runtime.profile.profiler import (
    EVIDENCE_CHARACTERS,
    QUOTE_CHARACTERS,
    RECENT,
    facet_vector,
    fit_centring,
    measure,
    profile_history,
    reliability,
    standardise,
    summarise,
    support,
)
from copersona.runtime.profile.segments import words_of
from copersona.runtime.profile.style import style_matrix

SCHEMA = FacetSchema(
    facets=(
        Facet("Length", "How much.", "ordinal", ("short", "medium", "long"), "", ("log_words",), (1.0,), (-0.5, 0.5)),
        Facet("Noise", "How loud.", "ordinal", ("calm", "loud"), "", ("exclamations", "commas"), (1.0, -1.0), (0.0,)),
        Facet("Subjects", "What of.", "categorical", ("strings", "drums"), "", ("on strings", "on drums"), (1.0, 1.0)),
    ),
    features=(
        Feature("log_words", "words", 3.0, 0.5, 0.3),
        Feature("exclamations", "exclamation marks", 1.0, 1.0, 0.8),
        Feature("commas", "commas", 1.5, 1.0, 0.8),
        Feature("on strings", "words about strings", 1.0, 1.0, 0.5, ("guitar", "strings", "pick")),
        Feature("on drums", "words about drums", 1.0, 1.0, 0.5, ("drum", "sticks")),
    ),
    feature_weight=0.5,
)
LENGTH, NOISE, SUBJECTS = SCHEMA.facets
WIDTH = 8 + len(SCHEMA.features)
TEXTS = (
    "I bought this guitar last year! The strings are bright and they last. My brother borrowed the pick.",
    "These strings sound warm, full and clear. A guitar needs them! The drum is fine too, I think.",
    "The guitar came with a pick and spare strings. It plays well, really well! I would buy it again.",
    "Another guitar, another set of strings! This pick is too soft for me, but my friend likes it.",
)


def encode(text: str) -> F32:
    """A unit vector that depends on the whole text."""
    seed = int.from_bytes(text.encode("utf-8"), "little") % 2**63
    vector = np.random.default_rng(seed).normal(size=8).astype(np.float32)
    return vector / np.linalg.norm(vector)


def test_quotes_stand_verbatim_in_what_was_written() -> None:
    profile = profile_history(TEXTS, SCHEMA, encode)
    quotes = [quote for facet in profile.facets for quote in facet.quotes]
    assert quotes
    for quote in quotes:
        assert any(quote in text for text in TEXTS)
        assert 12 <= len(quote) <= QUOTE_CHARACTERS
    assert all(len(facet.quotes) <= 2 for facet in profile.facets)
    subjects = profile.facets[2]
    assert subjects.reliability.observed
    assert all({"guitar", "strings", "pick", "drum", "sticks"} & set(words_of(q)) for q in subjects.quotes)


SENTENCE = st.text("abc äöü吉e\u0301!.,?'\"\n\t\r(", max_size=200)
WORDY = st.lists(st.sampled_from([*TEXTS, "guitar", "Nice strings here!", "e\u0301te\u0301 sticks"]), max_size=6)


@settings(deadline=None, max_examples=60)
@given(st.lists(SENTENCE, max_size=4), WORDY, st.randoms(use_true_random=False))
def test_any_history_has_a_profile_with_verbatim_quotes(odd: list[str], wordy: list[str], shuffle: object) -> None:
    texts = [*odd, *wordy]
    shuffle.shuffle(texts)  # type: ignore[attr-defined]
    profile = profile_history(texts, SCHEMA, encode)
    cleaned = [clean_text(text) for text in texts]
    assert profile.vectors.shape == (3, WIDTH)
    assert profile.vectors.dtype == profile.z.dtype == np.float32
    assert np.isfinite(profile.vectors).all()
    assert np.abs(profile.z).max() <= 4
    for facet, vector in zip(profile.facets, profile.vectors, strict=True):
        assert 0 <= facet.support <= 1
        assert all(any(quote in text for text in cleaned) for quote in facet.quotes)
        if not facet.reliability.observed:
            assert (facet.summary, facet.quotes) == (PLACEHOLDER, ())
            assert not vector.any()
        else:
            assert vector.any()


@pytest.mark.parametrize(
    "texts",
    [
        [],
        [""],
        ["   \n\t"],
        ["\x00\x01\x02\x1b[0m"],
        ["\ud800"],
        ["ok"],
        ["👍"],
        ["... !!! ???"],
    ],
)
def test_a_history_that_says_nothing_has_placeholders_only(texts: list[str]) -> None:
    profile = profile_history(texts, SCHEMA, encode)
    assert [f.summary for f in profile.facets] == [PLACEHOLDER] * 3
    assert {f.reliability for f in profile.facets} == {Reliability.NONE}
    assert profile.vectors.shape == (3, WIDTH)
    assert not profile.vectors.any()
    assert profile.reliabilities.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "text",
    [
        "guitar strings are good! " * 8_000,
        "guitar" * 30_000,
        "\n" * 100_000 + "guitar strings " * 30,
        "strings." * 25_000,
        "')]" * 60_000 + " guitar strings" * 20,
        bytes(range(256)).decode("latin-1") * 500,
        "ギターの弦はとても良いです。また買います。" * 2_000,
        "Струны отличные, звук яркий! Гитара довольна. " * 300,
        "الأوتار ممتازة والصوت واضح. " * 300,
    ],
    ids=["long", "one word", "line ends", "glued", "brackets", "binary", "japanese", "russian", "arabic"],
)
def test_huge_binary_and_foreign_texts_are_profiled(text: str) -> None:
    profile = profile_history([text, text[:5_000]], SCHEMA, encode)
    assert np.isfinite(profile.vectors).all()
    assert len(profile.facets) == 3
    kept = [t for t in (clean_text(text), clean_text(text[:5_000])) if t]
    expected = standardise(measure(kept, SCHEMA).values, SCHEMA)
    assert np.array_equal(profile.z, expected)


def test_only_the_latest_interactions_are_measured() -> None:
    late = [TEXTS[i % 4] for i in range(RECENT)]
    profile = profile_history(["Drum sticks, drum sticks! " * 20] * 50 + late, SCHEMA, encode)
    assert np.array_equal(profile.z, profile_history(late, SCHEMA, encode).z)


def test_the_evidence_that_is_encoded_is_the_persons_own_and_bounded() -> None:
    asked: list[str] = []

    def spy(text: str) -> F32:
        asked.append(text)
        return encode(text)

    profile = profile_history(list(TEXTS) * 3, SCHEMA, spy)
    observed = [f for f in profile.facets if f.reliability.observed]
    assert len(asked) == len(observed) > 0
    for facet, text in zip(observed, asked, strict=True):
        assert text.startswith(f"{facet.summary}. ")
        assert len(text) <= len(facet.summary) + 2 + 2 * EVIDENCE_CHARACTERS
        assert text.removeprefix(f"{facet.summary}. ")[:20] in " ".join(TEXTS)


def test_the_summary_holds_none_of_the_persons_words() -> None:
    made_up = [f"{text} zorbl{i}qua glimfrex{i} vontu!" for i, text in enumerate(TEXTS)]
    profile = profile_history(made_up, SCHEMA, encode)
    said = {w for f in SCHEMA.facets for t in (f.name, *f.values) for w in words_of(t)}
    said |= {w for f in SCHEMA.features for w in words_of(f.phrase)} | {"mostly", "then", "many", "few"}
    for facet in profile.facets:
        assert facet.reliability.observed
        assert set(words_of(facet.summary)) <= said


def length_support(counts: list[int]) -> float:
    return support(LENGTH, measure(["word " * c for c in counts], SCHEMA), SCHEMA)


def test_support_equals_the_formula_by_hand() -> None:
    counts = [20, 30, 25, 40, 22]
    logs = [math.log1p(c) for c in counts]
    halves = (np.mean(logs[0::2]), np.mean(logs[1::2]))
    expected_error = 0.3**2 / 5
    error = (2 * expected_error + (halves[0] - halves[1]) ** 2 / 4) / 3
    assert length_support(counts) == pytest.approx(0.5**2 / (0.5**2 + error), rel=1e-5)
    assert length_support([30]) == pytest.approx(0.5**2 / (0.5**2 + 0.3**2), rel=1e-5)


@given(st.integers(20, 60), st.integers(1, 30))
def test_support_grows_with_amount(words: int, n: int) -> None:
    assert length_support([words] * (n + 1)) > length_support([words] * n)


@given(st.integers(20, 200), st.integers(1, 200), st.integers(1, 200), st.integers(1, 5))
def test_support_falls_with_disagreement_of_the_halves(base: int, a: int, b: int, pairs: int) -> None:
    near, far = sorted((a, b))
    closer, further = length_support([base, base + near] * pairs), length_support([base, base + far] * pairs)
    assert closer > further if near < far else closer == further


def test_support_needs_words_that_bear_on_the_facet() -> None:
    few = measure(["nineteen words " * 9 + "one"], SCHEMA)
    enough = measure(["nineteen words " * 10], SCHEMA)
    assert support(LENGTH, few, SCHEMA) == 0
    assert support(LENGTH, enough, SCHEMA) > 0
    once = measure(["the guitar is fine and so is everything else here "], SCHEMA)
    twice = measure(["the guitar is fine and so is this pick"], SCHEMA)
    assert support(SUBJECTS, once, SCHEMA) == 0
    assert support(SUBJECTS, twice, SCHEMA) > 0
    assert support(LENGTH, measure([], SCHEMA), SCHEMA) == 0


def test_labels_rise_with_support() -> None:
    figures = [0.0, 0.29, 0.3, 0.49, 0.5, 0.74, 0.75, 1.0]
    assert [int(reliability(f)) for f in figures] == [0, 0, 1, 1, 2, 2, 3, 3]


def test_measurements_equal_style_and_word_counts() -> None:
    text = "Guitar strings! The guitar, again."
    found = measure([text], SCHEMA)
    style = style_matrix([text])[0]
    assert found.values[0, 0] == style[0]
    assert found.values[0, 3] == pytest.approx(math.sqrt(100 * 3 / 5))
    assert found.values[0, 4] == 0
    assert found.hits[0].tolist() == [5, 5, 5, 3, 0]


def test_scores_are_standardised_clipped_and_cut_into_values() -> None:
    z = standardise(np.array([[3.5, 1, 1.5, 100, 1], [3.5, 1, 1.5, 100, 1]], np.float32), SCHEMA)
    assert z.tolist() == [1, 0, 0, 4, 0]
    assert summarise(LENGTH, z, SCHEMA) == "Length: long (many words)"
    assert summarise(SUBJECTS, z, SCHEMA) == "Subjects: mostly strings"
    assert summarise(LENGTH, -z, SCHEMA) == "Length: short (few words)"
    noisy = np.array([0, 2, -1.5, 0, 0], np.float32)
    assert summarise(NOISE, noisy, SCHEMA) == "Noise: loud (many exclamation marks, few commas)"


def test_a_facet_vector_is_text_beside_its_own_features() -> None:
    z = np.array([1, 2, -3, 0.5, 0.25], np.float32)
    text = encode("anything")
    found = facet_vector(NOISE, z, text, SCHEMA)
    root = math.sqrt(2)
    np.testing.assert_allclose(found, [*(0.5 * text), 0, 0.5 * 2 / root, -0.5 * 3 / root, 0, 0], rtol=1e-6)


def test_centring_takes_the_mean_of_the_observed_and_gives_unit_rows() -> None:
    vectors = np.array([[[1, 0], [5, 5]], [[3, 4], [1, 1]], [[9, 9], [2, 0]]], np.float32)  # (U, M, D)
    observed = np.array([[True, False], [True, True], [False, True]])
    neutral = np.array([1, 1], np.float32)
    centring = fit_centring(vectors, observed, neutral)
    np.testing.assert_allclose(centring.means, [[2, 2], [1.5, 0.5]])
    unit = lambda row: np.array(row) / np.linalg.norm(row)
    np.testing.assert_allclose(centring.placeholder, [unit([-1, -1]), unit([-0.5, 0.5])], rtol=1e-6)
    found = centring(vectors, observed)
    expected = [
        [unit([-1, -2]), centring.placeholder[1]],
        [unit([1, 2]), unit([-0.5, 0.5])],
        [centring.placeholder[0], unit([0.5, -0.5])],
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.dtype == np.float32


def test_a_layer_that_nobody_is_observed_on_has_mean_zero() -> None:
    vectors, none = np.ones((3, 1, 2), np.float32), np.zeros((3, 1), bool)
    centring = fit_centring(vectors, none, np.array([3, 4], np.float32))
    assert centring.means.tolist() == [[0, 0]]
    np.testing.assert_allclose(centring(vectors, none), [[[0.6, 0.8]]] * 3, rtol=1e-6)


def test_composed_and_decomposed_text_have_one_profile() -> None:
    texts = [f"{t} Café naïve." for t in TEXTS]
    apart = [unicodedata.normalize("NFD", t) for t in texts]
    one, other = profile_history(texts, SCHEMA, encode), profile_history(apart, SCHEMA, encode)
    assert one.facets == other.facets
    assert np.array_equal(one.vectors, other.vectors)
