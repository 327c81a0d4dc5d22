"""An endpoint that misbehaves: every fault is one line, nothing is followed, and the key stands nowhere."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from copersona.runtime.chat.ask import Ask, Message, Reply, object_schema, read_answer
from copersona.runtime.chat.endpoint import MAX_REPLY, Endpoint
from copersona.runtime.chat.ledger import Ledger, ReplyFile
from copersona.runtime.common.errors import ModelBusy, ModelError, ModelRefused, ModelSilent

KEY = "sk-canary-1234567890"
SCHEMA = object_schema({"a": {"type": "string", "maxLength": 9}})
ASK = Ask("test 1", (Message("system", "s"), Message("user", "what a person wrote: zorbia")), SCHEMA, 20)

Status = tuple[int, dict[str, str], bytes]


def error_body(**fields: object) -> bytes:
    return json.dumps({"error": {"message": f"bad {KEY} zorbia", **fields}}).encode()


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", KEY)


def endpoint(server: Any, timeout: float = 5.0) -> Endpoint:
    return Endpoint(server.url, "tester", key_env="A_KEY", timeout=timeout)


def in_turn(*answers: str | Status) -> Callable[[dict[str, Any]], str | Status]:
    rows = list(answers)
    return lambda body: rows.pop(0) if len(rows) > 1 else rows[0]


def test_a_request_is_what_the_protocol_asks_for(chat_server: Any) -> None:
    chat_server.answer = in_turn('{"a": "x"}')
    reply = endpoint(chat_server).complete(ASK)
    assert reply == ('{"a": "x"}', 7, 3)
    (body,) = chat_server.bodies
    assert chat_server.keys == [f"Bearer {KEY}"]
    assert body["model"] == "tester"
    assert body["messages"][1] == {"role": "user", "content": "what a person wrote: zorbia"}
    assert (body["temperature"], body["max_tokens"], body["seed"]) == (0.2, 20, 0)
    sent = body["response_format"]["json_schema"]
    assert sent["strict"]
    assert sent["schema"] == object_schema({"a": {"type": "string"}})  # bounds are for grammars


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        ((500, {}, b"<html>oops zorbia"), ModelBusy, "answers 500$"),
        ((429, {"Retry-After": "7"}, error_body(code="rate_limit_exceeded")), ModelBusy, "rate_limit_exceeded"),
        ((401, {}, error_body(code="invalid_api_key")), ModelError, r"401 \(invalid_api_key\); check the key"),
        ((404, {}, error_body(code=KEY)), ModelError, "404; check the address and the model's name"),
        ((413, {}, b""), ModelRefused, "too long"),
        ((302, {"Location": "http://127.0.0.1:9/v1"}, b""), ModelError, "302, a redirect, which is not followed"),
        ((307, {"Location": "https://elsewhere.example/"}, b""), ModelError, "a redirect, which is not followed"),
        ((200, {}, b"<html>"), ModelRefused, "no chat completion"),
        ((200, {}, b'{"choices": []}'), ModelRefused, "no chat completion"),
        ((200, {}, b"[" * 100_000), ModelRefused, "no chat completion"),
        ((200, {}, b" " * (MAX_REPLY + 1)), ModelRefused, "more than 4,194,304 bytes"),
        ((200, {"Content-Length": "100"}, b"cut"), ModelBusy, "the answer breaks off; is the server"),
    ],
)  # fmt: skip
def test_promise_no_key_or_prompt_in_a_message(
    answer: Status, kind: type[Exception], message: str, chat_server: Any
) -> None:
    chat_server.answer = in_turn(answer)
    with pytest.raises(kind, match=message) as error:
        endpoint(chat_server, 1.0).complete(ASK)
    assert KEY not in str(error.value)
    assert "zorbia" not in str(error.value)
    assert "\n" not in str(error.value)
    assert len(chat_server.bodies) == 1
    assert getattr(error.value, "after", None) == (7.0 if answer[0] == 429 else None)


def test_an_answer_that_does_not_come_is_a_time_out(chat_server: Any) -> None:
    def late(body: dict[str, Any]) -> str:
        time.sleep(1.0)
        return "{}"

    chat_server.answer = late
    with pytest.raises(ModelBusy, match=r"no answer within 0\.2 s"):
        endpoint(chat_server, 0.2).complete(ASK)


def test_a_server_that_is_not_there() -> None:
    with pytest.raises(ModelBusy, match="ConnectionRefusedError"):
        Endpoint("http://127.0.0.1:9/v1", "m").complete(ASK)


def test_a_server_without_schemas_is_asked_without_from_then_on(chat_server: Any) -> None:
    def old(body: dict[str, Any]) -> str | Status:
        return (400, {}, error_body(code="bad")) if "response_format" in body else '{"a": "x"}'

    chat_server.answer = old
    model = endpoint(chat_server)
    assert model.complete(ASK).text == model.complete(ASK).text == '{"a": "x"}'
    forms = [body.get("response_format", {}).get("type") for body in chat_server.bodies]
    assert forms == ["json_schema", "json_object", None, None]


def test_a_setting_that_is_not_taken_is_left_out_and_the_schema_stays(chat_server: Any) -> None:
    def newer(body: dict[str, Any]) -> str | Status:
        bad = [name for name in ("max_tokens", "temperature") if name in body]
        return (400, {}, error_body(param=bad[0])) if bad else "{}"

    chat_server.answer = newer
    endpoint(chat_server).complete(ASK)
    last = chat_server.bodies[-1]
    assert len(chat_server.bodies) == 3
    assert last["max_completion_tokens"] == 20
    assert "temperature" not in last
    assert last["response_format"]["type"] == "json_schema"


def test_a_request_that_is_refused_after_others_went_well_changes_nothing(chat_server: Any) -> None:
    chat_server.answer = in_turn("{}", (400, {}, error_body()), "{}")
    model = endpoint(chat_server)
    model.complete(ASK)
    with pytest.raises(ModelRefused, match="not taken"):
        model.complete(ASK)
    model.complete(ASK)
    assert all(body["response_format"]["type"] == "json_schema" for body in chat_server.bodies)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://127.0.0.1/v1", "plain http or https"),
        ("file:///etc/passwd", "plain http or https"),
        ("http://user:secret@127.0.0.1/v1", "name or password"),
        ("https://host.example/v1?key=secret", "plain http or https"),
        ("http://host.example/v1", "over https only"),
        ("http://[::1", "no address"),
        ("http://127.0.0.1:99999/v1", "no address"),
        ("http://a..b/v1", "no address"),
        ("https://" + "a" * 300, "no address"),
    ],
)
def test_addresses_that_are_refused(url: str, message: str) -> None:
    with pytest.raises(ModelError, match=message) as error:
        Endpoint(url, "m", key_env="A_KEY")
    assert "secret" not in str(error.value)


def test_a_key_that_is_missing_or_broken_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("", "  ", "sk-canary\nInjected: yes", "sk-canary-é"):
        monkeypatch.setenv("B_KEY", value)
        with pytest.raises(ModelError, match="B_KEY") as error:
            Endpoint("http://127.0.0.1:9", "m", key_env="B_KEY")
        assert "canary" not in str(error.value)


def message(content: object = None, reason: str = "stop", **more: object) -> Status:
    choice = {"message": {"role": "assistant", "content": content, **more}, "finish_reason": reason}
    return 200, {}, json.dumps({"choices": [choice], "usage": {"prompt_tokens": 1}}).encode()


CALL = [{"id": "1", "type": "function", "function": {"name": "zorbia", "arguments": "{}"}}]


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        ((200, {}, b"<!DOCTYPE html><p>zorbia"), ModelRefused, "a web page, no chat completion"),
        ((200, {}, b'\n<?xml version="1.0"?><a/>'), ModelRefused, "a web page, no chat completion"),
        ((200, {}, b'data: {"choices": [{"delta": {"content": "zorbia"}}]}\n\n'), ModelRefused, "a stream of events"),
        ((200, {}, b": ping\n\nevent: message\ndata: {}"), ModelRefused, "a stream of events"),
        ((200, {}, b"null"), ModelRefused, "no chat completion"),
        ((200, {}, b'{"error": {"message": "zorbia"}}'), ModelRefused, "no chat completion"),
        (message(), ModelSilent, "the answer is empty$"),
        (message(" \n"), ModelSilent, "the answer is empty$"),
        (message([]), ModelSilent, "the answer is empty$"),
        (message(None, "length"), ModelSilent, "the answer is empty: its tokens ran out"),
        (message(None, "content_filter"), ModelSilent, "held back by a filter"),
        (message(None, refusal="I cannot zorbia."), ModelSilent, "the model refuses to answer"),
        (message(None, "tool_calls", tool_calls=CALL), ModelSilent, "a call of a tool"),
        (message("", reasoning_content="Hm, zorbia"), ModelSilent, "reasoning without a text"),
        (message("", "length", reasoning="Hm"), ModelSilent, "reasoning without a text"),
    ],
)
def test_what_is_no_text_is_named_for_what_it_is(
    answer: Status, kind: type[Exception], said: str, chat_server: Any
) -> None:
    chat_server.answer = in_turn(answer)
    with pytest.raises(kind, match=said) as error:
        endpoint(chat_server).complete(ASK)
    assert type(error.value) is kind
    assert "zorbia" not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_text_that_comes_in_parts_is_joined(chat_server: Any) -> None:
    parts = [{"type": "text", "text": '{"a": '}, {"type": "image_url"}, {"type": "text", "text": '"x"}'}]
    chat_server.answer = in_turn(message(parts, reasoning_content="Hm"))
    assert endpoint(chat_server).complete(ASK).text == '{"a": "x"}'


# -- the ledger -----------------------------------------------------------------------------------------------------


def ledger(server: Any, path: Path, **options: Any) -> tuple[Ledger, list[float]]:
    waits: list[float] = []
    return Ledger(endpoint(server, 0.3), ReplyFile(path), sleep=waits.append, **options), waits


def test_what_is_busy_is_asked_again_as_late_as_the_server_says(chat_server: Any, tmp_path: Path) -> None:
    chat_server.answer = in_turn((429, {"Retry-After": "7"}, b""), (503, {}, b""), "{}")
    asked, waits = ledger(chat_server, tmp_path / "r.jsonl")
    assert asked.complete(ASK).text == "{}"
    assert waits == [7.0, 2.0]
    assert asked.usage.calls == 3


@pytest.mark.parametrize(
    ("answer", "calls", "message"),
    [((500, {}, b""), 4, "tried 4 times"), ((429, {"Retry-After": "3600"}, b""), 1, "asks to wait 3600 s")],
)
def test_trying_again_has_an_end(answer: Status, calls: int, message: str, chat_server: Any, tmp_path: Path) -> None:
    chat_server.answer = in_turn(answer)
    asked, _ = ledger(chat_server, tmp_path / "r.jsonl")
    with pytest.raises(ModelError, match=message):
        asked.complete(ASK)
    assert len(chat_server.bodies) == asked.usage.calls == calls


def test_what_was_answered_is_never_asked_again_not_even_after_a_cut(chat_server: Any, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    chat_server.answer = in_turn('{"a": "é"}')
    first, _ = ledger(chat_server, path)
    reply = first.complete(ASK)
    with path.open("ab") as file:
        file.write(b'["cut in the mid')
    again, _ = ledger(chat_server, path)
    assert again.complete(ASK) == reply
    assert (again.usage.calls, again.usage.remembered) == (0, 1)
    again.complete(Ask("test 2", ASK.messages, SCHEMA, 20))  # another prompt asks anew, after the cut line
    third, _ = ledger(chat_server, path)
    assert third.complete(Ask("test 2", ASK.messages, SCHEMA, 20)).text == reply.text
    assert len(chat_server.bodies) == 2
    assert KEY not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0


def test_a_file_of_other_lines_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('{"person": "ann"}\n')
    with pytest.raises(ModelError, match="not a file of answers"):
        ReplyFile(path)
    assert path.read_text() == '{"person": "ann"}\n'


def test_too_few_calls_are_refused_before_the_first_and_never_overspent(chat_server: Any, tmp_path: Path) -> None:
    asked, _ = ledger(chat_server, tmp_path / "r.jsonl", max_calls=2)
    asks = [Ask("test 1", (Message("user", str(n)),), SCHEMA, 20) for n in range(3)]
    with pytest.raises(ModelError, match=r"takes 3 calls, 0 are made, --max-calls allows 2; nothing more was called"):
        asked.estimate(asks, "profiles")
    assert chat_server.bodies == []
    for ask in asks[:2]:
        asked.complete(ask)
    assert asked.estimate(asks[:2], "profiles").calls == 0
    with pytest.raises(ModelError, match="all 2 calls"):
        asked.complete(asks[2])
    assert len(chat_server.bodies) == 2


@pytest.mark.parametrize("none", ["null", "", "I cannot.", '{"b": 1}'])
def test_only_an_answer_that_counts_is_remembered(none: str, tmp_path: Path) -> None:
    texts = [none, none, '{"a": "x"}']
    model = SimpleNamespace(name="m", complete=lambda ask: Reply(texts.pop(0)))
    counts = lambda text: text.startswith('{"a"')
    path = tmp_path / "r.jsonl"
    for text in (none, none, '{"a": "x"}', '{"a": "x"}'):
        assert Ledger(model, ReplyFile(path)).complete(ASK, counts).text == text
    assert texts == []


def test_what_was_remembered_and_is_none_is_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    before, after = (SimpleNamespace(name="m", complete=lambda ask, t=t: Reply(t)) for t in ("null", '{"a": "x"}'))
    Ledger(before, ReplyFile(path)).complete(ASK)
    for _ in range(2):
        assert Ledger(after, ReplyFile(path)).complete(ASK, lambda text: text != "null").text == '{"a": "x"}'


@pytest.mark.parametrize(
    "text",
    [
        'I use braces {like these} and answer {"a": {"b": [1]}} with {more} of them }',
        '{"a": {"b": [1]}} {"a": {"b": [1]}}',
        'set {1, 2}: {"a": {"b": [1]}}, as said',
    ],
)
def test_the_first_whole_object_is_the_answer_whatever_is_around_it(text: str) -> None:
    assert read_answer(text) == {"a": {"b": [1]}}


@pytest.mark.parametrize("text", ['{"a": {"b": 1}, "c"', '{"a": 1, "a": 2}', '{"a": NaN}'])
def test_a_part_of_a_broken_object_is_no_answer(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the messages are tested below
        read_answer(text)


def test_an_answer_is_an_object_within_whatever_the_model_says_around_it() -> None:
    assert read_answer("<think>{hm}</think>" + '```json\n{"a": [1]}\n```') == {"a": [1]}
    for text in ("", "no", "}{", '{"a": 1', '{"a": 1, "a": 2}', '{"a": NaN}', "{" * 10_000 + "}"):
        with pytest.raises(ValueError, match=r"the answer|twice|number"):
            read_answer(text)
