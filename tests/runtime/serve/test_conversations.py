"""Kept conversations through the server: nothing is acknowledged that is not kept, and each person's are their own."""

from __future__ import annotations

import http.client
import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")

from copersona.runtime.engine.sequences import Sequences
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.people.store import PeopleStore
from copersona.runtime.serve import answering, keeping
from copersona.runtime.session.session import Session, open_bundle

from .running import HELLO, TOKEN, Reply, Running, add_people, serving, until

PATH = "/copersona/v1/conversations"
ANA = "copersona:ana"


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps that take as long as those of a larger model."""
    step = Sequences.step

    def slow(self: Sequences, generations: Any) -> None:
        time.sleep(0.02)
        step(self, generations)

    monkeypatch.setattr(Sequences, "step", slow)


def said(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def talk(server: Running, text: str, conversation: str = "new", model: str = ANA, **ours: Any) -> Any:
    """A turn that is kept; what stands under "copersona" in its answer, and the text."""
    found = server.chat(model=model, messages=said(text), copersona={"conversation": conversation, **ours})
    assert found.status == 200, found.raw
    return {**found.body["copersona"], "text": found.body["choices"][0]["message"]["content"]}


def get(server: Running, path: str = "", person: str = "ana", method: str = "GET", body: Any = None) -> Reply:
    sign = "&" if "?" in path else "?"
    return server.ask(method, f"{PATH}{path}{sign}person={person}", body)


def messages(server: Running, conversation: str, person: str = "ana") -> list[tuple[str, str, str]]:
    found = get(server, f"/{conversation}", person)
    assert found.status == 200, found.raw
    return [(one["role"], one["text"], one["state"]) for one in found.body["messages"]]


def stream(server: Running, conversation: str, text: str = "Hello.") -> Iterator[Any]:
    """The events of an answer that goes on until its context is full, as they come."""
    long = {"type": "json_schema", "json_schema": {"schema": {"type": "string", "minLength": 2_000}}}
    body = {**HELLO, "model": ANA, "messages": said(text), "stream": True, "temperature": 1.0, "response_format": long}
    body |= {"max_tokens": 1_000, "copersona": {"conversation": conversation}}
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        response = connection.getresponse()
        assert response.status == 200
        while line := response.readline():
            if line.startswith(b"data: {"):
                yield json.loads(line.removeprefix(b"data: "))
    finally:
        connection.close()


def test_nothing_is_kept_unless_a_conversation_is_named(server: Running) -> None:
    before = get(server).body
    assert "conversation" not in server.chat(model=ANA).body["copersona"]
    assert get(server).body == before


def test_turns_of_a_named_conversation_are_kept_with_their_receipts_and_stand_in_the_next_prompt(
    server: Running,
) -> None:
    first = talk(server, "My dog is called Rex.")
    id_ = first["conversation"]
    assert "receipt" not in first
    second = talk(server, "What is he called?", id_, receipt=True)
    whole = [("user", "My dog is called Rex.", "whole"), ("assistant", first["text"], "whole"),
             ("user", "What is he called?", "whole"), ("assistant", second["text"], "whole")]  # fmt: skip
    assert messages(server, id_) == whole
    kept = get(server, f"/{id_}").body
    assert [one["number"] for one in kept["messages"]][2:] == [second["message"], second["answer"]]
    assert kept["messages"][3]["receipt"] == second["receipt"]
    assert kept["messages"][1]["receipt"]["request"] == "My dog is called Rex."
    assert kept["messages"][1]["bundle"] == server.worker.session.manifest.bundle_id
    turns = [*said(whole[0][1]), {"role": "assistant", "content": whole[1][1]}, *said(whole[2][1])]
    assert second["text"] == server.text(model=ANA, messages=turns)  # as if a client had sent them all


def test_openais_own_client_is_told_where_its_turn_is_kept(server: Running) -> None:
    openai = pytest.importorskip("openai", reason="the client is not installed")
    turn: Any = {"model": ANA, "max_tokens": 4, "seed": 1}
    with openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key=TOKEN, max_retries=0) as client:
        create = client.chat.completions.create
        ours: Any = {"copersona": {"conversation": "new"}}
        chunks = list(create(messages=said("One."), stream=True, extra_body=ours, **turn))
        told = chunks[0].model_extra["copersona"]
        ours = {"copersona": {"conversation": told["conversation"]}}
        whole = create(messages=said("Two."), extra_body=ours, **turn)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    kept = messages(server, told["conversation"])
    assert [one[1] for one in kept] == ["One.", text, "Two.", whole.choices[0].message.content]
    assert whole.model_extra["copersona"]["conversation"] == told["conversation"]


def test_instructions_are_of_one_request_and_stand_before_the_turns(server: Running) -> None:
    brief = {"role": "system", "content": "Be brief."}
    found = server.chat(model=ANA, messages=[brief, *said("One.")], copersona={"conversation": "new"}).body
    id_ = found["copersona"]["conversation"]
    kept = messages(server, id_)
    assert [role for role, _, _ in kept] == ["user", "assistant"]
    second = server.chat(model=ANA, messages=[brief, *said("Two.")], copersona={"conversation": id_}).body
    turns = [brief, *said("One."), {"role": "assistant", "content": kept[1][1]}, *said("Two.")]
    assert second["choices"][0]["message"]["content"] == server.text(model=ANA, messages=turns)


def test_a_turn_may_be_answered_as_nobody_and_stays_the_persons(server: Running) -> None:
    found = talk(server, "Hello.", persona=False)
    assert found["person"] is None
    assert found["text"] == server.text(model="copersona-plain", messages=said("Hello."))
    assert [one["persona"] for one in get(server, f"/{found['conversation']}").body["messages"]] == [False, False]


def test_an_edited_turn_takes_the_place_of_what_came_behind(server: Running) -> None:
    first = talk(server, "one")
    id_ = first["conversation"]
    second = talk(server, "two", id_)
    edited = talk(server, "zwei", id_, **{"from": second["message"]})
    assert [text for _, text, _ in messages(server, id_)] == ["one", first["text"], "zwei", edited["text"]]
    again = talk(server, "zwei", id_, **{"from": edited["message"]})
    assert again["text"] == edited["text"]  # the same prompt


def test_the_message_is_on_the_disk_before_the_first_byte_and_the_answer_as_it_comes(
    server: Running, slowly: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "EVERY", 0.05)
    events = stream(server, "new", "A long one.")
    first = next(events)
    id_ = first["copersona"]["conversation"]
    assert messages(server, id_)[0] == ("user", "A long one.", "whole")
    text = "".join(next(events)["choices"][0]["delta"].get("content", "") for _ in range(5))
    until(lambda: messages(server, id_)[1][1].startswith(text))
    assert messages(server, id_)[1][2] == "writing"
    events.close()  # the client leaves
    until(lambda: messages(server, id_)[1][2] == "stopped")
    assert messages(server, id_)[1][1].startswith(text)
    assert talk(server, "And now?", id_)["conversation"] == id_


def test_what_runs_when_the_server_stops_is_kept(random_bundle: Path, tmp_path: Path, slowly: None) -> None:
    add_people(tmp_path)
    with serving(lambda: open_bundle(random_bundle, threads=1), tmp_path) as running:
        events = stream(running, "new")
        id_ = next(events)["copersona"]["conversation"]
        text = "".join(next(events)["choices"][0]["delta"].get("content", "") for _ in range(5))
        running.serving.stop()
        assert list(events)[-1]["error"]["code"] == "stopping"
    with PeopleStore(tmp_path / "people.sqlite") as store:
        answer = store.conversation("ana", id_)[1][1]
    assert answer.state == "stopped"
    assert answer.text.startswith(text)


def test_what_a_kill_left_half_is_stopped_at_the_next_start(random_bundle: Path, tmp_path: Path) -> None:
    add_people(tmp_path)
    with PeopleStore(tmp_path / "people.sqlite") as store:
        turn = store.begin_turn("ana", "Hello.")
        store.keep_so_far({turn.answer: "Half an"})
    with serving(lambda: open_bundle(random_bundle, threads=1), tmp_path) as running:
        assert messages(running, turn.conversation)[1] == ("assistant", "Half an", "stopped")


def test_what_is_refused_leaves_no_trace(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    id_ = talk(server, "one")["conversation"]
    before, rows = messages(server, id_), get(server).body
    long = server.chat(model=ANA, messages=said("word " * 5_000), copersona={"conversation": id_, "from": 1})
    assert (long.status, long.error["code"]) == (400, "context_length_exceeded")
    monkeypatch.setattr(Session, "person", lambda *_: 1 / 0)
    assert server.chat(model=ANA, copersona={"conversation": "new"}).status == 500
    assert (messages(server, id_), get(server).body) == (before, rows)


def test_a_store_that_cannot_keep_a_turn_refuses_it(server: Running) -> None:
    other = sqlite3.connect(server.home / "people.sqlite", isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")  # reading goes on, writing does not
        found = server.chat(model=ANA, copersona={"conversation": "new"})
        assert (found.status, found.error["code"]) == (503, "store_unavailable")
        assert "choices" not in found.body
        other.execute("ROLLBACK")
    finally:
        other.close()
    assert talk(server, "Hello.")


def test_a_stream_that_waits_long_for_its_first_token_is_kept_before_it_begins(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "PATIENCE", 0.0)
    monkeypatch.setattr(answering, "PING", 0.05)
    person = Session.person

    def slow(self: Session, store: PeopleStore, name: str) -> Any:
        time.sleep(0.5)
        return person(self, store, name)

    monkeypatch.setattr(Session, "person", slow)
    events = stream(server, "new", "Slow.")
    id_ = next(events)["copersona"]["conversation"]
    assert messages(server, id_) == [("user", "Slow.", "whole"), ("assistant", "", "writing")]
    events.close()
    until(lambda: messages(server, id_)[1][2] == "stopped")


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"model": "copersona"}, 400, "person_missing"),
        ({"model": "copersona-plain"}, 400, "person_missing"),
        ({"messages": [*said("a"), {"role": "assistant", "content": "b"}, *said("c")]}, 400, "turns_are_kept"),
        ({"copersona": {"conversation": "0" * 32}}, 404, "conversation_not_found"),
        ({"copersona": {"conversation": "'; DROP TABLE messages"}}, 404, "conversation_not_found"),
        ({"copersona": {"conversation": "x" * 65}}, 400, None),
        ({"copersona": {"conversation": 7}}, 400, "invalid_type"),
        ({"copersona": {"conversation": "new", "from": 1}}, 400, None),
        ({"copersona": {"from": 1}}, 400, None),
        ({"copersona": {"conversation": "new", "from": 0}}, 400, None),
        ({"copersona": {"conversation": "new", "keep": True}}, 400, None),
        ({"model": "copersona:nobody here"}, 404, "person_not_found"),
    ],
)
def test_what_names_no_conversation_is_refused(
    server: Running, fields: dict[str, Any], status: int, code: str | None
) -> None:
    found = server.chat(**{"model": ANA, "copersona": {"conversation": "new"}, **fields})
    assert (found.status, found.error["code"]) == (status, code)


def test_anothers_conversation_is_as_unknown_as_one_that_never_was(server: Running) -> None:
    id_ = talk(server, "A secret.")["conversation"]
    for wrong in (id_, "0" * 32):
        answers = [
            server.chat(model="copersona:bo", copersona={"conversation": wrong}),
            get(server, f"/{wrong}", "bo"),
            get(server, f"/{wrong}", "bo", "DELETE"),
            get(server, f"/{wrong}", "bo", "PATCH", {"title": "x"}),
            get(server, f"?before={wrong}", "bo"),
            get(server, f"/export?id={wrong}", "bo"),
        ]
        for found in answers:
            assert (found.status, found.error["code"]) == (404, "conversation_not_found")
            assert found.error["message"] == f"no conversation {wrong!r} of 'bo'"
    assert get(server, "/search?q=secret", "bo").body["data"] == []
    assert messages(server, id_)[0][1] == "A secret."


def test_whose_conversations_must_be_said(server: Running) -> None:
    assert server.ask("GET", PATH).error["code"] == "person_missing"
    assert get(server, person="zoe").error["code"] == "person_not_found"
    found = server.ask("GET", f"{PATH}?person=bo", headers={"X-Copersona-Person": "ana"})
    assert (found.status, found.error["code"]) == (400, "person_ambiguous")
    assert server.ask("GET", PATH, headers={"X-Copersona-Person": "Zo%C3%AB"}).status == 200


def test_pages_search_rename_and_delete(server: Running) -> None:
    ids = [talk(server, f"Heron no. {n}", model="copersona:Zoë")["conversation"] for n in range(3)]
    zoe = "Zo%C3%AB"
    page = get(server, "?limit=2", zoe).body
    assert [one["id"] for one in page["data"]] == ids[:0:-1]
    assert (page["has_more"], page["data"][0]["title"], page["data"][0]["messages"]) == (True, "Heron no. 2", 2)
    rest = get(server, f"?limit=2&before={ids[1]}", zoe).body
    assert ([one["id"] for one in rest["data"]], rest["has_more"]) == (ids[:1], False)
    found = get(server, "/search?q=HERON%20no&limit=2", zoe).body
    assert [one["conversation"] for one in found["data"]] == ids[:0:-1]
    more = get(server, f"/search?q=heron&before={found['data'][1]['number']}", zoe).body
    assert [one["piece"] for one in more["data"]] == ["Heron no. 0"]
    assert get(server, f"/{ids[0]}", zoe, "PATCH", {"title": "  A \n title "}).body["title"] == "A title"
    for bad in ({}, {"title": " "}, {"title": "x" * 201}, {"title": 1}, {"title": "x", "id": "y"}, []):
        assert get(server, f"/{ids[0]}", zoe, "PATCH", bad).status == 400
    for query in ("?limit=0", "?limit=501", "?limit=x", "/search", "/search?q=" + "x" * 201, "/search?q=x&before=-1"):
        assert get(server, query, zoe).status == 400, query
    gone = get(server, f"/{ids[0]}", zoe, "DELETE").body
    assert (gone["deleted"], gone["pending"]) == (True, False)
    assert get(server, f"/{ids[0]}", zoe).status == 404
    assert b"Heron no. 0" not in (server.home / "people.sqlite").read_bytes()


def test_an_export_is_imported_by_another_person_and_not_twice(server: Running) -> None:
    id_ = talk(server, "Export me.")["conversation"]
    whole = get(server, "/export")
    assert whole.headers["content-disposition"].endswith('"conversations.json"')
    assert len(whole.body["conversations"]) == len(get(server, "?limit=500").body["data"])
    one = get(server, f"/export?id={id_}").body
    assert [row["id"] for row in one["conversations"]] == [id_]
    assert get(server, "/import", "ana", "POST", one).body == {"object": "conversation.imported", "new": 0, "known": 1}
    assert get(server, "/import", "bo", "POST", one).body["new"] == 1
    copy = get(server, "/search?q=export", "bo").body["data"][0]["conversation"]
    assert copy != id_
    assert messages(server, copy, "bo") == messages(server, id_)
    markdown = get(server, f"/export?id={id_}&format=markdown")
    assert markdown.headers["content-type"].startswith("text/markdown")
    assert markdown.raw.decode().startswith("# Export me.\n")
    assert get(server, "/export?format=pdf").status == 400
    for bad in ({}, {**one, "version": 2}, {**one, "conversations": [1]}):
        found = get(server, "/import", "bo", "POST", bad)
        assert found.status == 400
        assert found.error["message"].startswith("the body: no export of conversations")


def test_who_is_forgotten_in_the_middle_of_an_answer_leaves_nothing(server: Running, slowly: None) -> None:
    with PeopleStore(server.home / "people.sqlite") as store:
        store.add([Interaction("eve", "I wrote this.")])
    found = talk(server, "A canary.", model="copersona:eve")
    long = {"type": "json_schema", "json_schema": {"schema": {"type": "string", "minLength": 2_000}}}
    body = {**HELLO, "model": "copersona:eve", "messages": said("Another canary."), "max_tokens": 200,
            "response_format": long, "copersona": {"conversation": found["conversation"]}}  # fmt: skip
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    until(lambda: len(get(server, f"/{found['conversation']}", "eve").body.get("messages", ())) == 4)
    with PeopleStore(server.home / "people.sqlite") as store:
        assert store.forget("eve").compacted
    assert connection.getresponse().status == 200
    connection.close()
    assert b"canary" not in (server.home / "people.sqlite").read_bytes()


def evidence(bundle: Path, home: Path, person: str) -> list[Any]:
    """All that is known of a person, made anew: their texts, persona and its key, soft prompt, prompts."""
    with open_bundle(bundle, threads=1) as session, PeopleStore(home / "people.sqlite") as store:
        store._db.execute("DELETE FROM personas")
        known, manifest = session.person(store, person), session.manifest
        prompts = [session.prompt(request, known).tokens for request in ("Write a review.", "Parsnips?")]
        kept = store.persona(person, manifest.population_id)
        assert kept is not None
        return [store.history(person), store.written(person), kept, known.soft.tobytes(), prompts]


def test_promise_what_is_typed_into_a_chat_is_never_evidence(server: Running, random_bundle: Path) -> None:
    before = evidence(random_bundle, server.home, "bo")
    id_ = "new"
    for text in ("I adore parsnips and short sentences!!!", "Parsnips. Parsnips!", "I HATE strings?"):
        id_ = talk(server, text, id_, model="copersona:bo")["conversation"]
    export = get(server, f"/export?id={id_}", "bo").body
    export["conversations"][0]["id"] = "0" * 32
    assert get(server, "/import", "bo", "POST", export).body["new"] == 1
    assert evidence(random_bundle, server.home, "bo") == before


def test_a_response_is_kept_in_the_conversation_that_it_names_as_a_chat_is(server: Running) -> None:
    first = talk(server, "My dog is called Rex.")
    body = {"model": ANA, "input": "What is he called?", "max_output_tokens": 8, "seed": 1}
    found = server.ask("POST", "/v1/responses", {**body, "copersona": {"conversation": first["conversation"]}})
    assert found.status == 200, found.raw
    assert found.body["copersona"]["conversation"] == first["conversation"]
    text = found.body["output"][0]["content"][0]["text"]
    kept = messages(server, first["conversation"])
    assert kept[2:] == [("user", "What is he called?", "whole"), ("assistant", text, "whole")]
    chat = server.chat(
        model=ANA,
        max_tokens=8,
        seed=1,
        messages=[
            *said("My dog is called Rex."),
            {"role": "assistant", "content": first["text"]},
            *said("What is he called?"),
        ],
    )
    assert chat.body["choices"][0]["message"]["content"] == text
