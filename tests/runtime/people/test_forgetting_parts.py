"""A text or a facet that was forgotten is in no byte of anything: of a plain store and of a sealed one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from copersona.runtime.cli.main import main
from copersona.runtime.common.errors import UnknownFacet, UnknownPerson, UnknownText
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.people.conversations import KeptMessage
from copersona.runtime.people.store import PeopleStore
from copersona.runtime.people.tables import KeptPersona
from copersona.runtime.people.vectors import vector_keys
from copersona.runtime.people.wishes import Target

from .kinds import is_sealed_run, readable

pytestmark = pytest.mark.usefixtures("kind")

SECRET = 'The canary "sings"\nof Zürich at night.'
QUOTE = 'The canary "sings"'
OTHER = "A harmless text about strings."
SAID = "In the words of a canary"
KEY, MANY = "a" * 64, 1 << 30


def receipt(digest: str) -> str:
    """A receipt as an answer keeps it."""
    facets = [
        {"facet": "Tone", "summary": f"Tone: {SAID}", "quotes": [QUOTE, "about strings"], "borrowed": []},
        {"facet": "Length", "summary": "Length: short", "quotes": [QUOTE], "borrowed": []},
    ]
    rows = [{"by": "recent", "digest": digest, "request": SECRET}, {"by": "recent", "digest": "x", "request": "Write."}]
    return json.dumps({"request": "Hello.", "facets": facets, "retrieved": rows, "revision": 3}, ensure_ascii=False)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PeopleStore]:
    """Ana with everything that a store may hold of a text, and bob, who goes on as he is."""
    with PeopleStore(tmp_path / "home" / "people.sqlite") as store:
        fill(store, "bob", "Another's words, which stay.")
        fill(store, "ana", SECRET)
        yield store


def fill(store: PeopleStore, name: str, secret: str) -> None:
    text = Interaction(name, secret, "Write about the canary.", time=2.0)
    store.add([Interaction(name, OTHER, time=1.0), text])
    store.pin(name, text.digest)
    store.correct(name, "Tone", SAID if name == "ana" else "bob's")
    if name == "ana":
        store.leave_out(name, Target("quote", QUOTE))
    turn = store.begin_turn(name, "Hello.", bundle="b")
    store.end_turn(turn, "An answer.", "whole", receipt(text.digest) if name == "ana" else "{}")
    texts = json.dumps({"facets": [{"facet": "Tone", "quotes": [secret]}, {"facet": "Length", "quotes": []}]})
    store.keep_persona(name, "population", KeptPersona("k", "s", texts, b"x" * 5000))
    store.keep_reply(name, "key", json.dumps({"quote": secret}))
    store.keep_vectors(name, "encoder", {key: b"v" * 64 for key in vector_keys(text)})
    store.prefixes.write(name, KEY, np.arange(2000, dtype=np.uint8), MANY)


def hits(folder: Path, *words: str) -> list[str]:
    """Files that hold one of the words, as they are or inside JSON; of a sealed store, what can be read of it."""
    inside = [json.dumps(word, ensure_ascii=ascii_alone)[1:-1] for word in words for ascii_alone in (True, False)]
    forms = [form.encode() for form in (*words, *inside)]
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path.name for path in files if any(form in readable(path) for form in forms)]


def message(store: PeopleStore, name: str = "ana") -> KeptMessage:
    return store.conversation(name, store.conversations(name)[0].id)[1][-1]


def body(store: PeopleStore) -> Any:
    return json.loads(message(store).receipt or "")


def test_promise_a_text_that_is_forgotten_is_in_no_byte(store: PeopleStore) -> None:
    home, digest = store.path.parent, store.history("ana")[-1].digest
    assert hits(home, SECRET) == ["people.sqlite"], "the search finds what is there"
    gone = store.forget_text("ana", digest)
    assert (gone.interactions, gone.revisions, gone.receipts, gone.elsewhere) == (1, 2, 1, 0)
    assert gone.vectors == 3
    assert (gone.compacted, gone.pending) == (True, "")
    store.close()
    assert hits(home, SECRET, QUOTE, digest) == []
    with PeopleStore(store.path) as again:
        again.check()
        assert [one.output for one in again.history("ana")] == [OTHER]
        assert [one.kind for one in again.revisions("ana")] == ["correct"]
        assert again.prefixes.kept("ana").states == 0
        assert again.prefixes.kept("bob").states == 1
        kept = body(again)
        assert [row["digest"] for row in kept["retrieved"]] == ["x"]
        assert [facet["quotes"] for facet in kept["facets"]] == [["about strings"], []]
        assert again.persona("bob", "population") is not None
        assert [one.kind for one in again.revisions("bob")] == ["pin", "correct"]
        with pytest.raises(UnknownText):
            again.forget_text("ana", digest)


def test_promise_what_was_said_of_a_facet_that_is_forgotten_is_in_no_byte(store: PeopleStore) -> None:
    home = store.path.parent
    store.undo("ana", 2)
    store.correct("ana", "Tone", SAID)
    assert hits(home, SAID) == ["people.sqlite"]
    gone = store.forget_facet("ana", "Tone")
    assert (gone.revisions, gone.receipts, gone.compacted) == (3, 1, True)
    store.close()
    assert hits(home, SAID) == []
    with PeopleStore(store.path) as again:
        assert [facet["facet"] for facet in body(again)["facets"]] == ["Length"]
        last, wishes = again.wishes("ana")
        assert (wishes.left_facets, wishes.corrected) == (("Tone",), ())
        assert last == again.revisions("ana")[-1].number == 7, "no number is given twice"
        assert len(again.history("ana")) == 2


def test_a_facet_that_there_is_not_is_refused_with_what_is_close(store: PeopleStore) -> None:
    with pytest.raises(UnknownFacet, match="did you mean Tone"):
        store.forget_facet("ana", "Tune")
    assert store.wishes("ana")[1].left_facets == ()
    for forget in (store.forget_text, store.forget_facet):
        with pytest.raises(UnknownPerson, match="did you mean ana"):
            forget("anna", "Tone")


def test_a_quote_that_stands_in_another_text_too_stays_left_out(store: PeopleStore) -> None:
    store.add([Interaction("ana", f"And again: {QUOTE}", time=3.0)])
    gone = store.forget_text("ana", store.history("ana")[1].digest)
    assert (gone.revisions, gone.elsewhere) == (1, 0)
    assert store.wishes("ana")[1].left_quotes == (QUOTE,)


def test_what_holds_the_same_words_and_stays_is_counted(store: PeopleStore) -> None:
    store.add([Interaction("ana", SECRET, time=9.0)])
    store.begin_turn("ana", f"Say this nicer: {SECRET}")
    assert store.forget_text("ana", store.history("ana")[1].digest).elsewhere == 2


def test_an_answer_that_was_begun_before_keeps_no_evidence_of_what_was_forgotten(store: PeopleStore) -> None:
    digest = store.history("ana")[-1].digest
    turn = store.begin_turn("ana", "Hello again.")
    store.forget_text("ana", digest)
    store.end_turn(turn, "An answer.", "whole", receipt(digest))
    kept = body(store)
    assert (kept["facets"], kept["retrieved"], kept["request"]) == ([], [], "Hello.")
    later = json.loads(receipt("new")) | {"revision": store.wishes("ana")[0]}
    store.end_turn(store.begin_turn("ana", "And again."), "An answer.", "whole", json.dumps(later))
    assert body(store) == later


@pytest.mark.parametrize(
    "odd", ["{}", '{"facets": 3, "retrieved": [4, {"digest": []}]}', '{"facets": [{"quotes": [1, null]}]}']
)
def test_a_receipt_of_any_form_hinders_no_forgetting(store: PeopleStore, odd: str) -> None:
    turn = store.begin_turn("ana", "Hello again.")
    store.end_turn(turn, "An answer.", "whole", odd)
    store._db.execute("UPDATE personas SET texts = '[]'")
    store.forget_facet("ana", "Tone")
    assert store.forget_text("ana", store.history("ana")[-1].digest).interactions == 1


def test_forgetting_a_person_counts_chats_and_revisions(store: PeopleStore) -> None:
    gone = store.forget("ana")
    assert (gone.interactions, gone.chats, gone.revisions, gone.vectors) == (2, 1, 3, 3)
    assert hits(store.path.parent, SECRET, QUOTE, SAID) == []


def asked(store: PeopleStore, *words: str, stdin: str | None = None, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("COPERSONA_HOME", str(store.path.parent))
    given = None if stdin is None else stdin.encode()
    return CliRunner().invoke(main, list(words), input=given, catch_exceptions=False)


def test_the_command_looks_where_words_stand(store: PeopleStore, monkeypatch: pytest.MonkeyPatch) -> None:
    look = lambda: asked(store, "people", "traces", "--json", stdin=f"{SECRET}\n", monkeypatch=monkeypatch)
    before = {one["place"]: one["times"] for one in json.loads(look().stdout)}
    assert {"interactions.output", "messages.receipt", "personas.texts", "replies.reply"} <= set(before)
    assert any(place.endswith("people.sqlite") for place in before) != is_sealed_run()
    digest = store.history("ana")[-1].digest
    done = asked(store, "people", "forget", "ana", "--text", digest[:12], monkeypatch=monkeypatch)
    assert done.stdout.startswith("ana: 1 text forgotten; with it 2 revisions, 3 vectors, 1 receipts")
    assert json.loads(look().stdout) == []
    said = asked(store, "people", "traces", "nothing of the kind", monkeypatch=monkeypatch)
    assert said.stdout == "no trace of it\n"
