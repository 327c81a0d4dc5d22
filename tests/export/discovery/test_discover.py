"""Facet discovery: M facets that do not repeat, from training text alone, with nobody's sentences in them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from copersona.export.data.splits import LEAST_PEOPLE, make_splits, seen_history, training_people
from copersona.export.discovery.candidates import REDUNDANT, Discovery
from copersona.export.discovery.clusters import MIN_PEOPLE, document, term_matrix
from copersona.export.discovery.discover import discover
from copersona.runtime.common.arrays import F32
from copersona.runtime.common.errors import ExportError
from copersona.runtime.history.importers import load_history
from copersona.runtime.history.interactions import History, Interaction, clean_text, group_by_person, outputs
from copersona.runtime.profile.facets import schema_from_json, schema_to_json
from copersona.runtime.profile.profiler import facet_score, measure, standardise
from copersona.runtime.profile.segments import letters, sentences_of, words_of

pytestmark = pytest.mark.export

SAMPLE = Path(__file__).resolve().parents[3] / "assets" / "invented" / "people.jsonl"


def encode(text: str) -> F32:
    """A stand-in encoder: hashed bag of words as a unit vector."""
    vector = np.zeros(64, np.float32)
    for word in words_of(text):
        digest = hashlib.sha256(word.encode()).digest()
        vector[digest[0] % 64] += 1 if digest[1] % 2 else -1
    return vector / np.float32(max(float(np.linalg.norm(vector)), 1e-9))


@pytest.fixture(scope="module")
def histories() -> dict[str, History]:
    return group_by_person(load_history([SAMPLE]).interactions)


@pytest.fixture(scope="module")
def found(histories: dict[str, History]) -> Discovery:
    return discover(histories, encode, facets=5, seed=0)


def test_as_many_facets_as_asked_for_that_hold_together(found: Discovery) -> None:
    assert len(found.schema) == 5
    assert schema_from_json(schema_to_json(found.schema)) == found.schema
    used = {name for facet in found.schema.facets for name in facet.features}
    assert used == {feature.name for feature in found.schema.features}
    for facet in found.schema.facets:
        assert facet.definition
        assert facet.rubric
        assert facet.separates
        assert found.figures[facet.name]["agreement"] > 0


def test_the_facets_do_not_repeat_each_other(found: Discovery, histories: dict[str, History]) -> None:
    z = [standardise(measure(outputs(h), found.schema).values, found.schema) for h in histories.values()]
    ordinal = [f for f in found.schema.facets if f.kind == "ordinal"]
    assert len(ordinal) >= 4
    scores = np.array([[facet_score(f, one, found.schema) for f in ordinal] for one in z])
    correlations = np.abs(np.corrcoef(scores.T) - np.eye(len(ordinal)))
    assert correlations.max() <= REDUNDANT + 0.05  # z is clipped here and is not in discovery
    features = [name for facet in found.schema.facets for name in facet.features]
    assert len(set(features)) == len(features)


def test_every_value_of_a_facet_is_held_by_about_as_many_people(
    found: Discovery, histories: dict[str, History]
) -> None:
    z = [standardise(measure(outputs(h), found.schema).values, found.schema) for h in histories.values()]
    for facet in (f for f in found.schema.facets if f.kind == "ordinal"):
        scores = [facet_score(facet, one, found.schema) for one in z]
        shares = np.bincount(np.searchsorted(facet.cuts, scores, side="right"), minlength=5) / len(z)
        np.testing.assert_allclose(shares, 0.2, atol=0.06)


def test_the_schema_holds_nobodys_sentences_and_no_rare_words(found: Discovery, histories: dict[str, History]) -> None:
    text = schema_to_json(found.schema)
    written = [item.output for history in histories.values() for item in history]
    sentences = {s for output in written for s in sentences_of(output) if len(words_of(s)) >= 4}
    assert len(sentences) > 500
    assert not [s for s in sentences if s in text]
    by_person = [{w for o in outputs(h) for w in words_of(o)} for h in histories.values()]
    for feature in found.schema.features:
        for word in feature.words:
            assert sum(word in words for words in by_person) >= MIN_PEOPLE, word
    assert not [person for person in histories if person in text]


def test_a_word_of_one_person_enters_no_facet(histories: dict[str, History]) -> None:
    marked = {
        person: tuple(Interaction(person, f"{i.output} zorb{n}ia zorb{n}ia zorb{n}ia", time=i.time) for i in history)
        for n, (person, history) in enumerate(histories.items())
    }
    schema = discover(marked, encode, facets=4, seed=0).schema
    assert "zorb" not in schema_to_json(schema)


def test_the_same_seed_gives_the_same_facets_and_clusters(found: Discovery, histories: dict[str, History]) -> None:
    again = discover(histories, encode, facets=5, seed=0)
    assert schema_to_json(again.schema) == schema_to_json(found.schema)
    assert again.clusters == found.clusters
    assert sum(c.size for c in found.clusters) == len(found.assignment) == len(histories)


def test_too_few_people_is_one_clear_line(histories: dict[str, History]) -> None:
    few = dict(list(histories.items())[:23])
    with pytest.raises(ExportError, match="at least 24 people with text, the training set has 23"):
        discover(few, encode, facets=3, seed=0)
    silent = dict(list(histories.items())[:40])
    silent = {p: h if i < 20 else (Interaction(p, ""),) for i, (p, h) in enumerate(silent.items())}
    with pytest.raises(ExportError, match="the training set has 20"):
        discover(silent, encode, facets=3, seed=0)


def test_more_facets_than_the_population_supports_is_one_clear_line(histories: dict[str, History]) -> None:
    with pytest.raises(ExportError, match=r"asked for 30 facets, the population supports \d+ .* use --facets \d+$"):
        discover(histories, encode, facets=30, seed=0)


@pytest.mark.parametrize("text", ["ok", "👍", "the the the", "Я очень рад этой гитаре"])
def test_people_who_all_write_the_same_support_no_facets(text: str) -> None:
    same = {f"p{n}": tuple(Interaction(f"p{n}", text, time=float(i)) for i in range(4)) for n in range(30)}
    with pytest.raises(ExportError, match="asked for 5 facets, the population supports 0"):
        discover(same, encode, facets=5, seed=0)


def test_people_with_one_interaction_each_in_another_script_still_give_facets(monkeypatch: pytest.MonkeyPatch) -> None:
    # so few texts are factorised exactly, and rounding may leave an error below zero, of which a root is taken
    monkeypatch.setattr("sklearn.decomposition._nmf._beta_divergence", lambda *_, **__: np.sqrt(np.float64(-1e-17)))
    texts = [
        "Очень хорошая гитара!",
        "Плохо. Струны порвались, звук глухой, деньги на ветер...",
        "ок",
        "Да, беру (снова)",
    ]
    people = {f"p{n}": (Interaction(f"p{n}", texts[n % 4] * (1 + n % 3)),) for n in range(32)}
    found = discover(people, encode, facets=3, seed=0)
    assert len(found.schema) == 3
    assert {row["agreement"] for row in found.figures.values()} == {0.0}


def test_a_document_is_the_latest_interactions_cut_at_a_fixed_length() -> None:
    history = tuple(Interaction("p", f"text {i}.", title=f"title {i}", rating=4.5, time=float(i)) for i in range(12))
    found = document(history)
    assert found.startswith("4.5/5 title 11\ntext 11.")
    assert "text 4." in found
    assert "text 3." not in found
    assert len(document((Interaction("p", "x" * 10_000),))) == 2_400


DENSE = {
    "Chinese": ("我今天早上走到市场买了两个苹果", "我的自行车又爆胎了所以我坐公交车", "孩子们跑到湿湿的草地上玩耍"),
    "Thai": ("วันนี้ฉันไปตลาดและซื้อแอปเปิ้ลสองลูก", "จักรยานของฉันยางแบนอีกแล้ว", "เด็กๆออกไปเล่นบนสนามหญ้า"),
    "Japanese": ("今日は市場へ行ってりんごを買った", "自転車がまたパンクした", "子供たちは草の上で遊んだ"),
}  # fmt: skip


@pytest.mark.parametrize("language", DENSE)
def test_no_clause_of_a_script_without_blanks_stands_as_a_word(language: str) -> None:
    clauses = DENSE[language]
    _, words = term_matrix([f"{clauses[n % 3]}。" for n in range(48)])
    assert words
    for word in words:
        assert letters(word) == 2
        assert any(word in clause for clause in clauses)


def test_words_of_scripts_with_marks_are_whole_in_word_lists() -> None:
    texts = ("आज सुबह बाज़ार में पनीर ख़रीदा", "साइकिल फिर पंक्चर हो गई", "बारिश रुकी और बच्चे खेलने निकले")
    _, words = term_matrix([texts[n % 3] for n in range(48)])
    assert set(words) == {word for text in texts for word in words_of(clean_text(text)) if letters(word) >= 3}


def test_as_many_people_as_the_guide_asks_for_are_enough() -> None:
    histories = group_by_person(load_history([SAMPLE]).interactions)
    for seed in range(3):
        chosen = {person: histories[person] for person in list(histories)[seed : seed + LEAST_PEOPLE]}
        splits = make_splits(chosen, seed)
        known = {person: seen_history(chosen, splits, person) for person in training_people(splits)}
        assert len(discover(known, encode, facets=3, seed=seed).schema) == 3
