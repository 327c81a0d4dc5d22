"""The near-twin brake: its formulas by hand, what it promises for any peers, and that off is nothing at all."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from copersona.runtime.common.arrays import F32, I32, unit_rows
from copersona.runtime.persona.abstention import abstain
from copersona.runtime.persona.brake import MOST, POOL, STRONGEST, diverse, own_reliability, spread, trust
from copersona.runtime.persona.graph import TABLES, PersonaGraph
from copersona.runtime.persona.neighbors import (
    SHARED,
    Ranked,
    anchors_of,
    combined_similarity,
    facet_edges,
    shared_neighbors,
    top_k,
)
from copersona.runtime.profile.facets import PLACEHOLDER, FacetProfile, Profile, Reliability

NEAR = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=8)
OWN = st.floats(0.05, 0.95)
STRENGTH = st.floats(0.01, STRONGEST)


def believed(near: list[float], own: float, strength: float) -> float:
    """Of one facet that all of these are observed on."""
    present = np.ones((len(near), 1), bool)
    return float(trust(np.array(near, np.float32), present, own, strength)[0])


def test_trust_in_three_users_by_hand() -> None:
    # n = 1.8² / 1.16 = 2.7931; margin (0.8 - 0.5) / 0.8 = 0.375; doubt 8 * 0.5² * 1.375 = 2.75; 2.7931 / 5.5431
    assert believed([0.8, 0.6, 0.4], 0.5, 8.0) == pytest.approx(0.50389, abs=1e-5)
    assert believed([0.8], 0.5, 8.0) == pytest.approx(0.2)  # alone, the margin is 1: 1 / (1 + 8 * 0.5² * 2)
    assert believed([0.8], 0.5, 0.2) == pytest.approx(MOST)  # 1 / 1.1, but nobody counts for more than a half
    assert believed([0.8, 0.8], 0.5, 8.0) == pytest.approx(0.5)  # no margin: 2 / (2 + 2)


def test_only_those_who_are_observed_on_a_facet_count_for_it() -> None:
    present = np.array([[True, True, False], [True, False, False], [True, False, False]])
    found = trust(np.array([0.8, 0.6, 0.4], np.float32), present, 0.5, 8.0)
    np.testing.assert_allclose(found, [0.50389, 0.2, 0.0], atol=1e-5)


@given(NEAR, OWN, STRENGTH)
def test_trust_is_a_share_and_nobody_counts_for_more_than_most(near: list[float], own: float, strength: float) -> None:
    found = believed(near, own, strength)
    assert 0 <= found <= 1
    assert found <= MOST * len(near) + 1e-6


@given(NEAR, OWN)
def test_without_strength_all_are_wholly_believed(near: list[float], own: float) -> None:
    assert believed(near, own, 0.0) == 1.0


@given(NEAR, OWN, OWN, STRENGTH, STRENGTH)
def test_trust_rises_with_own_reliability_and_falls_with_strength(
    near: list[float], own: float, other: float, strength: float, stronger: float
) -> None:
    low, high = sorted((own, other))
    assert believed(near, low, strength) <= believed(near, high, strength) + 1e-6
    weak, strong = sorted((strength, stronger))
    assert believed(near, own, strong) <= believed(near, own, weak) + 1e-6


@given(st.floats(0.1, 1), st.floats(0, 0.9), st.integers(1, 6), OWN, STRENGTH)
def test_trust_falls_as_the_best_stands_out_and_rises_with_their_number(
    best: float, apart: float, others: int, own: float, strength: float
) -> None:
    alike, out = [best] * (others + 1), [best, *[best * (1 - apart)] * others]
    assert believed(out, own, strength) <= believed(alike, own, strength) + 1e-6
    assert believed(alike, own, strength) <= believed([*alike, best], own, strength) + 1e-6


def test_marginal_relevance_of_three_users_by_hand() -> None:
    """Cosines: A-B 0.8, A-C 0.6. After A, B is worth 0.5 * 0.9 - 0.5 * 0.8 = 0.05, C 0.5 * 0.75 - 0.5 * 0.6 = 0.075."""
    vectors = np.array([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8]], np.float32)
    relevance = np.array([1.0, 0.9, 0.75], np.float32)
    assert diverse(relevance, vectors, 2, 0.5) == [0, 2]
    assert diverse(relevance, vectors, 3, 0.5) == [0, 2, 1]
    assert diverse(relevance, vectors, 2, 1.0) == [0, 1]


@given(st.integers(0, 2**32 - 1), st.integers(0, 12), st.integers(0, 14))
def test_nearness_alone_keeps_the_order_and_diversity_repeats_nobody(seed: int, peers: int, k: int) -> None:
    draw = np.random.default_rng(seed)
    relevance = -np.sort(-draw.uniform(0.01, 1, peers)).astype(np.float32)
    vectors = unit_rows(draw.normal(size=(peers, 3)).astype(np.float32))
    assert diverse(relevance, vectors, k, 1.0) == list(range(min(k, peers)))
    chosen = diverse(relevance, vectors, k)
    assert len(set(chosen)) == len(chosen) == min(k, peers)
    assert chosen[:1] == [0][: min(k, peers)]  # the nearest is always there


def test_a_twin_of_someone_chosen_is_passed_over() -> None:
    anchors = unit_rows(np.array([[1, 0, 0], [1, 0.01, 0], [0.2, 1, 0]], np.float32))
    found = spread(
        Ranked(np.array([[0, 1, 2, -1]], np.int32), np.array([[0.9, 0.89, 0.85, 0]], np.float32)), anchors, 2
    )
    assert found.index.tolist() == [[0, 2]]
    np.testing.assert_allclose(found.similarity, [[0.9, 0.85]])


def population(seed: int, peers: int = 60, layers: int = 3) -> tuple[PersonaGraph, F32, I32]:
    """A graph of random peers, and vectors and labels of someone who is none of them."""
    draw = np.random.default_rng(seed)
    vectors = unit_rows(draw.normal(size=(layers, peers + 1, 8)).astype(np.float32))
    labels = draw.integers(0, 4, (peers + 1, layers)).astype(np.int32)
    labels[peers, :2] = 3, 0
    database = sqlite3.connect(":memory:")
    database.executescript(TABLES)
    rows = (("".join(map(str, line)), row) for row, line in enumerate(labels[:peers].tolist()))
    database.executemany("INSERT INTO peers VALUES (?, ?, ?, '[]')", ((row, f"p{row}", text) for text, row in rows))
    kept = np.ascontiguousarray(vectors[:, :peers])
    graph = PersonaGraph(database, kept, anchors_of(kept.transpose(1, 0, 2), labels[:peers]))
    return graph, np.ascontiguousarray(vectors[:, peers]), labels[peers]


@given(st.integers(0, 2**32 - 1))
def test_off_is_the_nearest_wholly_believed_to_the_bit(seed: int) -> None:
    graph, vectors, labels = population(seed)
    found = graph.place(vectors, labels)
    none, anchor = np.array([-1], np.int32), anchors_of(vectors[None], labels[None])
    shared = shared_neighbors(anchor, graph.anchors, exclude=none)
    np.testing.assert_array_equal(found.shared.index, shared.index)
    np.testing.assert_array_equal(found.shared.similarity, shared.similarity)
    inputs = graph.inputs(vectors, labels, found.shared)
    np.testing.assert_array_equal(inputs.neighbors, graph.peers[:, shared.index[0]].transpose(1, 0, 2))
    edges = facet_edges(vectors[None], labels[None], graph.peers, graph.labels, exclude=none)
    near = combined_similarity(vectors[None], labels[None], graph.peers, graph.labels, exclude=none)
    expected = list[tuple[int, int, bool]]()
    for m, label in enumerate(labels.tolist()):
        able = (graph.labels[:, m] >= 2) & (near[0] > 0)
        rows = edges.index[0, m, :1] if label >= 2 else top_k(np.where(able, near, -np.inf), 3).index[0]
        expected += [(m, row, label < 2) for row in rows.tolist() if row >= 0]
    assert [(b.facet, b.peer, b.lacking) for b in found.borrowed] == expected


@given(st.integers(0, 2**32 - 1), STRENGTH)
def test_braked_peers_are_among_the_nearest_and_their_vectors_no_longer(seed: int, strength: float) -> None:
    graph, vectors, labels = population(seed)
    off, on = graph.place(vectors, labels), graph.place(vectors, labels, brake=strength)
    none, anchor = np.array([-1], np.int32), anchors_of(vectors[None], labels[None])
    pool = shared_neighbors(anchor, graph.anchors, exclude=none, k=POOL).index[0]
    assert set(on.shared.index[0].tolist()) <= set(pool.tolist())
    assert on.shared.index[0, 0] == off.shared.index[0, 0]
    assert on.shared.index.shape == (1, SHARED)
    for m in range(len(labels)):
        assert sum(b.facet == m for b in on.borrowed) in (0, sum(b.facet == m for b in off.borrowed))
    inputs = graph.inputs(vectors, labels, on.shared, strength)
    share = trust(on.shared.similarity[0], inputs.present, own_reliability(labels), strength)
    whole = graph.inputs(vectors, labels, on.shared)
    np.testing.assert_array_equal(inputs.present, whole.present)
    np.testing.assert_array_equal(inputs.neighbors, whole.neighbors * share[:, None])


def profile(*supports: float) -> Profile:
    facets = tuple(
        FacetProfile(f"facet {m}", "facet: said", ("so I said",), Reliability.MODERATE, support)
        for m, support in enumerate(supports)
    )
    return Profile(facets, np.ones((len(supports), 4), np.float32), np.ones(2, np.float32))


def test_facets_of_too_little_support_are_not_said_and_lend_no_vector() -> None:
    found = abstain(profile(0.6, 0.7, 0.5), 0.65)
    assert [facet.summary == PLACEHOLDER for facet in found.facets] == [True, False, True]
    assert [facet.quotes for facet in found.facets] == [(), ("so I said",), ()]
    assert found.reliabilities.tolist() == [1, 2, 1]
    assert [facet.support for facet in found.facets] == [0.6, 0.7, 0.5]
    np.testing.assert_array_equal(found.vectors.any(axis=1), [False, True, False])
    assert found.vectors.dtype == np.float32


def test_without_a_least_support_everything_is_said() -> None:
    whole = profile(0.5, 0.9)
    assert abstain(whole, 0.0) is whole
