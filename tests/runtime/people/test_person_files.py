"""A person goes out of a store as a file and comes back as they were, or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from copersona.runtime.common.errors import HistoryError, PersonThere
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.people.person_files import person_json, read_person, read_person_file
from copersona.runtime.people.store import PeopleStore
from copersona.runtime.people.wishes import Target


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PeopleStore]:
    with PeopleStore(tmp_path / "people.sqlite") as store:
        fill(store)
        yield store


def fill(store: PeopleStore) -> None:
    """Ana with everything that is hers, and somebody else."""
    texts = [
        Interaction("ana", "One.\r\n\u00c4 second line \U0001f600", None, 2.0, "item", "A title", 4.5, ("a", "b")),
        Interaction("ana", "Without anything."),
        Interaction("ana", "Of the same time.", "Write.", 2.0),
    ]
    store.add([*texts, Interaction("bob", "Hm.")], population="p", peers={"ana": "peer 7", "bob": "peer 8"})
    store.adopt(Interaction("ana", "It was an answer, once.", "Write a text.", 5.0), "It was an answer.")
    store.correct("ana", "Tone", "plainly")
    store.pin("ana", texts[1].digest)
    store.leave_out("ana", Target("quote", "Of the same"))
    store.undo("ana", 1)
    store.forget_facet("ana", "Length")
    turn = store.begin_turn("ana", "Hello \U0001f600.", bundle="b")
    store.end_turn(turn, "An answer.", "whole", json.dumps({"request": "Hello.", "facets": [], "pieces": 3}))
    store.begin_turn("ana", "More.", conversation=turn.conversation, persona=False)
    store.end_left_turns()
    store.begin_turn("bob", "Hi.")
    store.end_left_turns()


def written(store: PeopleStore, name: str = "ana") -> str:
    return "".join(person_json(store.whole(name)))


def rows(store: PeopleStore, name: str = "ana") -> list[list[Any]]:
    """All that tables hold of a person, but for numbers that only one store knows."""
    queries = (
        "SELECT digest, output, input, time, item, title, rating, words, adopted FROM interactions "
        "WHERE person = ? ORDER BY seq",
        "SELECT number, time, kind, about, target, words, undoes FROM revisions WHERE person = ? ORDER BY number",
        "SELECT added, last_revision FROM people WHERE name = ?",
        "SELECT id, title, created, changed FROM conversations WHERE person = ? ORDER BY id",
        "SELECT role, text, m.time, state, persona, bundle, receipt FROM messages m JOIN conversations c "
        "ON c.id = conversation WHERE person = ? ORDER BY number",
        "SELECT population, peer FROM enrolments WHERE person = ? ORDER BY population",
        "SELECT bundle, peer FROM bundle_enrolments WHERE person = ? ORDER BY bundle",
    )
    return [store._db.execute(query, (name,)).fetchall() for query in queries]


def test_a_person_comes_back_as_they_were(store: PeopleStore, tmp_path: Path) -> None:
    store._db.execute("INSERT INTO bundle_enrolments (bundle, person, peer) VALUES ('old', 'ana', 'peer 9')")
    before, text = rows(store), written(store)
    assert all(before), "there is something of each kind"
    with PeopleStore(tmp_path / "other.sqlite") as other:
        other.restore(read_person(text))
        assert rows(other) == before
        assert written(other) == text
        assert other.wishes("ana") == store.wishes("ana")
        assert other.history("ana") == store.history("ana")
    store.forget("ana")
    store.restore(read_person(text))
    assert rows(store) == before


def test_somebody_who_is_there_is_left_as_they_are(store: PeopleStore) -> None:
    text, before = written(store), rows(store)
    with pytest.raises(PersonThere, match="'ana' is here already"):
        store.restore(read_person(text))
    assert rows(store) == before


def test_conversations_whose_id_another_person_has_get_another(store: PeopleStore) -> None:
    mine = json.loads(written(store)) | {"person": "cem"}
    store.restore(read_person(json.dumps(mine)))
    ids = {one.id for name in ("ana", "cem") for one in store.conversations(name)}
    assert len(ids) == 2
    store.forget("cem")
    assert len(store.conversations("ana")) == 1


def first(part: str, **change: Any) -> Callable[[Any], Any]:
    return lambda body: body | {part: [body[part][0] | change, *body[part][1:]]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda body: body | {"format": "x"}, "format"),
        (lambda body: body | {"version": 2}, "version 2, this copersona reads 1"),
        (lambda body: body | {"person": " "}, "name"),
        (lambda body: body | {"texts": None}, "texts"),
        (lambda body: body | {"last_revision": 1}, "revision 2 is not in its order"),
        (lambda body: body | {"last_revision": True}, "last_revision"),
        (lambda body: body | {"enrolments": [{}]}, "enrolments.population"),
        (first("texts", output=""), r"texts\[0\].* blank"),
        (first("texts", output="\ud800"), r"texts\[0\].output"),
        (first("texts", time=1e30), r"texts\[0\].*time"),
        (first("texts", rating="4"), r"texts\[0\].rating"),
        (first("texts", adopted=1), r"texts\[0\].adopted"),
        (first("revisions", kind="erase"), r"revisions\[0\].kind"),
        (first("revisions", target={}), r"revisions\[0\].target"),
        (first("revisions", target={"person": "x"}), r"revisions\[0\].target"),
        (first("revisions", number=0), r"revisions\[0\].number"),
        (first("revisions", words="a\nb"), "2 lines"),
        (first("conversations", id="x"), r"conversations\[0\].id"),
        (lambda body: [], "format"),
    ],
)
def test_a_file_of_something_else_is_refused_in_one_line(
    store: PeopleStore, change: Callable[[Any], Any], said: str
) -> None:
    text = json.dumps(change(json.loads(written(store))))
    with pytest.raises(HistoryError, match=said) as raised:
        read_person(text, "ana.json")
    assert str(raised.value).startswith("ana.json: no export of a person (")


def test_what_fails_in_the_middle_leaves_nothing(store: PeopleStore, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read_person(json.dumps(json.loads(written(store)) | {"person": "cem"}))
    monkeypatch.setattr(store, "_take_conversations", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        store.restore(whole)
    assert not store.knows("cem")
    assert not any(rows(store, "cem"))


def test_a_file_is_cut_or_no_text(tmp_path: Path, store: PeopleStore) -> None:
    path = tmp_path / "ana.json"
    path.write_text(written(store)[:-10], encoding="utf-8")
    with pytest.raises(HistoryError, match="no export of a person"):
        read_person_file(path)
    path.write_bytes(b"\xff")
    with pytest.raises(HistoryError, match="byte 1 is not UTF-8"):
        read_person_file(path)


TEXT = st.text(st.characters(codec="utf-8"), max_size=20)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.builds(
            Interaction, st.just("zoe"), TEXT.map(lambda text: f"x{text}"), st.none() | TEXT,
            st.none() | st.floats(-1e9, 1e10), st.none() | TEXT.map(lambda text: f"i{text}"), st.none() | TEXT,
            st.none() | st.floats(0, 5), st.lists(TEXT, max_size=2).map(tuple),
        ),
        min_size=1, max_size=5,
    )
)  # fmt: skip
def test_any_texts_come_back(store: PeopleStore, texts: list[Interaction]) -> None:
    store.add(texts)
    before, text = rows(store, "zoe"), written(store, "zoe")
    store.forget("zoe")
    store.restore(read_person(text))
    assert rows(store, "zoe") == before
    store.forget("zoe")
