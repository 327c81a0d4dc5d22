"""Kept conversations: a person's own, found again, exported and imported whole, gone with them, and never evidence."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copersona.runtime.chat.ask import Message
from copersona.runtime.common.errors import HistoryError, UnknownConversation, UnknownPerson
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.people.conversation_files import export_json, export_markdown, read_export
from copersona.runtime.people.conversations import Conversation, KeptMessage, new_id, turns
from copersona.runtime.people.store import PeopleStore

from .kinds import readable, script

pytestmark = pytest.mark.usefixtures("kind")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PeopleStore]:
    with PeopleStore(tmp_path / "home" / "people.sqlite") as store:
        store.add([Interaction("ann", "one"), Interaction("bob", "two")])
        yield store


def talk(store: PeopleStore, said: str, answer: str, conversation: str | None = None, person: str = "ann") -> str:
    """One turn that is kept whole; its conversation."""
    turn = store.begin_turn(person, said, conversation=conversation, bundle="b" * 64)
    store.end_turn(turn, answer, "whole", '{"request": "x"}')
    return turn.conversation


def texts(store: PeopleStore, conversation: str, person: str = "ann") -> list[str]:
    return [message.text for message in store.conversation(person, conversation)[1]]


def test_a_turn_is_kept_before_it_is_answered_and_its_answer_as_it_comes(store: PeopleStore) -> None:
    turn = store.begin_turn("ann", "Write to\nthe landlord.", bundle="b1")
    one, (said, answer) = store.conversation("ann", turn.conversation)
    assert (one.person, one.title, one.messages) == ("ann", "Write to the landlord.", 2)
    assert (said.role, said.text, said.state, said.number) == ("user", "Write to\nthe landlord.", "whole", turn.said)
    assert (answer.role, answer.text, answer.state, answer.number) == ("assistant", "", "writing", turn.answer)
    store.keep_so_far({turn.answer: "Dear"})
    assert texts(store, turn.conversation)[1] == "Dear"
    store.end_turn(turn, "Dear landlord", "whole", '{"seed": 1}')
    answer = store.conversation("ann", turn.conversation)[1][1]
    assert (answer.text, answer.state, answer.receipt, answer.bundle) == ("Dear landlord", "whole", '{"seed": 1}', "b1")
    store.keep_so_far({turn.answer: "late"})  # written after the end
    assert texts(store, turn.conversation)[1] == "Dear landlord"
    assert store.conversation("ann", turn.conversation)[0].changed >= one.changed


def test_a_prompt_gets_the_turns_without_answers_of_which_nothing_was_written(store: PeopleStore) -> None:
    id_ = talk(store, "one", "two")
    turn = store.begin_turn("ann", "three", conversation=id_)
    store.end_turn(turn, "", "stopped")
    assert turns(store.conversation("ann", id_)[1]) == [
        Message("user", "one"),
        Message("assistant", "two"),
        Message("user", "three"),
    ]


def test_another_persons_conversation_is_as_unknown_as_one_that_never_was(store: PeopleStore) -> None:
    id_ = talk(store, "secret", "answer")
    uses = [
        lambda who, id_: store.conversation(who, id_),
        lambda who, id_: store.conversations(who, before=id_),
        lambda who, id_: store.begin_turn(who, "x", conversation=id_),
        lambda who, id_: store.rename_conversation(who, id_, "x"),
        lambda who, id_: store.delete_conversation(who, id_),
    ]
    for use in uses:
        said = []
        for wrong in (id_, "0" * 32):
            with pytest.raises(UnknownConversation) as caught:
                use("bob", wrong)
            said.append(str(caught.value).replace(wrong, "ID"))
        assert said[0] == said[1]
        with pytest.raises(UnknownPerson):
            use("zoe", id_)
    assert store.search_conversations("bob", "secret") == []
    assert texts(store, id_) == ["secret", "answer"]


def test_lists_go_by_last_change_page_by_page(store: PeopleStore) -> None:
    ids = [talk(store, f"no. {n}", "x") for n in range(5)]
    talk(store, "again", "y", ids[1])
    found = [one.id for one in store.conversations("ann")]
    assert found == [ids[1], ids[4], ids[3], ids[2], ids[0]]
    pages = [store.conversations("ann", limit=2)]
    while len(pages[-1]) == 2:
        pages.append(store.conversations("ann", before=pages[-1][-1].id, limit=2))
    assert [one.id for page in pages for one in page] == found
    assert store.conversations("bob") == []


def test_a_search_finds_all_words_in_any_script_and_case_the_latest_first(store: PeopleStore) -> None:
    first = talk(store, "Die STRASSE nach Zu\u0308rich", "Ein Weg.")
    second = talk(store, "我喜欢吉他", "x" * 100 + " Guitars, in Zürich too." + "y" * 100)
    found = store.search_conversations("ann", "zürich")
    assert [(one.conversation, one.role) for one in found] == [(second, "assistant"), (first, "user")]
    assert found[0].piece.startswith("...x")
    assert "Guitars, in Zürich too." in found[0].piece
    assert [one.conversation for one in store.search_conversations("ann", "straße NACH")] == [first]
    assert [one.conversation for one in store.search_conversations("ann", "吉他")] == [second]
    assert store.search_conversations("ann", "吉他 guitars") == []  # of two messages
    store.rename_conversation("ann", second, "Blue heron")
    assert [one.role for one in store.search_conversations("ann", "heron")] == ["user"]
    assert store.search_conversations("ann", "  ") == []
    assert store.search_conversations("ann", "100% _") == []
    assert store.search_conversations("ann", "zürich", before=found[0].number, limit=1) == found[1:]


def test_an_edited_turn_takes_the_place_of_what_came_behind_and_no_answer_goes_on_in_it(store: PeopleStore) -> None:
    id_ = talk(store, "one", "1")
    old = store.begin_turn("ann", "two", conversation=id_)
    new = store.begin_turn("ann", "zwei", conversation=id_, instead=old.said)
    assert old.answer not in (new.said, new.answer)
    store.keep_so_far({old.answer: "stray"})
    store.end_turn(old, "stray", "whole")
    store.end_turn(new, "2", "whole")
    assert texts(store, id_) == ["one", "1", "zwei", "2"]


def test_what_a_kill_left_as_being_written_counts_as_stopped(store: PeopleStore) -> None:
    turn = store.begin_turn("ann", "one")
    store.keep_so_far({turn.answer: "half"})
    store.end_left_turns()
    assert store.conversation("ann", turn.conversation)[1][1].state == "stopped"
    store.end_turn(turn, "whole after all", "whole")  # another process was at it
    assert store.conversation("ann", turn.conversation)[1][1].state == "whole"


def test_promise_chats_are_gone_with_the_person_or_one_by_one(store: PeopleStore) -> None:
    for who, word in (("ann", "heron"), ("bob", "goose")):
        for n in range(40):
            id_ = talk(store, f"{word}-{n} " * (n + 1), f"answer {word} " * (3 * n + 1), person=who)
            talk(store, f"more {word}", f"more {word} " * 50, id_, person=who)
            store.rename_conversation(who, id_, f"titled {word} {n}")
    one = talk(store, "a canary", "canary " * 400)
    turn = store.begin_turn("ann", "a heron")
    store.keep_so_far({turn.answer: "heron " * 500})
    assert b"canary" in readable(store.path)
    assert store.delete_conversation("ann", one) == ""
    assert b"canary" not in readable(store.path)
    assert len(store.conversations("ann")) == 41
    store.forget("ann")
    store.end_turn(turn, "heron again", "whole", '{"request": "heron"}')
    store.keep_so_far({turn.answer: "heron again"})
    for file in store.path.parent.rglob("*"):
        if file.is_file():
            assert b"heron" not in readable(file)
    assert len(store.conversations("bob")) == 40
    store.check()


KILLED = """
import os, signal, sys
from copersona.runtime.people.store import PeopleStore
store = PeopleStore(sys.argv[1])
turn = store.begin_turn("ann", "acknowledged", conversation=sys.argv[2])
store.keep_so_far({turn.answer: "so far"})
store._db.set_trace_callback(lambda sql: sql.startswith("COMMIT") and os.kill(os.getpid(), signal.SIGKILL))
store.begin_turn("ann", "not acknowledged", conversation=sys.argv[2])
"""


def test_promise_kill_loses_no_message(store: PeopleStore) -> None:
    id_ = talk(store, "one", "1")
    ended = subprocess.run([sys.executable, "-c", script(KILLED), str(store.path), id_], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert texts(store, id_) == ["one", "1", "acknowledged", "so far"]
    store.check()


LINES = st.text(st.characters(codec="utf-8"), max_size=40)
MESSAGES = st.builds(
    KeptMessage,
    role=st.sampled_from(["system", "user", "assistant"]),
    text=LINES,
    time=st.floats(0, 4e9),
    state=st.sampled_from(["whole", "stopped"]),
    persona=st.booleans(),
    bundle=st.sampled_from(["", "b" * 64]),
    receipt=st.none() | st.dictionaries(LINES, LINES | st.floats(-1e300, 1e300)).map(
        lambda body: json.dumps(body, ensure_ascii=False)
    ),
)  # fmt: skip


@settings(max_examples=10)
@given(st.lists(st.tuples(LINES, st.lists(MESSAGES, max_size=4)), max_size=3))
def test_an_export_comes_back_without_loss(
    tmp_path_factory: pytest.TempPathFactory, told: list[tuple[str, list[KeptMessage]]]
) -> None:
    made = [(Conversation(new_id(), "ann", " ".join(title.split()), 1.5, 2.5), rows) for title, rows in told]
    with PeopleStore(tmp_path_factory.mktemp("export") / "p.sqlite") as store:
        store.add([Interaction("ann", "x"), Interaction("bob", "x")])
        assert store.import_conversations("ann", made) == (len(made), 0)

        def export(person: str) -> str:
            rows = sorted(store.conversations(person), key=lambda one: one.title)
            return "".join(export_json(store.conversation(person, one.id) for one in rows))

        first = export("ann")
        whole = read_export(first, "ann")
        assert store.import_conversations("ann", whole) == (0, len(made))
        for one, _ in made:
            store.delete_conversation("ann", one.id)
        assert store.import_conversations("ann", read_export(first, "ann")) == (len(made), 0)
        assert export("ann") == first
        assert store.import_conversations("bob", read_export(first, "bob")) == (len(made), 0)  # under ids of its own
        ids = [{one.id for one in store.conversations(who)} for who in ("ann", "bob")]
        assert not ids[0] & ids[1]


def good() -> dict[str, object]:
    message = {"role": "user", "text": "a", "time": 1, "state": "whole", "persona": True, "bundle": "", "receipt": None}
    row = {"id": "0" * 32, "title": "t", "created": 1, "changed": 2, "messages": [message]}
    return {"format": "copersona-conversations", "version": 1, "conversations": [row]}


BAD: dict[str, object] = {
    "id": "../../x", "title": 7, "created": True, "changed": 1e300, "messages": {},
    "role": "tool", "text": "\ud800", "time": "now", "state": "lost", "persona": 1, "bundle": "b" * 201, "receipt": [],
    "format": "csv", "version": 2, "conversations": None,
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_export_is_refused_and_named(name: str, store: PeopleStore) -> None:
    assert len(read_export(json.dumps(good()), "ann")) == 1
    body = good()
    row = body["conversations"][0]  # type: ignore[index]
    place = next(one for one in (body, row, row["messages"][0]) if name in one)
    place[name] = BAD[name]
    with pytest.raises(HistoryError, match=f"file.json: no export of conversations .*{name}"):
        store.import_conversations("ann", read_export(json.dumps(body), "ann", "file.json"))
    assert store.conversations("ann") == []


JSON = st.recursive(
    st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


@given(JSON)
def test_any_json_is_read_or_refused_in_one_line(body: object) -> None:
    with pytest.raises(HistoryError) as caught:
        read_export(json.dumps(body), "ann")
    assert "\n" not in str(caught.value)


def test_markdown_is_for_people(store: PeopleStore) -> None:
    id_ = talk(store, "Where?", "Here.\n\n* there")
    turn = store.begin_turn("ann", "When?", conversation=id_, persona=False)
    store.end_turn(turn, "Now", "stopped")
    lines = "".join(export_markdown([store.conversation("ann", id_)])).splitlines()
    assert lines[0] == "# Where?"
    assert "UTC" in lines[2]
    assert lines[4:] == [
        "**ann**", "", "Where?", "", "**Answer**", "", "Here.", "", "* there", "", "**ann**", "", "When?", "",
        "**Answer, as nobody** (stopped)", "", "Now", "",
    ]  # fmt: skip


def test_nobody_of_that_name_keeps_nothing(store: PeopleStore) -> None:
    for use in (
        lambda: store.begin_turn("zoe", "x"),
        lambda: store.conversations("zoe"),
        lambda: store.search_conversations("zoe", "x"),
        lambda: store.import_conversations("zoe", [(Conversation(new_id(), "zoe", "t", 1, 2), [])]),
    ):
        with pytest.raises(UnknownPerson, match="zoe"):
            use()


def test_sealing_takes_conversations_along_and_gives_no_number_twice(tmp_path: Path) -> None:
    pytest.importorskip("sqlcipher3")
    pytest.importorskip("cryptography")
    from copersona.runtime.people import sealing

    from .kinds import PASS, is_sealed_run

    if is_sealed_run():
        pytest.skip("begins with a plain store")
    path = tmp_path / "home" / "people.sqlite"
    with PeopleStore(path) as store:
        store.add([Interaction("ann", "one")])
        id_ = talk(store, "a", "b")
        last = store.begin_turn("ann", "c", conversation=id_)
        store.begin_turn("ann", "d", conversation=id_, instead=last.said)
        before = store.conversation("ann", id_)
        most = before[1][-1].number
        store.delete_conversation("ann", talk(store, "gone", "gone"))
    sealing.seal(path, PASS)
    with PeopleStore(path, passphrase=PASS) as store:
        assert store.conversation("ann", id_) == before
    sealing.unseal(path, PASS)
    with PeopleStore(path) as store:
        assert store.conversation("ann", id_) == before
        assert store.begin_turn("ann", "e").said > most + 2
