"""Facets by a language model: what it proposes is measured, and what does not hold is sent back with the reason."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from copersona.export.discovery.candidates import Discovery
from copersona.export.discovery.clusters import MIN_PEOPLE
from copersona.export.discovery.discover_model import ROUNDS, RUN, discover_by_model
from copersona.export.discovery.families import FAMILIES
from copersona.runtime.chat.ask import Ask, Reply
from copersona.runtime.chat.ledger import Ledger, ReplyFile
from copersona.runtime.common.arrays import F32
from copersona.runtime.common.errors import ExportError
from copersona.runtime.history.importers import load_history
from copersona.runtime.history.interactions import History, group_by_person, outputs
from copersona.runtime.profile.facets import Profile, schema_from_json, schema_to_json
from copersona.runtime.profile.profiler import profile_history
from copersona.runtime.profile.segments import words_of
from copersona.runtime.profile.style import shares_run

pytestmark = pytest.mark.export

SAMPLE = Path(__file__).resolve().parents[3] / "assets" / "invented" / "people.jsonl"
TOPICS = (("flour", "pastry", "crumb", "crust"), ("snails", "shrimp", "coral", "heater"))


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


def proposals() -> list[dict[str, Any]]:
    """A sensible model's: families of style features in its own words, those first that say different things."""
    return [
        {
            "name": f.name.upper(),
            "definition": f.definition,
            "rubric": "Judge by the signals.",
            "kind": "ordinal",
            "values": list(f.values[:4]),
            "features": [{"name": name, "sign": "+"} for name, _ in f.features],
            "words": [],
            "clusters": [0, 1],
        }
        for f in (FAMILIES[n] for n in (0, 1, 2, 5, 6))
    ]


class Fake:
    """A model that answers each round in turn, the last one over again."""

    def __init__(self, *rounds: object) -> None:
        self.name, self.asks, self._rounds = "fake", list[Ask](), list(rounds)

    def complete(self, ask: Ask) -> Reply:
        self.asks.append(ask)
        found = self._rounds.pop(0) if len(self._rounds) > 1 else self._rounds[0]
        return Reply(found if isinstance(found, str) else json.dumps({"facets": found}))


Find = Callable[..., Discovery]


@pytest.fixture
def find(histories: dict[str, History], tmp_path: Path) -> Find:
    def run(model: Fake, facets: int = 3, replies: str = "replies") -> Discovery:
        ledger = Ledger(model, ReplyFile(tmp_path / replies))
        return discover_by_model(histories, encode, ledger, facets=facets, seed=0)

    return run


def test_proposals_become_a_schema_that_needs_no_model(find: Find, histories: dict[str, History]) -> None:
    model = Fake(proposals())
    found = find(model, facets=4)
    assert schema_from_json(schema_to_json(found.schema)) == found.schema
    assert len(found.schema) == 4
    assert len(model.asks) == 1
    for facet in found.schema.facets:
        assert facet.name.isupper()
        assert len(facet.cuts) == 3
        assert facet.separates
        assert found.figures[facet.name]["agreement"] > 0
    profiles: list[Profile] = [profile_history(outputs(h), found.schema, encode) for h in histories.values()]
    assert np.mean([p.reliabilities >= 2 for p in profiles]) > 0.2


def test_a_rerun_calls_nothing_and_finds_the_same(find: Find) -> None:
    one = find(Fake(proposals()))
    second = Fake("never asked")
    assert schema_to_json(find(second).schema) == schema_to_json(one.schema)
    assert second.asks == []


def test_the_model_is_shown_the_clusters_and_no_ones_id(find: Find, histories: dict[str, History]) -> None:
    model = Fake(proposals())
    found = find(model)
    body = json.loads(model.asks[0].messages[1].content)
    assert [c["people"] for c in body["clusters"]] == [c.size for c in found.clusters]
    assert all(c["terms"] and c["samples"] and c["style"] for c in body["clusters"])
    for message in model.asks[0].messages:
        assert not [person for person in histories if person in message.content]


def categorical(words: list[list[str]]) -> dict[str, Any]:
    return proposals()[0] | {
        "name": "Topic", "kind": "categorical", "values": ["baking", "fish"], "features": [], "words": words,
    }  # fmt: skip


def test_a_categorical_facet_is_carried_by_words_that_enough_people_use(
    find: Find, histories: dict[str, History]
) -> None:
    found = find(Fake([categorical([[*TOPICS[0], "zzrare"], list(TOPICS[1])]), *proposals()]))
    facet, *_ = found.schema.facets
    assert facet.kind == "categorical"
    assert facet.values == ("baking", "fish")
    by_person = [{w for o in outputs(h) for w in words_of(o)} for h in histories.values()]
    lists = [feature.words for feature in found.schema.features if feature.words]
    assert len(lists) == 2
    assert "zzrare" not in lists[0]
    for word in (word for words in lists for word in words):
        assert sum(word in words for words in by_person) >= MIN_PEOPLE


def _first_words(histories: dict[str, History], count: int) -> str:
    return " ".join(words_of(next(iter(histories.values()))[0].output)[:count])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"clusters": [0, 99]}, "cites clusters that are not there"),
        ({"clusters": []}, "cites clusters that are not there"),
        ({"features": [{"name": "wit", "sign": "+"}]}, "style features that are not measured"),
        ({"features": []}, "needs style features or one word list"),
        ({"values": ["one"]}, "2 to 6 values"),
        ({"values": ["one", "one"]}, "2 to 6 values"),
        ({"values": ["one", ""]}, "its value has 0 characters"),
        ({"definition": "x" * 301}, "its definition has 301 characters"),
        ({"rubric": "ask ann@example.com"}, "holds an address"),
        ({"words": [["zzrare", "zzother", "the"]]}, "fewer than 3 single words that at least 8 people use"),
        ({"kind": "categorical"}, "one word list for every value"),
        ({"kind": "round"}, "neither ordinal nor categorical"),
        ({"name": ""}, "empty or taken"),
        ({"features": [{"name": "commas", "sign": "?"}]}, "of the wrong type"),
        ({"clusters": "all"}, "of the wrong type"),
    ],
)
def test_what_does_not_hold_is_sent_back_with_the_reason(change: dict[str, Any], reason: str, find: Find) -> None:
    good = proposals()
    model = Fake([{**good[0], **change}, good[1], good[2]], [good[3]])
    found = find(model)
    assert [f.name for f in found.schema.facets] == [good[n]["name"] for n in (1, 2, 3)]
    said = model.asks[1].messages[-1].content
    assert reason in said
    assert '"facets wanted now": 1' in said


def test_a_facet_that_says_the_same_as_another_is_sent_back(find: Find) -> None:
    good = proposals()
    model = Fake([good[0], {**good[0], "name": "Again"}, good[1]], [good[2]])
    find(model)
    assert "says the same of people as 'LENGTH AND DETAIL'" in model.asks[1].messages[-1].content


@pytest.mark.parametrize("answer", ["", "I would rather not.", "{}", '{"facets": 3}', '{"facets": [1, 2]}'])
def test_an_answer_of_another_form_is_asked_for_again(answer: str, find: Find) -> None:
    model = Fake(answer, proposals())
    assert len(find(model).schema) == 3
    assert len(model.asks) == 2


def test_a_model_that_finds_too_few_is_one_clear_line(find: Find) -> None:
    model = Fake(proposals()[:2])
    with pytest.raises(ExportError, match=r"asked for 3 facets, 2 of what fake proposed in 4 rounds hold .*taken") as e:
        find(model)
    assert len(model.asks) == ROUNDS
    assert "\n" not in str(e.value)


def test_no_run_of_anybodys_words_enters_the_schema(find: Find, histories: dict[str, History]) -> None:
    stolen, short = _first_words(histories, RUN), _first_words(histories, RUN - 1)
    good = proposals()
    for what in ("definition", "rubric", "name"):
        model = Fake([{**good[0], what: f"People say {stolen}"[:300]}, *good[1:3]], [good[3]])
        text = schema_to_json(find(model, replies=what).schema)
        written = [item.output for history in histories.values() for item in history]
        assert not shares_run(text, written, RUN)
    model = Fake([{**good[0], "definition": f"People say {short}"}, *good[1:3]])
    assert len(find(model).schema) == 3
