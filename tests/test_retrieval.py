"""Retrieval against the reference BM25, and the order of what is returned."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from rank_bm25 import BM25Okapi

from copersona.runtime.interactions import Interaction
from copersona.runtime.retrieval import BM25, matched, recent
from copersona.runtime.style import words_of

WORD = st.sampled_from("guitar string drum pick amp loud soft warm".split())
DOCUMENTS = st.lists(st.lists(WORD, max_size=12), min_size=1, max_size=12).filter(any)


def written(text: str, place: int = 0) -> Interaction:
    return Interaction("ana", text, input="Say.", time=float(place))


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
@given(DOCUMENTS, st.lists(WORD, min_size=1, max_size=4), st.integers(0, 14))
def test_matched_are_the_best_by_the_reference_ties_to_the_later(
    documents: list[list[str]], query: list[str], k: int
) -> None:
    history = [written(" ".join(words), place) for place, words in enumerate(documents)]
    index = BM25Okapi([words_of(f"{item.request()} {item.output}") for item in history])
    scores = BM25([words_of(f"{item.request()} {item.output}") for item in history]).scores(query)
    np.testing.assert_allclose(scores, index.get_scores(query), atol=1e-9)
    order = sorted((i for i in range(len(history)) if scores[i] > 0), key=lambda i: (-scores[i], -i))[:k]
    assert matched(history, " ".join(query), k) == tuple(history[i] for i in order)


def test_equal_matches_go_to_the_later_one_and_strangers_stay_out() -> None:
    texts = ["a guitar", "nothing here", "a guitar", "drum", "amp", "pick"]
    history = [written(text, place) for place, text in enumerate(texts)]
    assert matched(history, "Guitar?", 5) == (history[2], history[0])
    assert matched(history, "Guitar?", 1) == (history[2],)
    assert matched(history, "Guitar?", 0) == ()
    assert matched(history, "trombone", 3) == ()
    assert matched([], "guitar", 3) == ()


def test_what_an_item_answered_counts_as_well_as_what_was_written() -> None:
    history = [Interaction("ana", "fine", input="About the guitar"), *(written(w) for w in ("drum", "amp", "pick"))]
    assert matched(history, "guitar", 2) == (history[0],)


@given(st.integers(0, 12), st.integers(-2, 15))
def test_recent_are_the_latest_oldest_first(n: int, k: int) -> None:
    history = [written(str(place), place) for place in range(n)]
    found = recent(history, k)
    assert len(found) == min(n, max(k, 0))
    assert list(found) == history[n - len(found) :]
