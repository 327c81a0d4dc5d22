"""What is kept of a history from Python is what `copersona people import` keeps of the same file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from copersona.runtime.bundle.verify import open_manifest
from copersona.runtime.cli.main import main
from copersona.runtime.common.errors import HistoryError
from copersona.runtime.history.importers import read_history
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.people.store import Added, PeopleStore
from copersona.runtime.session.session import open_bundle


@pytest.fixture
def told(tiny_bundle: Path) -> tuple[str, list[str]]:
    """An item of the bundle of which three or more people use some words, and these words, the most telling first."""
    with closing(sqlite3.connect(tiny_bundle / "graph.sqlite")) as graph:
        rows = [(item, json.loads(words)) for item, words in graph.execute("SELECT item, words FROM items")]
    return next((item, [*words]) for item, words in rows if max(words.values(), default=0) >= 3)


@pytest.fixture
def history(tmp_path: Path, told: tuple[str, list[str]]) -> Path:
    """Ana, who took part and writes the item's first word; ben; carl, who says what it is himself."""
    item, words = told
    rows = [
        {"person": "ana", "output": f"All of it, {words[0]}!", "item": item},
        {"person": "ben", "output": "It hums.", "item": item},
        {"person": "ben", "output": "It does not.", "item": "no such item"},
        {"person": "carl", "output": "Fine.", "item": item, "input": "How is it?"},
    ]
    path = tmp_path / "history.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_the_door_keeps_what_the_command_keeps(tiny_bundle: Path, history: Path, tmp_path: Path) -> None:
    names = tmp_path / "pseudonyms.json"
    names.write_text(json.dumps({"ana": "p1", "someone else": "p2"}), encoding="utf-8")
    command = ["people", "import", str(tiny_bundle), str(history), "--enrolled-as", str(names)]
    done = CliRunner().invoke(main, command, env={"COPERSONA_HOME": str(tmp_path / "by command")})
    assert done.exit_code == 0, done.output
    with open_bundle(tiny_bundle) as session, PeopleStore(tmp_path / "by door" / "people.sqlite") as store:
        added = session.add(store, read_history(history), enrolled=json.loads(names.read_text(encoding="utf-8")))
        assert added == Added(people=3, new=4, repeated=0, enrolled=1)
        assert session.add(store, read_history(history)) == Added(people=3, new=0, repeated=4)
        with PeopleStore(tmp_path / "by command" / "people.sqlite") as other:
            for person in ("ana", "ben", "carl"):
                assert store.history(person) == other.history(person)
            population = open_manifest(tiny_bundle).population_id
            assert store.enrolled(population) == other.enrolled(population) == {"ana": "p1"}


def test_items_without_a_title_get_words_of_others(
    tiny_bundle: Path, history: Path, told: tuple[str, list[str]], tmp_path: Path
) -> None:
    with open_bundle(tiny_bundle) as session, PeopleStore(tmp_path / "people.sqlite") as store:
        session.add(store, read_history(history))
        words = {one.output: one.words for who in ("ana", "ben", "carl") for one in store.history(who)}
    assert words["It hums."]
    assert set(words["It hums."]) <= set(told[1])
    assert words["It does not."] == words["Fine."] == ()


def test_a_history_that_breaks_off_leaves_nothing(tiny_bundle: Path, tmp_path: Path) -> None:
    def broken() -> Iterator[Interaction]:
        yield Interaction("ana", "It hums.")
        raise HistoryError("history.jsonl:2: no JSON")

    with open_bundle(tiny_bundle) as session, PeopleStore(tmp_path / "people.sqlite") as store:
        with pytest.raises(HistoryError, match=r"history\.jsonl:2"):
            session.add(store, broken(), enrolled={"ana": "p1"})
        assert store.people() == []
        assert store.enrolled(session.manifest.bundle_id) == {}
