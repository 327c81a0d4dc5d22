"""/v1/responses: the chat of the other route under other names, its events in order, and nothing that would be kept."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")

from copersona.runtime.common.errors import ModelError
from copersona.runtime.engine.sequences import Sequences
from copersona.runtime.people.store import PeopleStore

from .running import Reply, Running

HELLO: dict[str, Any] = {"model": "copersona:ana", "input": "Hello.", "max_output_tokens": 12, "seed": 1}
SCHEMA = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}},
    "required": ["ok"],
    "additionalProperties": False,
}


def ask(server: Running, **fields: Any) -> Reply:
    """A short request with some fields changed; None leaves one out."""
    body = {name: value for name, value in {**HELLO, **fields}.items() if value is not None}
    return server.ask("POST", "/v1/responses", body)


def events(reply: Reply) -> list[Any]:
    """The events of a stream, each of which is called by its type."""
    assert reply.status == 200
    found = []
    for event in reply.raw.decode().removesuffix("\n\n").split("\n\n"):
        name, data = event.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found


def text_of(response: Any) -> str:
    (message,) = response["output"]
    (part,) = message["content"]
    assert (message["type"], message["role"], part["type"]) == ("message", "assistant", "output_text")
    return str(part["text"])


def test_the_answer_is_the_chats(server: Running) -> None:
    said = {"model": "copersona:ana", "max_tokens": 12}
    chat = server.chat(**said).body
    found = ask(server).body
    assert text_of(found) == chat["choices"][0]["message"]["content"]
    assert (found["object"], found["model"], found["error"], found["store"]) == (
        "response", "copersona:ana", None, False,
    )  # fmt: skip
    assert found["usage"]["input_tokens"] == chat["usage"]["prompt_tokens"]
    assert found["usage"]["output_tokens"] == chat["usage"]["completion_tokens"]
    assert found["usage"]["total_tokens"] == chat["usage"]["total_tokens"]
    assert found["copersona"] == chat["copersona"]


def test_instructions_and_items_are_the_turns_of_a_chat(server: Running) -> None:
    turns = [
        {"role": "user", "content": "My dog is called Rex."},
        {"role": "assistant", "content": "Good."},
        {"role": "user", "content": "12:00"},
        {"role": "user", "content": "And now?"},
    ]
    chat = server.chat(model="copersona:ana", messages=[{"role": "system", "content": "Be brief."}, *turns]).body
    items = [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "My dog is called Rex."}]},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed",
         "content": [{"type": "output_text", "text": "Good.", "annotations": []}]},
        {"type": "function_call", "call_id": "1", "name": "time", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": "12:00"},
        {"role": "user", "content": "And now?"},
    ]  # fmt: skip
    found = ask(server, instructions="Be brief.", input=items, max_output_tokens=4).body
    assert found["usage"]["input_tokens"] == chat["usage"]["prompt_tokens"]
    assert text_of(found) == chat["choices"][0]["message"]["content"]
    assert found["instructions"] == "Be brief."


def test_a_stream_says_the_same_in_the_order_that_clients_expect(server: Running) -> None:
    whole = ask(server).body
    found = events(ask(server, stream=True))
    deltas = found[4:-4]
    assert [event["type"] for event in found if event not in deltas] == [
        "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
        "response.output_text.done", "response.content_part.done", "response.output_item.done",
        f"response.{whole['status']}",
    ]  # fmt: skip
    assert {event["type"] for event in deltas} == {"response.output_text.delta"}
    assert "".join(event["delta"] for event in deltas) == found[-4]["text"] == text_of(whole)
    assert found[0]["response"]["status"] == found[1]["response"]["status"] == "in_progress"
    last = found[-1]["response"]
    assert found[-2]["item"] == last["output"][0]
    assert found[-3]["part"] == last["output"][0]["content"][0]
    assert len({event["response"]["id"] for event in found if "response" in event}) == 1
    assert len({event["item_id"] for event in found if "item_id" in event} | {last["output"][0]["id"]}) == 1
    changes = ("id", "created_at", "output")
    assert {k: v for k, v in last.items() if k not in changes} == {k: v for k, v in whole.items() if k not in changes}


def test_an_answer_that_is_cut_is_incomplete_and_one_that_ends_is_complete(server: Running) -> None:
    for stream in (False, True):
        asked = {"stream": stream, "text": {"format": {"type": "json_schema", "name": "x", "schema": SCHEMA}}}
        cut, ended = (ask(server, max_output_tokens=most, **asked) for most in (2, 60))
        short = events(cut)[-1]["response"] if stream else cut.body
        assert (short["status"], short["output"][0]["status"]) == ("incomplete", "incomplete")
        assert short["incomplete_details"] == {"reason": "max_output_tokens"}
        assert short["usage"]["output_tokens"] == 2
        full = events(ended)[-1]["response"] if stream else ended.body
        assert (full["status"], full["output"][0]["status"], full["incomplete_details"]) == (
            "completed", "completed", None,
        )  # fmt: skip
        assert isinstance(json.loads(text_of(full))["ok"], bool)


def test_what_was_asked_stands_in_the_answer(server: Running) -> None:
    asked = {"metadata": {"a": "b"}, "temperature": 0.5, "top_p": 0.5, "user": "ana", "safety_identifier": "ana"}
    found = ask(server, **asked).body
    assert {name: found[name] for name in asked} == asked
    assert found["max_output_tokens"] == 12
    assert found["text"] == {"format": {"type": "text"}}


def test_what_changes_nothing_is_passed_over(server: Running) -> None:
    idle = {
        "store": False, "background": False, "tools": [{"type": "function", "name": "x"}], "tool_choice": "auto",
        "include": ["reasoning.encrypted_content"], "reasoning": {"effort": "low"}, "service_tier": "auto",
        "parallel_tool_calls": True, "prompt_cache_key": "x", "truncation": "auto", "top_logprobs": 0,
        "stream_options": {"include_obfuscation": False}, "instructions": " ", "text": {"verbosity": "low"},
        "of_another_year": [1, 2],
    }  # fmt: skip
    assert text_of(ask(server, **idle).body) == text_of(ask(server).body)


PICTURE = {"role": "user", "content": [{"type": "input_image", "image_url": "data:"}]}
WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"input": None}, "input", "missing or empty"),
    ({"input": []}, "input", "missing or empty"),
    ({"input": 5}, "input", "a list"),
    ({"input": "  "}, "input", "the user's"),
    ({"input": "\ud800"}, "input[0].content", "half a character"),
    ({"input": [5]}, "input[0]", "no object"),
    ({"input": [{"role": "king", "content": "x"}]}, "input[0]", "expected one of"),
    ({"input": [PICTURE]}, "input[0].content", "only text"),
    ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0]", "'item_reference'"),
    ({"input": [{"role": "assistant", "content": "x"}]}, "input", "the user's"),
    ({"input": [{"role": "user", "content": "x"}] * 3_000}, "input", "at most 2,000"),
    ({"instructions": ["x"]}, "instructions", "a text"),
    ({"model": None}, "model", "missing"),
    ({"max_output_tokens": 0}, "max_output_tokens", "1 or more"),
    ({"max_output_tokens": "9"}, "max_output_tokens", "a whole number"),
    ({"metadata": [1]}, "metadata", "an object"),
    ({"metadata": {"a": 1}}, "metadata.a", "a text"),
    ({"text": "json"}, "text", "an object"),
    ({"text": {"format": {"type": "xml"}}}, "text.format.type", "expected text"),
    ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format", "missing"),
    ({"text": {"format": {"type": "json_schema", "schema": {"type": "string", "pattern": "x"}}}}, "text.format",
     "'pattern' is not supported"),
    ({"truncation": "some"}, "truncation", "auto or disabled"),
    ({"top_logprobs": 3}, "top_logprobs", "not supported"),
    ({"include": ["message.output_text.logprobs"]}, "include", "not supported"),
    ({"tool_choice": "required"}, "tool_choice", "none can be required"),
    ({"user": "bo"}, "user", "two people are named"),
    ({"stream": 1}, "stream", "true or false"),
    *(({name: value}, name, "send the whole conversation as input") for name, value in {
        "store": True, "previous_response_id": "resp_1", "conversation": "conv_1", "background": True,
        "prompt": {"id": "pmpt_1"},
    }.items()),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "param", "words"), WRONG, ids=lambda value: str(value)[:40])
def test_a_field_that_is_wrong_is_named(server: Running, fields: dict[str, Any], param: str, words: str) -> None:
    found = ask(server, **fields)
    assert found.status == 400, found.raw
    assert found.error["param"] == param
    assert words in found.error["message"]


def test_no_turn_is_left_out_where_truncation_is_disabled(server: Running) -> None:
    turns = [{"role": role, "content": f"Turn {n}. " * 8} for n in range(60) for role in ("user", "assistant")]
    asked = {"input": [*turns, {"role": "user", "content": "Hello."}]}
    assert ask(server, **asked).body["copersona"]["left_out"] > 0
    refused = ask(server, truncation="disabled", **asked)
    assert (refused.status, refused.error["code"]) == (400, "context_length_exceeded")


def test_nothing_of_it_is_kept(server: Running) -> None:
    with PeopleStore(server.home / "people.sqlite") as store:
        before = store.history("ana")
        found = ask(server, input="I adore parsnips.").body
        assert store.history("ana") == before
    assert b"parsnips" not in (server.home / "people.sqlite").read_bytes()
    assert server.ask("GET", f"/v1/responses/{found['id']}").error["code"] == "not_found"


def test_an_answer_that_fails_midway_ends_with_why(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    step, steps = Sequences.step, count()

    def fails(self: Sequences, generations: Any) -> None:
        if next(steps) == 3:
            raise ModelError("llama.cpp cannot")
        step(self, generations)

    monkeypatch.setattr(Sequences, "step", fails)
    held = {"format": {"type": "json_schema", "schema": {"type": "string", "minLength": 400}}}
    found = events(ask(server, stream=True, max_output_tokens=60, text=held))
    assert found[-1]["type"] == "response.failed"
    assert found[-1]["response"]["status"] == "failed"
    assert found[-1]["response"]["error"] == {"code": "server_error", "message": "llama.cpp cannot"}
    assert ask(server).status == 200
