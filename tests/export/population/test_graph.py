"""The exported graph: what identifies people is gone, and what is written is read back as it was computed."""

from __future__ import annotations

import hashlib
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from copersona.export.population.graph import (
    Graph,
    build_graph,
    facet_biased,
    layer_figures,
    neighbor_gain,
    pseudonyms_for,
    scrub,
    write_graph,
)
from copersona.runtime.common.arrays import unit_rows
from copersona.runtime.common.errors import BundleError
from copersona.runtime.persona.graph import PersonaGraph, borrow, map_vectors
from copersona.runtime.persona.neighbors import anchors_of, combined_similarity, facet_edges
from copersona.runtime.profile.facets import PLACEHOLDER, FacetProfile, Profile, Reliability

pytestmark = pytest.mark.export

U, M, D = 30, 3, 5
NAMES = ("Length", "Noise", "Subjects")
PEOPLE = tuple(f"A{n:013d}" for n in range(U))
ITEMS = {"amp": {"tubes": 3, "loud": 2}, "set": {"nickel": 2}, "none": {}}


def make(quotes: bool = True, seed: int = 0) -> tuple[Graph, list[Profile]]:
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 4, (U, M)).astype(np.int32)
    vectors = unit_rows(draw.normal(size=(U, M, D)).astype(np.float32))
    profiles = [
        Profile(tuple(facet(n, m, int(labels[n, m])) for m in range(M)), vectors[n], np.zeros(2, np.float32))
        for n in range(U)
    ]
    names = pseudonyms_for(PEOPLE, 0)
    return build_graph(PEOPLE, names, profiles, vectors, labels, quotes=quotes), profiles


def facet(person: int, m: int, label: int) -> FacetProfile:
    if label < 2:
        return FacetProfile(NAMES[m], PLACEHOLDER, (), Reliability(label), 0.2)
    quote = f"Write to me{person}@mail.example.org about it, number {person}."
    return FacetProfile(NAMES[m], f"{NAMES[m]}: value", (quote,), Reliability(label), 0.75)


@pytest.fixture
def written(tmp_path: Path) -> tuple[Graph, PersonaGraph]:
    graph, _ = make()
    paths = tmp_path / "graph.sqlite", tmp_path / "peers.npy", tmp_path / "anchors.npy"
    write_graph(graph, ITEMS, *paths)
    database = sqlite3.connect(paths[0])
    return graph, PersonaGraph(database, map_vectors(paths[1], 3), map_vectors(paths[2], 2))


def test_what_is_written_is_read_back(written: tuple[Graph, PersonaGraph]) -> None:
    graph, found = written
    assert found.pseudonyms == graph.pseudonyms
    np.testing.assert_array_equal(found.labels, graph.labels)
    np.testing.assert_array_equal(found.peers, graph.vectors)
    np.testing.assert_array_equal(found.anchors, graph.anchors)
    for row in range(U):
        assert found.profile(row) == graph.profiles[row]
        assert found.row(graph.pseudonyms[row]) == row
        for stored, made in zip(found.stored_edges(row), graph.edges, strict=True):
            np.testing.assert_array_equal(stored[0], made[row])
    assert [found.row(name) for name in (None, "nobody", PEOPLE[0])] == [-1, -1, -1]
    assert found.item_words("amp") == ITEMS["amp"]
    assert list(found.item_words("amp")) == ["tubes", "loud"]
    assert found.item_words("none") == found.item_words("unheard") == {}
    found._database.close()


def test_stored_edges_are_the_ones_that_the_device_computes(written: tuple[Graph, PersonaGraph]) -> None:
    graph, found = written
    assert (graph.edges.index >= 0).sum() > U
    rows = np.arange(U, dtype=np.int32)
    vectors = np.ascontiguousarray(found.peers.transpose(1, 0, 2))
    again = facet_edges(vectors, found.labels, found.peers, found.labels, exclude=rows)
    np.testing.assert_array_equal(again.index, graph.edges.index)
    np.testing.assert_allclose(again.weight, graph.edges.weight, atol=1e-6)
    for row in range(U):
        placed = found.place(vectors[row], found.labels[row], own_row=row)
        np.testing.assert_allclose(placed.edges.weight[0], found.stored_edges(row).weight[0], atol=1e-6)
        assert row not in placed.shared.index
    found._database.close()


def test_anchors_are_those_of_the_vectors(written: tuple[Graph, PersonaGraph]) -> None:
    graph, found = written
    expected = anchors_of(np.ascontiguousarray(graph.vectors.transpose(1, 0, 2)), graph.labels)
    np.testing.assert_array_equal(found.anchors, expected.astype(np.float16).astype(np.float32))
    found._database.close()


PRIVATE = [
    ("Mail joe.doe+x@mail.example.co.uk now", "joe"),
    ("Call +49 30 1234567 today", "1234567"),
    ("Call (555) 123-4567 today", "123-4567"),
    ("Call 555-1234 today", "555-1234"),
    ("Call 555.123.4567!", "4567"),
    ("See https://example.de/a?b=c#d for it", "example.de"),
    ("See HTTP://EXAMPLE.DE for it", "EXAMPLE"),
    ("See www.some-shop.io/x for it", "some-shop"),
    ("See some-shop.com/x for it", "some-shop"),
    ("Follow @ana_writes there", "ana_writes"),
    ("@ana_writes is me", "ana_writes"),
]


@pytest.mark.parametrize(("quote", "private"), PRIVATE)
def test_addresses_numbers_links_and_handles_are_removed(quote: str, private: str) -> None:
    found = scrub(quote)
    assert private in quote
    assert private not in found
    assert "[...]" in found
    assert found.split()[0] == quote.split()[0] or quote.startswith("@")


@pytest.mark.parametrize(
    "quote", ["It cost $25 and I love it.", "Bought 2 in 2014, 3 more in 2015", "A 4/4 song at 120 bpm", "AC/DC... ok"]
)
def test_plain_text_stays_as_it_is(quote: str) -> None:
    assert scrub(quote) == quote


def test_a_quote_ships_on_one_line_that_moves_nothing() -> None:
    assert scrub("so\tit is\nand\u2028was \u202ehere\x1b[2J") == "so it is and\ufffdwas \ufffdhere\u241b[2J"


def test_quotes_are_scrubbed_in_the_graph_or_left_out(tmp_path: Path) -> None:
    graph, profiles = make()
    assert any(f.quotes for p in profiles for f in p.facets)
    shown = [q for row in graph.profiles for f in row for q in f.quotes]
    assert shown
    assert not [q for q in shown if "@" in q or "example" in q]
    silent, _ = make(quotes=False)
    assert not [q for row in silent.profiles for f in row for q in f.quotes]
    assert silent.profiles[0] == tuple(replace(f, quotes=()) for f in graph.profiles[0])
    for one, name in ((graph, "with"), (silent, "without")):
        write_graph(one, ITEMS, tmp_path / name, tmp_path / "p.npy", tmp_path / "a.npy")
        content = (tmp_path / name).read_bytes()
        assert not [p for p in PEOPLE if p.encode() in content]
        assert (b"number 7" in content) == (name == "with")
        assert b"example.org" not in content


def test_pseudonyms_come_from_the_seed_and_the_order_never_from_the_id() -> None:
    names = pseudonyms_for(PEOPLE, 7)
    assert len(set(names.values())) == U
    renamed = pseudonyms_for([f"someone else {n}" for n in range(U)], 7)
    assert list(renamed.values()) == list(names.values())  # other ids, same pseudonyms: no function of the id
    assert list(pseudonyms_for(PEOPLE, 8).values()) != list(names.values())
    for person, name in names.items():
        for algorithm in ("md5", "sha1", "sha256", "blake2b"):
            for salted in (person, f"7:{person}", f"{person}7"):
                assert name.removeprefix("p") not in hashlib.new(algorithm, salted.encode()).hexdigest()


def test_without_a_seed_pseudonyms_differ_every_time() -> None:
    one, other = pseudonyms_for(PEOPLE, None), pseudonyms_for(PEOPLE, None)
    assert len(set(one.values()) | set(other.values())) == 2 * U


def test_a_facet_that_is_lacking_is_borrowed_from_peers_alike_on_the_others() -> None:
    graph, _ = make(seed=4)
    vectors = np.ascontiguousarray(graph.vectors.transpose(1, 0, 2))
    labels = np.array([3, 3, 0], np.int32)
    none = np.array([-1], np.int32)
    similarity = combined_similarity(vectors[:1], labels[None], graph.vectors, graph.labels, exclude=none)[0]
    edges = facet_edges(vectors[:1], labels[None], graph.vectors, graph.labels, exclude=none)
    found = borrow(labels, edges, similarity, graph.labels, 3, anchors=graph.anchors)
    lacking = [b for b in found if b.lacking]
    able = [v for v in range(U) if graph.labels[v, 2] >= 2 and similarity[v] > 0]
    expected = sorted(able, key=lambda v: -similarity[v])[:3]
    assert [b.peer for b in lacking] == expected
    assert len(expected) == 3
    assert {b.facet for b in lacking} == {2}
    own = {b.facet: b.peer for b in found if not b.lacking}
    assert own == {m: int(edges.index[0, m, 0]) for m in (0, 1) if edges.index[0, m, 0] >= 0}
    assert borrow(labels, edges, similarity, graph.labels, 0, anchors=graph.anchors) == ()


def test_layer_figures_and_facet_biased_people_by_counting() -> None:
    graph, _ = make()
    for m, row in enumerate(layer_figures(graph, NAMES)):
        seen = [u for u in range(U) if graph.labels[u, m] >= 2]
        pairs = [(u, v) for u in seen for v in seen if u != v]
        over = sum(float(graph.vectors[m, u] @ graph.vectors[m, v]) >= 0.35 for u, v in pairs)
        degree = [sum(int(i) >= 0 for i in graph.edges.index[u, m]) for u in seen]
        assert row.facet == NAMES[m]
        assert row.observed == pytest.approx(len(seen) / U)
        assert row.degree == pytest.approx(sum(degree) / len(seen))
        assert row.over_threshold == pytest.approx(over / len(pairs))
    biased = sum(any(label < 3 for label in row) for row in graph.labels.tolist())
    assert facet_biased(graph.labels) == pytest.approx(biased / U)


def test_neighbours_that_are_alike_gain_over_random_ones() -> None:
    graph, _ = make(seed=2)
    near = graph.vectors[:, :, 0].T.astype(np.float64)  # a score that the vectors themselves hold
    assert neighbor_gain(graph, near, 0).mean() > 0.05
    noise = np.random.default_rng(1).normal(size=(U, M))
    assert neighbor_gain(graph, noise, 0).mean() < neighbor_gain(graph, near, 0).mean()


def test_parts_of_two_exports_are_refused(tmp_path: Path) -> None:
    graph, _ = make()
    write_graph(graph, ITEMS, tmp_path / "g", tmp_path / "p.npy", tmp_path / "a.npy")
    database = sqlite3.connect(tmp_path / "g")
    with pytest.raises(BundleError, match=r"holds 30 peers, peers\.npy 29"):
        PersonaGraph(database, graph.vectors[:, 1:], graph.anchors)
    with pytest.raises(BundleError, match="do not fit 2 facets"):
        PersonaGraph(database, graph.vectors[:2], graph.anchors)
    database.close()
    empty = sqlite3.connect(":memory:")
    with pytest.raises(BundleError, match="not a persona graph"):
        PersonaGraph(empty, graph.vectors, graph.anchors)
    empty.close()
