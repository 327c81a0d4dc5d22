"""The scan of bytes against the exact search: the same neighbours, whatever the vectors are."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copersona.runtime.common.arrays import F32, I32, unit_rows
from copersona.runtime.persona.graph import TABLES, PersonaGraph, Placement
from copersona.runtime.persona.int8_product import LEVELS, Int8Product, model
from copersona.runtime.persona.int8_scan import Person, Scan, worth_scanning
from copersona.runtime.persona.neighbors import anchors_of


def population(seed: int, peers: int, layers: int, width: int, clusters: int, noise: float) -> tuple[F32, I32]:
    """People around a few centres: vectors (M, U, D) centred unit rows, labels (U, M)."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(layers, clusters, width))
    drawn = centres[:, rng.integers(0, clusters, peers)] + noise * rng.normal(size=(layers, peers, width))
    drawn -= drawn.mean(axis=1, keepdims=True)
    return unit_rows(drawn.astype(np.float32)), rng.integers(0, 4, (peers, layers)).astype(np.int32)


def graph_of(vectors: F32, labels: I32) -> PersonaGraph:
    database = sqlite3.connect(":memory:")
    database.executescript(TABLES)
    rows = (("".join(map(str, line)), row) for row, line in enumerate(labels.tolist()))
    database.executemany("INSERT INTO peers VALUES (?, ?, ?, '[]')", ((row, f"p{row}", text) for text, row in rows))
    return PersonaGraph(database, vectors, anchors_of(vectors.transpose(1, 0, 2), labels))


def assert_same(found: Placement, expected: Placement) -> None:
    np.testing.assert_array_equal(found.edges.index, expected.edges.index)
    np.testing.assert_allclose(found.edges.cosine, expected.edges.cosine, atol=1e-6)
    np.testing.assert_allclose(found.edges.weight, expected.edges.weight, atol=1e-6)
    np.testing.assert_array_equal(found.shared.index, expected.shared.index)
    np.testing.assert_array_equal(found.combined.index, expected.combined.index)
    np.testing.assert_allclose(found.combined.similarity, expected.combined.similarity, atol=1e-6)
    assert [(b.facet, b.peer, b.lacking) for b in found.borrowed] == [
        (b.facet, b.peer, b.lacking) for b in expected.borrowed
    ]


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    peers=st.integers(1, 700),
    width=st.sampled_from([2, 17, 96]),
    clusters=st.integers(1, 40),
    noise=st.sampled_from([0.05, 0.5, 3.0]),
    shown=st.integers(0, 4),
    member=st.booleans(),
    brake=st.sampled_from([0.0, 4.0]),
)
def test_placement_by_bytes_is_the_exact_one(
    seed: int, peers: int, width: int, clusters: int, noise: float, shown: int, member: bool, brake: float
) -> None:
    """Also where there are fewer peers than neighbours, and where the bound is too wide to leave anyone out."""
    vectors, labels = population(seed, peers + 1, 3, width, clusters, noise)
    own_row = peers // 2 if member else -1
    person = vectors[:, own_row if member else peers], labels[own_row if member else peers]
    kept = slice(0, peers)
    exact = graph_of(vectors[:, kept], labels[kept])
    expected = exact.place(*person, own_row=own_row, peers_shown=shown, brake=brake)
    by_bytes = graph_of(vectors[:, kept], labels[kept])
    by_bytes._scan = Scan(by_bytes.peers, by_bytes.anchors, by_bytes.labels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("copersona.runtime.persona.int8_scan.SPARED", 1)
        assert_same(by_bytes.place(*person, own_row=own_row, peers_shown=shown, brake=brake), expected)


def test_few_are_candidates_and_all_neighbours_are_among_them() -> None:
    vectors, labels = population(0, 6_000, 5, 128, 300, 0.8)
    graph = graph_of(vectors[:, 1:], labels[1:])
    labels[0] = 3, 2, 0, 3, 1
    anchor = anchors_of(vectors[None, :, 0], labels[:1])[0]
    scan = Scan(graph.peers, graph.anchors, graph.labels)
    rows = scan.candidates(Person(vectors[:, 0], labels[0], anchor), threshold=0.35, shown=3)
    assert rows is not None
    assert len(rows) < 600
    found = graph.place(vectors[:, 0], labels[0])
    for index in (found.edges.index, found.shared.index, found.combined.index):
        assert set(index[index >= 0].tolist()) <= set(rows.tolist())
    assert {borrowed.peer for borrowed in found.borrowed} <= set(rows.tolist())


def test_bytes_are_made_after_enough_searches_and_only_where_there_are_many_peers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vectors, labels = population(1, 300, 2, 16, 10, 0.3)
    graph = graph_of(vectors, labels)
    assert not worth_scanning(graph.peers)
    monkeypatch.setattr("copersona.runtime.persona.int8_scan.SCAN_FROM", 300)
    assert worth_scanning(graph.peers)
    expected = graph.place(vectors[:, 0], labels[0], own_row=0)
    for _ in range(15):
        graph.place(vectors[:, 0], labels[0], own_row=0)
    assert graph._scan is None
    assert_same(graph.place(vectors[:, 0], labels[0], own_row=0), expected)
    assert graph._scan is not None
    monkeypatch.setattr("copersona.runtime.persona.int8_scan.MOST_BYTES", 300 * 16 * 3 - 1)
    assert not worth_scanning(graph.peers)


def test_somebody_of_whom_nothing_is_observed_has_the_exact_search() -> None:
    vectors, labels = population(2, 50, 2, 16, 3, 0.3)
    graph = graph_of(vectors, labels)
    nobody = np.zeros(2, np.int32)
    expected = graph.place(vectors[:, 0], nobody)
    graph._scan = Scan(graph.peers, graph.anchors, graph.labels)
    assert_same(graph.place(vectors[:, 0], nobody), expected)


def test_products_are_exact_also_at_the_largest_numbers() -> None:
    product, rng = Int8Product(), np.random.default_rng(0)
    row = rng.integers(0, LEVELS + 1, 399).astype(np.uint8)
    matrix = rng.integers(-127, 128, (399, 1_003)).astype(np.int8)
    np.testing.assert_array_equal(product(row, matrix), row.astype(np.int32) @ matrix.astype(np.int32))
    full = np.full(768, LEVELS, np.uint8)
    for sign in (1, -1):
        assert (product(full, np.full((768, 70), sign * 127, np.int8)) == sign * LEVELS * 127 * 768).all()


@pytest.mark.export
def test_the_product_is_a_model_that_onnx_accepts() -> None:
    import onnx

    onnx.checker.check_model(onnx.load_from_string(model()), full_check=True)
