"""What a chat gets: the answer of the library, in the form that clients read, as the person who is meant or nobody."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from copersona.runtime.engine.sampling import Sampling
from copersona.runtime.people.store import PeopleStore
from copersona.runtime.session.session import open_bundle

from .running import Running

REQUEST = "Write a review.\nTitle: good strings"


def said(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_a_request_alone_is_answered_as_the_library_answers_it(server: Running, random_bundle: Path) -> None:
    with open_bundle(random_bundle, threads=1, sequences=2) as session:
        with PeopleStore(server.home / "people.sqlite") as store:
            ana = session.person(store, "ana")
        for model, known in (("copersona:ana", ana), ("copersona-plain", None), ("copersona", None)):
            expected = session.answer(REQUEST, known, Sampling(0.9, 0.9, 12, 7)).finish()
            found = server.chat(
                model=model, messages=said(REQUEST), temperature=0.9, top_p=0.9, max_tokens=12, seed=7
            ).body
            assert found["choices"][0]["message"]["content"].strip() == expected.text
            assert found["usage"]["prompt_tokens"] == sum(expected.receipt.prompt_tokens.values())
            assert found["usage"]["completion_tokens"] == expected.receipt.pieces


def test_the_form_of_a_whole_answer(server: Running) -> None:
    found = server.chat(max_tokens=5).body
    assert found["object"] == "chat.completion"
    assert found["id"].startswith("chatcmpl-")
    assert found["model"] == "copersona"
    (choice,) = found["choices"]
    assert choice["message"]["role"] == "assistant"
    assert choice["finish_reason"] in ("stop", "length")
    usage = found["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert found["copersona"] == {"person": None, "seed": 1, "left_out": 0}


def test_a_stream_says_the_same_in_chunks(server: Running) -> None:
    whole = server.chat(max_tokens=12).body
    events = server.chat(max_tokens=12, stream=True).events
    assert events[-1] == "[DONE]"
    chunks = events[:-1]
    assert len({chunk["id"] for chunk in chunks}) == len({chunk["created"] for chunk in chunks}) == 1
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert all(len(chunk["choices"]) == 1 for chunk in chunks)
    assert all("usage" not in chunk for chunk in chunks)
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1]["choices"][0]["delta"] == {}
    assert chunks[-1]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
    text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    assert text == whole["choices"][0]["message"]["content"]


def test_usage_comes_in_a_chunk_of_its_own_where_it_is_asked_for(server: Running) -> None:
    usage = server.chat().body["usage"]
    events = server.chat(stream=True, stream_options={"include_usage": True}).events
    assert events[-2]["choices"] == []
    assert events[-2]["usage"] == usage
    assert all(event["usage"] is None for event in events[:-2])


@pytest.mark.parametrize(
    ("fields", "headers", "person"),
    [
        ({"model": "copersona:ana"}, {}, "ana"),
        ({"user": "ana"}, {}, "ana"),
        ({"safety_identifier": "bo"}, {}, "bo"),
        ({}, {"X-Copersona-Person": "bo"}, "bo"),
        ({}, {"X-Copersona-Person": "Zo%C3%AB"}, "Zoë"),
        ({"model": "copersona:Zoe\u0308"}, {}, "Zoë"),
        ({"model": "copersona:ana", "user": " ana "}, {"X-Copersona-Person": "ana"}, "ana"),
        ({}, {}, None),
        ({"user": ""}, {}, None),
        ({"model": "copersona-plain", "user": "ana"}, {}, None),
        ({"model": "copersona:ana", "copersona": {"persona": False}}, {}, None),
    ],
)
def test_the_person_who_is_named_answers(
    server: Running, fields: dict[str, object], headers: dict[str, str], person: str | None
) -> None:
    body = {"model": "copersona", "messages": said("Hello."), "max_tokens": 3, "seed": 1, **fields}
    found = server.ask("POST", "/v1/chat/completions", body, headers=headers)
    assert found.status == 200, found.raw
    assert found.body["copersona"]["person"] == person
    direct = server.chat(model="copersona-plain" if person is None else f"copersona:{person}", max_tokens=3)
    assert found.body["choices"] == direct.body["choices"]


@pytest.mark.parametrize(
    ("fields", "headers", "status", "code", "words"),
    [
        ({"model": "copersona:ana", "user": "bo"}, {}, 400, "person_ambiguous", "model 'ana' and user 'bo'"),
        ({"user": "ana", "safety_identifier": "bo"}, {}, 400, "person_ambiguous", "two people are named"),
        ({"user": "ana"}, {"X-Copersona-Person": "bo"}, 400, "person_ambiguous", "two people are named"),
        ({"model": "copersona-plain"}, {"X-Copersona-Person": "bo"}, 400, "person_ambiguous", "is nobody"),
        ({"model": "copersona:anna"}, {}, 404, "person_not_found", "did you mean ana"),
        ({"user": "65f0c1"}, {}, 404, "person_not_found", "GET /v1/models lists who is here"),
        ({"model": "copersona:"}, {}, 404, "person_not_found", "nobody is called so"),
        ({"model": "copersona:a\u0000b"}, {}, 404, "person_not_found", "control characters"),
        ({"model": "gpt-4o"}, {}, 404, "model_not_found", "no model 'gpt-4o'"),
    ],
)
def test_nobody_is_taken_for_somebody_else(
    server: Running, fields: dict[str, object], headers: dict[str, str], status: int, code: str, words: str
) -> None:
    body = {"model": "copersona", "messages": said("Hello."), "max_tokens": 3, **fields}
    found = server.ask("POST", "/v1/chat/completions", body, headers=headers)
    assert (found.status, found.error["code"]) == (status, code)
    assert words in found.error["message"]
    assert str(server.home) not in found.raw.decode()


def test_what_is_typed_is_never_evidence(server: Running) -> None:
    with PeopleStore(server.home / "people.sqlite") as store:
        before = store.history("ana")
        server.text(model="copersona:ana", messages=said("I adore parsnips."), max_tokens=3)
        assert store.history("ana") == before
    assert b"parsnips" not in (server.home / "people.sqlite").read_bytes()


def test_earlier_turns_change_the_answer_and_instructions_too(server: Running) -> None:
    turns = [
        {"role": "user", "content": "My dog is called Rex."},
        {"role": "assistant", "content": "Good."},
        {"role": "user", "content": "Hello."},
    ]
    plain = server.chat().body["usage"]["prompt_tokens"]
    more = server.chat(messages=turns).body["usage"]["prompt_tokens"]
    most = server.chat(messages=[{"role": "developer", "content": "Be brief."}, *turns]).body["usage"]["prompt_tokens"]
    assert plain < more < most


def test_old_turns_leave_first_and_the_answer_says_how_many(server: Running) -> None:
    turns = []
    for n in range(60):
        turns += [
            {"role": "user", "content": f"Question {n}? " * 5},
            {"role": "assistant", "content": f"Answer {n}. " * 5},
        ]
    found = server.chat(model="copersona:ana", messages=[*turns, *said("Hello.")]).body
    assert 0 < found["copersona"]["left_out"] < 120
    assert found["copersona"]["left_out"] % 2 == 0
    context = server.worker.session.engine.context
    assert found["usage"]["prompt_tokens"] <= context - context // 4 or found["usage"]["prompt_tokens"] <= context - 4
    too_long = server.chat(messages=said("word " * 5_000))
    assert (too_long.status, too_long.error["code"]) == (400, "context_length_exceeded")


def test_an_answer_ends_where_the_context_does(server: Running) -> None:
    context = server.worker.session.engine.context
    found = server.chat(max_tokens=None, messages=said("word " * 60), logit_bias={}, temperature=2.0, seed=3).body
    assert found["usage"]["total_tokens"] <= context
    if found["choices"][0]["finish_reason"] == "length":
        assert found["usage"]["total_tokens"] == context


def test_a_stop_ends_the_answer_before_it_in_a_stream_too(server: Running) -> None:
    whole = server.text(max_tokens=30, temperature=1.5)
    stop = whole[5:8]
    expected = whole[: whole.index(stop)]
    for stops in (stop, ["never there", stop]):
        found = server.chat(max_tokens=30, temperature=1.5, stop=stops).body["choices"][0]
        assert (found["message"]["content"], found["finish_reason"]) == (expected, "stop")
    events = server.chat(max_tokens=30, temperature=1.5, stop=stop, stream=True).events[:-1]
    assert "".join(e["choices"][0]["delta"].get("content", "") for e in events) == expected
    assert events[-1]["choices"][0]["finish_reason"] == "stop"


def test_the_same_seed_gives_the_same_and_none_another_one(server: Running) -> None:
    drawn = [server.chat(seed=None, temperature=1.5, max_tokens=12).body for _ in range(3)]
    assert len({one["copersona"]["seed"] for one in drawn}) == 3
    again = server.chat(seed=drawn[0]["copersona"]["seed"], temperature=1.5, max_tokens=12).body
    assert again["choices"] == drawn[0]["choices"]
    assert server.chat(seed=-3).status == 200


@pytest.mark.parametrize("form", ["nested", "flat"])
def test_a_schema_holds_the_answer(server: Running, form: str) -> None:
    schema = {
        "type": "object",
        "properties": {"ok": {"type": "boolean"}, "n": {"type": "integer", "minimum": 1, "maximum": 9}},
        "required": ["ok", "n"],
        "additionalProperties": False,
    }
    named = {"name": "x", "schema": schema, "strict": True}
    wanted = {"type": "json_schema", "json_schema": named} if form == "nested" else {"type": "json_schema", **named}
    for seed in range(3):
        found = json.loads(server.text(response_format=wanted, max_tokens=60, temperature=1.5, seed=seed))
        assert set(found) == {"ok", "n"}
        assert isinstance(found["ok"], bool)
        assert 1 <= found["n"] <= 9


def test_an_object_of_any_kind(server: Running) -> None:
    found = server.chat(response_format={"type": "json_object"}, max_tokens=200, temperature=1.0, seed=5).body
    (choice,) = found["choices"]
    assert choice["message"]["content"].startswith("{")
    if choice["finish_reason"] == "stop":
        assert isinstance(json.loads(choice["message"]["content"]), dict)
    assert server.text(response_format={"type": "text"}) == server.text()


def test_the_receipt_comes_where_it_is_asked_for(server: Running) -> None:
    asked = {"model": "copersona:ana", "copersona": {"receipt": True}}
    receipt = server.chat(**asked).body["copersona"]["receipt"]
    assert receipt["person"] == "ana"
    assert receipt["request"] == "Hello."
    assert len(receipt["retrieved"]) == 4
    last = server.chat(**asked, stream=True).events[-2]
    assert last["copersona"]["receipt"]["retrieved"] == receipt["retrieved"]


@pytest.mark.parametrize(
    "messages",
    [
        said("### Task:\nGenerate a concise, 3-5 word title with an emoji summarizing the chat history.\n### G:"),
        said("### Task:\nGenerate 1-3 broad tags categorizing the main themes of the chat history"),
        said("### Task:\nSuggest 3-5 relevant follow-up questions or prompts"),
        said("Generate a concise, 3-5 word title for this conversation."),
        said("Provide a concise, 5-word-or-less title for the conversation, using its same language"),
        said("Given the following... please reply with a title for the chat that is 3-4 words in length"),
        [{"role": "system", "content": "You will generate a short title based on the first message a user begins"},
         *said("Hello.")],
    ],
)  # fmt: skip
def test_a_front_ends_own_requests_are_nobodys(server: Running, messages: list[dict[str, str]]) -> None:
    found = server.chat(model="copersona:ana", messages=messages).body
    assert found["copersona"]["side_task"] is True
    assert found["copersona"]["person"] is None


@pytest.mark.parametrize(
    "text",
    [
        "Write a review.\nTitle: a concise guitar",
        "Generate a title for my new song about the sea",
        "What tags would you put on this guitar?",
        "Summarize the article below in 3 sentences. ### Task: later",
    ],
)
def test_what_a_person_asks_is_theirs(server: Running, text: str) -> None:
    assert server.chat(model="copersona:ana", messages=said(text)).body["copersona"]["person"] == "ana"


def test_messages_in_parts_and_of_tools_are_read_as_text(server: Running) -> None:
    parts = [{"role": "user", "content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo."}]}]
    assert server.text(messages=parts) == server.text(messages=said("Hel\nlo."))
    turns = [
        *said("What is the time?"),
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function"}]},
        {"role": "tool", "content": "12:00", "tool_call_id": "1"},
    ]
    assert server.chat(messages=turns).status == 200


def test_what_changes_nothing_is_passed_over(server: Running) -> None:
    idle = {
        "tools": [{"type": "function", "function": {"name": "x"}}], "tool_choice": "auto", "n": 1, "logprobs": False,
        "logit_bias": {}, "presence_penalty": 0, "frequency_penalty": 0.0, "metadata": {"a": "b"}, "store": False,
        "reasoning_effort": "low", "parallel_tool_calls": True, "prompt_cache_key": "x", "service_tier": "auto",
        "of_another_year": [1, 2],
    }  # fmt: skip
    assert server.text(**idle) == server.text()
