"""Invented people: what is planted shows, what is hidden does not, and completion finds it through peers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from copersona.export.data.fragments import TOPICS
from copersona.export.data.invented import DIFFERENT, FAR, Invented, invent, truth_row, write_invented
from copersona.runtime.cli.main import main
from copersona.runtime.common.arrays import F32
from copersona.runtime.common.errors import ExportError
from copersona.runtime.history.importers import load_history
from copersona.runtime.history.interactions import group_by_person, outputs
from copersona.runtime.profile.segments import words_of
from copersona.runtime.profile.style import STYLE_FEATURES, style_matrix

SAMPLE = {"people": 80, "seed": 0, "hidden": 0.25}
WIDTH = 128


@cache
def _slot(word: str) -> tuple[int, int]:
    digest = hashlib.sha256(word.encode()).digest()
    return int.from_bytes(digest[:4], "big") % WIDTH, 1 if digest[4] % 2 else -1


def encode(text: str) -> F32:
    """Stand-in for the sentence encoder: signed hashes of words, summed, unit length."""
    vector = np.zeros(WIDTH, dtype=np.float32)
    for word in words_of(text):
        place, sign = _slot(word)
        vector[place] += sign
    vector[0] += 1e-3
    unit: F32 = vector / np.linalg.norm(vector)
    return unit


def style_of(found: Invented) -> dict[str, F32]:
    """Style column -> one mean a person, in the order of `traits`."""
    histories = group_by_person(found.interactions)
    rows = np.stack([style_matrix(outputs(histories[p])).mean(axis=0) for p in found.traits])
    return {name: rows[:, i] for i, name in enumerate(STYLE_FEATURES)}


def topic_words(topic: str) -> set[str]:
    return set(" ".join(TOPICS[topic]).split())


@pytest.mark.parametrize(
    ("trait", "feature", "bar"),
    [
        ("length", "log_words", 0.85),
        ("warmth", "exclamations", 0.75),
        ("warmth", "praise", 0.6),
        ("formality", "apostrophes", -0.6),
        ("formality", "lower_starts", -0.75),
        ("expertise", "digits", 0.75),
    ],
)
def test_planted_traits_show_in_the_style_of_the_text(trait: str, feature: str, bar: float) -> None:
    found = invent(120, 1, hidden=0.25)
    planted = np.array([getattr(traits, trait) for traits in found.traits.values()])
    correlation = float(np.corrcoef(planted, style_of(found)[feature])[0, 1])
    assert correlation * np.sign(bar) > abs(bar), correlation


def test_experts_use_the_terms_of_their_topic() -> None:
    found = invent(120, 1)
    histories = group_by_person(found.interactions)
    shares = []
    for person, traits in found.traits.items():
        said = words_of(" ".join(outputs(histories[person])))
        nouns, terms = (set(words.split()) for words in TOPICS[traits.topic])
        shares.append(sum(w in terms for w in said) / max(sum(w in nouns | terms for w in said), 1))
    planted = [traits.expertise for traits in found.traits.values()]
    assert np.corrcoef(planted, shares)[0, 1] > 0.8


def test_a_shown_topic_has_its_own_words_and_no_one_elses() -> None:
    found = invent(60, 2)
    for person, history in group_by_person(found.interactions).items():
        said = set(words_of(" ".join(outputs(history))))
        own = found.traits[person].topic
        assert said & topic_words(own)
        assert not any(said & topic_words(other) for other in TOPICS if other != own)


def test_a_hidden_topic_stands_in_no_field() -> None:
    found = invent(60, 2, hidden=0.5)
    assert set(found.hidden.values()) == {"topic"}
    assert len(found.hidden) == 30
    every = set().union(*map(topic_words, TOPICS)) | set(TOPICS)
    for row in found.interactions:
        if row.person in found.hidden:
            said = " ".join(filter(None, (row.output, row.input, row.title, row.item)))
            assert not set(words_of(said)) & every


def test_same_seed_same_people_and_another_seed_others() -> None:
    assert invent(40, 7, hidden=0.3) == invent(40, 7, hidden=0.3)
    assert invent(40, 7).interactions != invent(40, 8).interactions


def test_twins_differ_only_in_the_text_of_those_who_hide() -> None:
    hiding, shown = invent(40, 7, hidden=0.3), invent(40, 7)
    assert hiding.traits == shown.traits
    for a, b in zip(hiding.interactions, shown.interactions, strict=True):
        assert (a.person, a.time, a.rating, a.title) == (b.person, b.time, b.rating, b.title)
        assert (a == b) == (a.person not in hiding.hidden) or a.output == b.output


def test_planted_twins_are_alike_in_all_but_the_one_trait_that_is_named() -> None:
    found = invent(101, 7, twins=0.6)
    assert len(found.twins) == 60
    for person, twin in found.twins.items():
        assert found.twins[twin.of].of == person
        one, other = asdict(found.traits[person]), asdict(found.traits[twin.of])
        assert [name for name in one if one[name] != other[name]] == [twin.differs]
        if twin.differs != "topic":
            assert abs(one[twin.differs] - other[twin.differs]) >= FAR - 0.1 - 1e-9  # cut at 0 and 1
    assert {twin.differs for twin in found.twins.values()} == set(DIFFERENT)


def test_a_twin_differs_in_the_text_where_the_traits_do() -> None:
    found = invent(300, 3, twins=1.0)
    styles, order = style_of(found), list(found.traits)
    shows = {"length": "log_words", "warmth": "exclamations", "formality": "lower_starts", "expertise": "digits"}
    apart = {trait: {True: list[float](), False: list[float]()} for trait in shows}
    for place, person in enumerate(order):
        twin = found.twins[person]
        for trait, feature in shows.items():
            style = styles[feature]
            apart[trait][twin.differs == trait].append(abs(float(style[place] - style[order.index(twin.of)])))
    for trait, both in apart.items():
        assert np.mean(both[True]) > 2 * np.mean(both[False]), trait


def test_planting_twins_changes_one_of_each_pair_and_nobody_else() -> None:
    plain, planted = invent(40, 7, hidden=0.3), invent(40, 7, hidden=0.3, twins=0.5)
    assert plain.hidden == planted.hidden
    changed = {person for person in plain.traits if plain.traits[person] != planted.traits[person]}
    assert len(changed) == 10
    assert {planted.twins[person].of for person in changed} == set(planted.twins) - changed


def test_interactions_are_in_time_order_and_within_the_range() -> None:
    found = invent(30, 3, interactions=(2, 4))
    times = [row.time for row in found.interactions]
    assert times == sorted(times, key=lambda time: time or 0)
    assert {len(h) for h in group_by_person(found.interactions).values()} <= {2, 3, 4}


@pytest.mark.parametrize("wrong", [{"people": 0}, {"hidden": 1.5}, {"twins": -0.1}, {"interactions": (3, 2)}])
def test_impossible_populations_are_refused(wrong: Mapping[str, Any]) -> None:
    with pytest.raises(ExportError, match="cannot invent"):
        invent(**{"people": 3, "seed": 0, **wrong})


def test_command_writes_the_same_files_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "people.jsonl"
    command = ["export", "invent", str(path), "--people", "20", "--seed", "5", "--json"]
    first = CliRunner().invoke(main, command, catch_exceptions=False)
    assert json.loads(first.output)["people"] == 20
    before = [path.read_bytes(), path.with_name("truth.json").read_bytes()]
    CliRunner().invoke(main, command, catch_exceptions=False)
    assert before == [path.read_bytes(), path.with_name("truth.json").read_bytes()]
    assert sorted(p.name for p in path.parent.iterdir()) == ["people.jsonl", "truth.json"]


def test_written_histories_and_truth_read_back(tmp_path: Path) -> None:
    path = tmp_path / "people.jsonl"
    found = write_invented(path, 20, 5, hidden=0.25)
    assert tuple(load_history([path]).interactions) == found.interactions
    truth = json.loads(path.with_name("truth.json").read_text(encoding="utf-8"))
    assert truth["traits"] == {person: truth_row(found, person) for person in found.traits}


def test_sample_in_assets_is_what_the_generator_makes(tmp_path: Path) -> None:
    path = tmp_path / "people.jsonl"
    write_invented(path, int(SAMPLE["people"]), int(SAMPLE["seed"]), hidden=SAMPLE["hidden"])
    for name in ("people.jsonl", "truth.json"):
        made = path.with_name(name).read_bytes()
        assert files("copersona.assets").joinpath("invented", name).read_bytes() == made
    assert path.stat().st_size < 400_000


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    from copersona.export.measure.completion import hidden_facet_figures

    return hidden_facet_figures(0, encode).to_json()


@pytest.mark.export
def test_who_hides_their_topic_is_not_observed_on_subjects() -> None:
    from copersona.export.discovery.discover import discover
    from copersona.export.measure.completion import population_of

    found = invent(200, 1, hidden=0.25)
    histories = group_by_person(found.interactions)
    schema = discover(histories, encode, facets=5, seed=1).schema
    population = population_of(histories, schema, encode)
    subjects = schema.names.index("Subjects")
    seen = {
        person: profile.facets[subjects].reliability.observed
        for person, profile in zip(population.people, population.profiles, strict=True)
    }
    hiding = [seen[person] for person in found.hidden]
    showing = [seen[person] for person in found.traits if person not in found.hidden]
    assert np.mean(hiding) <= 0.05
    assert np.mean(showing) >= 0.75


@pytest.mark.export
def test_peers_tell_the_topic_that_was_never_shown(figures: dict[str, Any]) -> None:
    topic = figures["topic never shown"]
    assert topic["gain over no peers"]["low"] > 0
    assert topic["gain over random peers"]["low"] > 0
    assert topic["gain over no peers"]["people"] >= 40


@pytest.mark.export
@pytest.mark.parametrize("how", ["facet hidden", "facet hidden, features alone"])
def test_peers_tell_each_facet_hidden_in_turn(figures: dict[str, Any], how: str) -> None:
    assert len(figures[how]) == 5
    for name, row in figures[how].items():
        assert row["gain over no peers"]["low"] > 0, name
        assert row["gain over random peers"]["low"] > 0, name


@pytest.mark.export
def test_peers_tell_nothing_when_the_truth_is_dealt_out_anew() -> None:
    """The measure itself: with everyone given someone else's truth, no gain may show."""
    from copersona.export.discovery.discover import discover
    from copersona.export.measure.completion import completion_figures, population_of

    histories = group_by_person(invent(80, 4).interactions)
    schema = discover(histories, encode, facets=4, seed=0).schema
    population = population_of(histories, schema, encode)
    order = np.random.default_rng(0).permutation(len(population.people))
    for row in completion_figures(replace(population, truth=population.truth[order]), encode).values():
        assert row["gain over no peers"]["low"] <= 0
        assert row["gain over random peers"]["low"] <= 0
