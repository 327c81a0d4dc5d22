"""Neighbours against a full sort and against the paper's formulas worked out by hand on three users."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from copersona.runtime.common.arrays import F32, I32
from copersona.runtime.persona.neighbors import (
    GROUP,
    Ranked,
    anchors_of,
    combined_similarity,
    facet_edges,
    shared_neighbors,
    top_k,
)

NOBODY = np.array([-1, -1, -1], np.int32)


def full_sort(scores: F32, k: int) -> Ranked:
    """The k best of every row by sorting all of it, one row after the other."""
    index = np.full((len(scores), k), -1, np.int32)
    best = np.zeros((len(scores), k), np.float32)
    for row, line in enumerate(scores.tolist()):
        order = sorted((-value, i) for i, value in enumerate(line) if value != float("-inf"))[:k]
        for place, (value, i) in enumerate(order):
            index[row, place], best[row, place] = i, -value
    return Ranked(index, best)


def assert_same_but_for_ties(found: Ranked, scores: F32, k: int) -> None:
    expected = full_sort(scores, k)
    assert found.index.shape == expected.index.shape
    assert found.index.dtype == np.int32
    np.testing.assert_array_equal(found.index < 0, expected.index < 0)
    np.testing.assert_allclose(found.similarity, expected.similarity, atol=1e-6)
    for row, line in enumerate(found.index):
        real = line[line >= 0]
        assert len(set(real.tolist())) == len(real)
        np.testing.assert_array_equal(scores[row, real], found.similarity[row, : len(real)])


SCORES = st.one_of(st.floats(-1, 1, width=32), st.just(float("-inf")), st.sampled_from([0.5, 0.25]))


@settings(deadline=None)
@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 3), st.integers(0, 30)), elements=SCORES), st.integers(1, 8))
def test_top_k_equals_a_full_stable_sort(scores: F32, k: int) -> None:
    found, expected = top_k(scores, k), full_sort(scores, k)
    np.testing.assert_array_equal(found.index, expected.index)
    np.testing.assert_array_equal(found.similarity, expected.similarity)


@settings(deadline=None, max_examples=150)
@given(
    columns=st.integers(4 * GROUP + 1, 8 * GROUP + 70),
    k=st.integers(1, 2),
    seed=st.integers(0, 2**32 - 1),
    levels=st.sampled_from([2, 5, 50, 10**6]),
    hidden=st.sampled_from([0.0, 0.5, 0.99, 1.0]),
)
def test_many_columns_are_searched_in_groups_and_nothing_is_missed(
    columns: int, k: int, seed: int, levels: int, hidden: float
) -> None:
    draw = np.random.default_rng(seed)
    scores = (draw.integers(0, levels, (3, columns)) / levels).astype(np.float32)
    scores[draw.random(scores.shape) < hidden] = -np.inf
    assert_same_but_for_ties(top_k(scores, k), scores, k)


@pytest.mark.parametrize("columns", [1_281, 1_344, 3_000, 10_007])
def test_five_of_thousands_equal_a_full_sort(columns: int) -> None:
    scores = np.random.default_rng(columns).normal(size=(20, columns)).astype(np.float32)
    found, expected = top_k(scores, 5), full_sort(scores, 5)
    np.testing.assert_array_equal(found.index, expected.index)
    np.testing.assert_array_equal(found.similarity, expected.similarity)


@pytest.mark.parametrize("place", [0, 63, 64, 1_279, 1_280, 1_299])
def test_the_best_is_found_wherever_it_stands(place: int) -> None:
    scores = np.zeros((1, 1_300), np.float32)
    scores[0, place] = 1
    assert top_k(scores, 5).index[0, 0] == place


def unit(*rows: tuple[float, ...]) -> F32:
    array = np.array(rows, np.float64)
    return (array / np.linalg.norm(array, axis=-1, keepdims=True)).astype(np.float32)


A, B, C = unit((1.0, 0.0), (0.8, 0.6), (0.6, 0.8))
"""Cosines: A-B 0.8, A-C 0.6, B-C 0.96."""


def one_layer(labels: list[int], vectors: tuple[F32, ...] = (A, B, C)) -> tuple[F32, I32, F32, I32]:
    """Three users on one facet, as people asked for and as peers."""
    own = np.stack(vectors)[:, None]  # (U, M, D)
    reliabilities = np.array(labels, np.int32)[:, None]
    return own, reliabilities, np.ascontiguousarray(own.transpose(1, 0, 2)), reliabilities


def test_edges_of_three_users_by_hand() -> None:
    """Equations 5 and 6 with ω = (0.05, 0.25, 0.60, 0.95): A strong, B moderate, C strong."""
    edges = facet_edges(*one_layer([3, 2, 3]), exclude=np.arange(3, dtype=np.int32), k=2)
    # A: C has 0.95 * 0.95 * 0.6 = 0.5415, B has 0.95 * 0.60 * 0.8 = 0.456: C first although B's cosine is higher.
    assert edges.index[:, 0].tolist() == [[2, 1], [2, 0], [1, 0]]
    np.testing.assert_allclose(edges.cosine[:, 0], [[0.6, 0.8], [0.96, 0.8], [0.96, 0.6]], atol=1e-6)
    expected = [[0.5415, 0.456], [0.5472, 0.456], [0.5472, 0.5415]]  # B-C: 0.60 * 0.95 * 0.96
    np.testing.assert_allclose(edges.weight[:, 0], expected, atol=1e-6)


def test_the_threshold_is_on_the_raw_cosine_not_on_the_gated_weight() -> None:
    """Two moderate people with cosine 0.36: gated 0.36 * 0.36 = 0.13, far below 0.35, and still neighbours."""
    near, far = unit((0.36, (1 - 0.36**2) ** 0.5), (0.34, -((1 - 0.34**2) ** 0.5)))
    edges = facet_edges(*one_layer([2, 2, 3], (A, near, far)), exclude=np.arange(3, dtype=np.int32))
    assert edges.index[0, 0].tolist() == [1, -1, -1, -1, -1]
    assert edges.cosine[0, 0, 0] == pytest.approx(0.36, abs=1e-6)
    assert edges.weight[0, 0].tolist() == pytest.approx([0.36 * 0.36, 0, 0, 0, 0], abs=1e-6)
    looser = facet_edges(*one_layer([2, 2, 3], (A, near, far)), exclude=np.arange(3, dtype=np.int32), threshold=0.33)
    assert looser.index[0, 0, :2].tolist() == [2, 1]  # 0.60 * 0.95 * 0.34 > 0.60 * 0.60 * 0.36


@pytest.mark.parametrize("label", [0, 1])
def test_a_placeholder_has_no_edges_at_either_end(label: int) -> None:
    """Two placeholders have cosine 1; that is no evidence."""
    edges = facet_edges(*one_layer([3, label, label], (A, A, A)), exclude=np.arange(3, dtype=np.int32))
    assert (edges.index == -1).all()
    assert not edges.weight.any()
    assert not edges.cosine.any()


def test_nobody_is_their_own_neighbour_unless_they_are_not_in_the_graph() -> None:
    with_self = facet_edges(*one_layer([3, 3, 3]), exclude=NOBODY)
    without = facet_edges(*one_layer([3, 3, 3]), exclude=np.arange(3, dtype=np.int32))
    assert with_self.index[:, 0, 0].tolist() == [0, 1, 2]
    for row in range(3):
        assert row not in without.index[row, 0].tolist()


def test_layers_are_independent() -> None:
    vectors = np.stack([np.stack([A, C]), np.stack([B, A]), np.stack([-A, B])])  # (U, M, D)
    labels = np.array([[3, 3], [3, 0], [3, 3]], np.int32)
    peers = np.ascontiguousarray(vectors.transpose(1, 0, 2))
    edges = facet_edges(vectors, labels, peers, labels, exclude=np.arange(3, dtype=np.int32), k=2)
    assert edges.index[0].tolist() == [[1, -1], [2, -1]]
    assert edges.index[1].tolist() == [[0, -1], [-1, -1]]
    assert edges.index[2].tolist() == [[-1, -1], [0, -1]]


def test_blocks_of_people_give_what_one_block_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(3)
    vectors = unit(*draw.normal(size=(40, 6)).tolist())[:, None]
    labels = draw.integers(0, 4, (40, 1)).astype(np.int32)
    peers = np.ascontiguousarray(vectors.transpose(1, 0, 2))
    own = np.arange(40, dtype=np.int32)
    whole = facet_edges(vectors, labels, peers, labels, exclude=own)
    shared = shared_neighbors(anchors_of(vectors, labels), anchors_of(vectors, labels), exclude=own)
    monkeypatch.setattr("copersona.runtime.persona.neighbors.BLOCK", 7)
    for found, expected in zip(facet_edges(vectors, labels, peers, labels, exclude=own), whole, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)
    again = shared_neighbors(anchors_of(vectors, labels), anchors_of(vectors, labels), exclude=own)
    np.testing.assert_array_equal(again.index, shared.index)
    assert (whole.index >= 0).any()


def test_combined_similarity_by_hand() -> None:
    """(1/M) Σ ω ω cos over facets observed for both, absent terms 0."""
    vectors = np.stack([np.stack([A, A]), np.stack([B, A]), np.stack([C, -A])])
    labels = np.array([[3, 2], [2, 1], [3, 3]], np.int32)
    peers = np.ascontiguousarray(vectors.transpose(1, 0, 2))
    found = combined_similarity(vectors, labels, peers, labels, exclude=np.arange(3, dtype=np.int32))
    ab = 0.95 * 0.60 * 0.8 / 2  # the second facet is weak for B
    ac = (0.95 * 0.95 * 0.6 + 0.60 * 0.95 * -1.0) / 2
    bc = 0.60 * 0.95 * 0.96 / 2
    inf = -np.inf
    np.testing.assert_allclose(found, [[inf, ab, ac], [ab, inf, bc], [ac, bc, inf]], atol=1e-6)


def test_anchors_by_hand() -> None:
    """ω-weighted mean of the observed facet vectors, re-normalised; zeros where nothing is observed."""
    vectors = np.stack([np.stack([A, C]), np.stack([A, C]), np.stack([A, C])])
    labels = np.array([[3, 2], [1, 2], [0, 1]], np.int32)
    mixed = 0.95 * np.array([1.0, 0.0]) + 0.60 * np.array([0.6, 0.8])
    expected = [mixed / np.linalg.norm(mixed), [0.6, 0.8], [0, 0]]
    np.testing.assert_allclose(anchors_of(vectors, labels), expected, atol=1e-6)


def test_shared_neighbours_are_ranked_by_anchor_and_skip_people_without_one() -> None:
    anchors = np.stack([A, B, C, np.zeros(2, np.float32), -A])
    found = shared_neighbors(anchors, anchors, exclude=np.arange(5, dtype=np.int32), k=3)
    assert found.index.tolist() == [[1, 2, 4], [2, 0, 4], [1, 0, 4], [-1, -1, -1], [2, 1, 0]]
    np.testing.assert_allclose(found.similarity[0], [0.8, 0.6, -1.0], atol=1e-6)
    assert not found.similarity[3].any()
