"""Retrieval against the reference BM25, brute-force cosine and fusion by hand, and the order of what is returned."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rank_bm25 import BM25Okapi

from copersona.runtime.common.arrays import F32
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.profile.segments import words_of
from copersona.runtime.prompt.retrieval import (
    BM25,
    Selected,
    by_vectors,
    by_words,
    document,
    fuse,
    rank,
    recent,
    select,
)
from copersona.runtime.prompt.settings import NAMED, ContextSettings

WORD = st.sampled_from("guitar string drum pick amp loud soft warm".split())
DOCUMENTS = st.lists(st.lists(WORD, max_size=12), min_size=1, max_size=12).filter(any)


def written(text: str, place: int = 0, asked: str = "Say.") -> Interaction:
    return Interaction("ana", text, input=asked, time=float(place))


def never(text: str) -> F32:
    pytest.fail(f"{text!r} was encoded though nothing needs it")


def letters(text: str) -> F32:
    """A stand-in encoder: how often each letter occurs, as a unit vector."""
    counts = np.array([text.lower().count(chr(97 + i)) for i in range(26)], np.float32)
    return counts / np.float32(max(float(np.linalg.norm(counts)), 1e-9))


def found(history: list[Interaction], request: str, k: int, **changes: Any) -> tuple[Interaction, ...]:
    return select(history, request, ContextSettings(recent=0, matched=k, **changes), never).matched


# -- by words -------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=200)
@given(DOCUMENTS, st.lists(st.one_of(WORD, st.just("unheard")), max_size=6))
def test_scores_equal_the_reference_implementation(documents: list[list[str]], query: list[str]) -> None:
    expected = BM25Okapi(documents).get_scores(query)
    np.testing.assert_allclose(BM25(documents).scores(query), expected, atol=1e-9)


def test_scores_without_documents_or_words_are_zeros() -> None:
    assert BM25([]).scores(["guitar"]).shape == (0,)
    assert BM25([[], []]).scores(["guitar"]).tolist() == [0, 0]
    assert BM25([["guitar"]]).scores([]).tolist() == [0]


@settings(deadline=None)
@given(DOCUMENTS, st.lists(WORD, min_size=1, max_size=4))
def test_by_words_the_best_come_first_ties_to_the_later(documents: list[list[str]], query: list[str]) -> None:
    texts = [" ".join(words) for words in documents]
    scores = BM25(documents).scores(query)
    common = [i for i, words in enumerate(documents) if set(words) & set(query)]
    assert by_words(texts, " ".join(query)) == sorted(common, key=lambda i: (-scores[i], -i))


def test_equal_matches_go_to_the_later_one_and_strangers_stay_out() -> None:
    texts = ["a guitar", "nothing here", "a guitar", "drum", "amp", "pick"]
    history = [written(text, place) for place, text in enumerate(texts)]
    assert found(history, "Guitar?", 5) == (history[2], history[0])
    assert found(history, "Guitar?", 1) == (history[2],)
    assert found(history, "Guitar?", 0) == ()
    assert found(history, "trombone", 3) == ()
    assert found([], "guitar", 3) == ()


def test_in_a_short_history_too_a_common_word_is_a_match() -> None:
    """Okapi's weight of a word in one of two documents is 0, of a word in the only one below 0."""
    history = [written("my guitar"), written("my drum")]
    assert found(history, "a guitar", 2) == (history[0],)
    assert found(history[:1], "a guitar", 2) == (history[0],)


# -- what is matched ------------------------------------------------------------------------------------------------


def test_what_is_matched_is_what_is_shown() -> None:
    history = [written("fine", 1, "About the guitar"), written("a guitar", 2, "Say."), *map(written, ("drum", "amp"))]
    assert found(history, "guitar", 3) == (history[1],)
    assert found(history, "guitar", 3, show="inputs") == (history[0],)
    assert set(found(history, "guitar", 3, show="both")) == set(history[:2])


def test_a_document_is_clean_text() -> None:
    item = Interaction("ana", " Cafe\u0301\r\nbar ", title="Fine")
    assert document(item, "outputs") == "Caf\u00e9\nbar"
    assert document(item, "inputs") == item.request() == "Write a review.\nTitle: Fine"
    assert document(item, "both") == "Write a review.\nTitle: Fine Caf\u00e9\nbar"


# -- by vectors -----------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_by_vectors_is_brute_force_cosine(n: int, seed: int) -> None:
    rows = np.random.default_rng(seed).standard_normal((n + 1, 24)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    vectors = {str(i): row for i, row in enumerate(rows)}
    cosine = rows[:n].astype(np.float64) @ rows[n].astype(np.float64)
    assume(len(set(np.round(cosine, 7).tolist())) == n)
    assert by_vectors([str(i) for i in range(n)], str(n), vectors.__getitem__) == np.argsort(-cosine).tolist()


def test_equal_texts_tie_wherever_they_stand() -> None:
    row = np.random.default_rng(0).standard_normal(384).astype(np.float32)
    other = -row
    texts = ["same"] * 37 + ["other"] + ["same"] * 6
    order = by_vectors(texts, "same", {"same": row, "other": other}.__getitem__)
    assert order == [i for i in reversed(range(44)) if i != 37] + [37]
    assert by_vectors([], "same", never) == []


@pytest.mark.export
def test_the_real_encoder_finds_what_is_meant(tiny_bundle: Path) -> None:
    from copersona.runtime.profile.encoder import Encoder

    encoder = Encoder(tiny_bundle / "encoder.onnx", tiny_bundle / "encoder_tokenizer.json")
    history = [written(text, i) for i, text in enumerate(TEXTS)]
    chosen = ContextSettings(recent=0, matched=3, matcher="dense")
    got = select(history, "a cure for my sick kitten", chosen, encoder.encode).matched
    assert got[0] == history[2]  # no word in common
    cosine = np.stack([encoder.encode(text) for text in TEXTS]) @ encoder.encode("a cure for my sick kitten")
    assert got == tuple(history[i] for i in np.argsort(-cosine)[:3])


TEXTS = (
    "These guitar strings hold their tuning for weeks.",
    "The amplifier hums and gets hot.",
    "The vet gave our cat new medicine and she feels better.",
    "A cable is a cable, it works.",
    "Shipping took ten days.",
)


# -- both -----------------------------------------------------------------------------------------------------------


def test_reciprocal_rank_fusion_by_hand() -> None:
    # 0: 1/61 + 1/63, 1: 1/62, 2: 1/61 + 1/62, 3: 1/63; of equal sums the later one first
    assert fuse([2, 1, 3], [0, 2]) == [2, 0, 1, 3]
    assert fuse([2, 1, 0], [0, 2, 3]) == [2, 0, 1, 3]
    assert fuse([0, 1], [1, 0]) == [1, 0]
    assert fuse([], [1, 0]) == [1, 0]
    assert fuse([], []) == fuse() == []


@given(st.permutations(range(7)), st.permutations(range(7)), st.integers(0, 7))
def test_fusion_orders_by_the_exact_sums(one: list[int], other: list[int], kept: int) -> None:
    one = one[:kept]
    total = {i: Fraction(0) for i in other}
    for ranking in (one, other):
        for place, i in enumerate(ranking, 1):
            total[i] += Fraction(1, 60 + place)
    assert fuse(one, other) == sorted(total, key=lambda i: (-total[i], -i))


def test_a_blend_is_the_fusion_of_both_ranks() -> None:
    texts = ["guitar", "gutiar", "drum", "a guitar or a rug"]
    fused = fuse(by_words(texts, "guitar"), by_vectors(texts, "guitar", letters))
    assert rank(texts, "guitar", "blend", letters) == fused
    assert rank(texts, "guitar", "dense", letters) == by_vectors(texts, "guitar", letters)
    assert rank(texts, "guitar", "bm25", never) == by_words(texts, "guitar")
    assert sorted(fused) == [0, 1, 2, 3]  # a word less or more, nothing is left out


# -- what is selected -----------------------------------------------------------------------------------------------


@given(st.integers(0, 12), st.integers(-2, 15))
def test_recent_are_the_latest_oldest_first(n: int, k: int) -> None:
    history = [written(str(place), place) for place in range(n)]
    latest = recent(history, k)
    assert len(latest) == min(n, max(k, 0))
    assert list(latest) == history[n - len(latest) :]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.lists(WORD, max_size=4), st.lists(WORD, max_size=4)), max_size=9),
    st.lists(WORD, max_size=4),
    st.integers(0, 10),
    st.integers(0, 10),
    st.sampled_from(NAMED["matcher"]),
    st.sampled_from(NAMED["show"]),
)
def test_whatever_the_settings_each_is_selected_once_and_from_the_history(
    rows: list[tuple[list[str], list[str]]], query: list[str], latest: int, k: int, matcher: Any, show: Any
) -> None:
    history = [written(" ".join(a), place, " ".join(b)) for place, (a, b) in enumerate(rows)]
    chosen = ContextSettings(recent=latest, matched=k, matcher=matcher, show=show)
    got = select(history, " ".join(query), chosen, letters if chosen.encodes else never)
    assert got.recent == recent(history, latest)
    older = history[: len(history) - len(got.recent)]
    assert set(got.matched) <= set(older)
    assert len(set(got.matched)) == len(got.matched) <= got.places == min(k, len(older))
    if matcher != "bm25":
        assert len(got.matched) == got.places
    documents = [words_of(document(item, show)) for item in older]
    if matcher == "bm25":
        assert all(set(documents[older.index(item)]) & set(query) for item in got.matched)


def test_nothing_is_encoded_where_there_is_nothing_to_choose_from() -> None:
    history = [written("one", 1), written("two", 2)]
    for chosen in (ContextSettings(recent=2, matched=3, matcher="dense"), ContextSettings(matched=0, matcher="blend")):
        assert select(history, "one", chosen, never) == Selected((history[0], history[1]), (), 0)
