"""A server that takes its time, or never ends, or ends too early: the limit holds, and one line says what happened."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from copersona.runtime.chat.ask import Ask, Message, object_schema
from copersona.runtime.chat.endpoint import Endpoint
from copersona.runtime.chat.exchange import post
from copersona.runtime.common.errors import ModelBusy, ModelError, ModelRefused

LIMIT = 0.5  # seconds
KEY = "sk-canary-1234567890"
ASK = Ask("test 1", (Message("user", "zorbia"),), object_schema({"a": {"type": "string"}}), 20)
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
Wire = Callable[[socket.socket], None]


def then(*parts: bytes, stall: float = 0.0) -> Wire:
    """Sends these and waits before it closes."""

    def serve(wire: socket.socket) -> None:
        for part in parts:
            wire.sendall(part)
        time.sleep(stall)

    return serve


def without_end(start: bytes, part: bytes, pause: float = 0.0) -> Wire:
    """Sends one part after another for as long as someone listens, which a test that fails ends."""

    def serve(wire: socket.socket) -> None:
        wire.sendall(start)
        end = time.monotonic() + 20 * LIMIT
        while time.monotonic() < end:
            wire.sendall(part)
            time.sleep(pause)

    return serve


@pytest.fixture(autouse=True)
def nothing_goes_on(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """There is a key, and no thread of an exchange outlives it by much."""
    monkeypatch.setenv("A_KEY", KEY)
    yield
    end = time.monotonic() + 2.0
    while any(t.name == "copersona exchange" for t in threading.enumerate()) and time.monotonic() < end:
        time.sleep(0.01)
    assert not [t for t in threading.enumerate() if t.name == "copersona exchange"]


def refused(model: Endpoint, kind: type[ModelError], message: str, ask: Ask = ASK) -> None:
    """It ends within the limit and a second, in one line."""
    start = time.monotonic()
    with pytest.raises(kind, match=message) as error:
        model.complete(ask)
    assert time.monotonic() - start < LIMIT + 1.0
    assert type(error.value) is kind
    assert "\n" not in str(error.value)
    assert KEY not in str(error.value)


LATE = r"127\.0\.0\.1: no answer within 0\.5 s; is the server running\?"
SLOW = {
    "nothing at all": then(stall=5),
    "stalls in the status line": then(b"HTTP/1.1 20", stall=5),
    "stalls in the headers": then(OK + b"X-Lon", stall=5),
    "stalls before the body": then(OK + b"Content-Length: 9\r\n\r\n", stall=5),
    "stalls in the body": then(OK + b"Content-Length: 9\r\n\r\n{", stall=5),
    "stalls in a chunk": then(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{", stall=5),
    "stalls in a body that ends with the connection": then(OK + b'\r\n{"choices": [', stall=5),
    "drips the status line": without_end(b"HTTP/1.1 200 ", b"x", 0.05),
    "drips a header": without_end(OK + b"X: ", b"x", 0.05),
    "drips headers": without_end(OK, b"X: x\r\n", 0.05),
    "drips the body": without_end(OK + b"Content-Length: 100000\r\n\r\n", b" ", 0.05),
    "drips chunks": without_end(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", 0.05),
    "drips without a length": without_end(OK + b"\r\n", b" ", 0.05),
    "asks to go on again and again": without_end(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.05),
}


@pytest.mark.parametrize("case", SLOW)
def test_promise_time_limit_holds(case: str, chat_server: Any) -> None:
    chat_server.answer = lambda body: SLOW[case]
    refused(Endpoint(chat_server.url, "m", key_env="A_KEY", timeout=LIMIT), ModelBusy, LATE)


BROKEN = {
    "no word": (then(), ModelBusy, "no answer in HTTP; is the server running"),
    "closes in the headers": (then(OK + b"X-Lon"), ModelBusy, "no answer in HTTP"),
    "closes in the body": (then(OK + b"Content-Length: 9\r\n\r\n{"), ModelBusy, "the answer breaks off; is"),
    "closes in a chunk": (then(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{"), ModelBusy, "the answer breaks off"),
    "a chunk of no length": (then(OK + b"Transfer-Encoding: chunked\r\n\r\nzorb\r\n"), ModelBusy, "breaks off"),
    "another protocol": (then(b"SSH-2.0-OpenSSH_9.2\r\n"), ModelBusy, "no answer in HTTP"),
    "a body without end": (without_end(OK + b"\r\n", b" " * 65_536), ModelRefused, "more than 4,194,304 bytes"),
    "headers without end": (without_end(OK, b"X: " + b"x" * 997), ModelBusy, "no answer in HTTP"),
    "a fault without end": (without_end(b"HTTP/1.1 401 No\r\n\r\n", b" " * 65_536), ModelError, "401; check the key"),
    "a fault that drips": (without_end(b"HTTP/1.1 401 No\r\n\r\n", b" ", 0.05), ModelError, "401; check the key"),
    "a fault that breaks off": (then(b"HTTP/1.1 503 No\r\nContent-Length: 9\r\n\r\n{"), ModelBusy, "answers 503$"),
    "packed without being asked": (
        then(OK + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00"), ModelRefused, "no chat"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_an_answer_that_breaks_off_or_never_ends_is_one_line(case: str, chat_server: Any) -> None:
    wire, kind, message = BROKEN[case]
    chat_server.answer = lambda body: wire
    refused(Endpoint(chat_server.url, "m", key_env="A_KEY", timeout=LIMIT), kind, message)


def test_the_limit_is_one_for_all_that_an_ask_takes(chat_server: Any) -> None:
    """A server that refuses one setting after another, each time just in time."""
    chat_server.answer = lambda body: then(b"HTTP/1.1 400 No\r\n\r\n", stall=0.3)
    refused(Endpoint(chat_server.url, "m", timeout=LIMIT), ModelBusy, LATE)
    assert len(chat_server.bodies) == 2
    with pytest.raises(TimeoutError):  # nothing is left for a third
        post(chat_server.url, b"{}", {}, seconds=-0.1, most=9)
    assert len(chat_server.bodies) == 2


@pytest.fixture
def deaf() -> Iterator[int]:
    """The port of someone who lets everyone in, reads nothing and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_who_reads_no_request_is_not_waited_for(deaf: int) -> None:
    long = Ask("test 1", (Message("user", "zorbia" * 2_000_000),), ASK.schema, 20)
    refused(Endpoint(f"http://127.0.0.1:{deaf}/v1", "m", timeout=LIMIT), ModelBusy, LATE, long)


def test_a_handshake_that_never_ends_is_not_waited_for(deaf: int) -> None:
    refused(Endpoint(f"https://127.0.0.1:{deaf}/v1", "m", key_env="A_KEY", timeout=LIMIT), ModelBusy, LATE)


def test_a_name_whose_look_up_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: Any, **__: Any) -> Any:
        time.sleep(LIMIT + 1.0)
        raise OSError

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    message = r"model\.invalid: no answer within 0\.5 s"
    refused(Endpoint("http://model.invalid/v1", "m", timeout=LIMIT), ModelBusy, message)


@pytest.mark.parametrize("host", ["model.invalid", "☃.invalid"])
def test_a_name_that_nobody_has_is_one_line(host: str) -> None:
    with pytest.raises(ModelBusy, match=r"gaierror|cannot be looked up") as error:
        Endpoint(f"http://{host}/v1", "m", timeout=20.0).complete(ASK)
    assert "\n" not in str(error.value)


@given(
    raw=st.binary(max_size=300),
    start=st.sampled_from([b"", b"HTTP/1.1 ", b"HTTP/1.1 200 OK\r\n", OK + b"\r\n", OK + b"Content-Length: 9\r\n\r\n"]),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_an_answer_or_one_line(chat_server: Any, start: bytes, raw: bytes) -> None:
    chat_server.answer = lambda body: then(start + raw)
    with suppress(ModelError):
        assert Endpoint(chat_server.url, "m", timeout=10.0).complete(ASK).text.strip()


def test_the_proxy_of_the_environment_is_used_for_others_and_never_for_this_machine(
    chat_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat_server.answer = lambda body: '{"a": "x"}'
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", chat_server.url.removeprefix("http://").removesuffix("/v1"))
    assert Endpoint("http://model.invalid/v1", "m").complete(ASK).text == '{"a": "x"}'
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert Endpoint(chat_server.url, "m", key_env="A_KEY").complete(ASK).text == '{"a": "x"}'
    assert chat_server.paths == ["http://model.invalid/v1/chat/completions", "/v1/chat/completions"]
    monkeypatch.setenv("no_proxy", "model.invalid")
    with pytest.raises(ModelBusy, match="gaierror"):
        Endpoint("http://model.invalid/v1", "m", timeout=20.0).complete(ASK)
    monkeypatch.delenv("no_proxy")
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:9")
    with pytest.raises(ModelBusy, match="a proxy of a kind that is not known"):
        Endpoint("http://model.invalid/v1", "m").complete(ASK)
