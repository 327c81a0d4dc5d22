"""A real server on a port of this machine, with a model of random weights behind it, asked by plain HTTP."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")
pytest.importorskip("starlette", reason="the extra `serve` is not installed")

from copersona.runtime.history.interactions import Interaction
from copersona.runtime.people.store import PeopleStore
from copersona.runtime.serve.listen import Address, Serving
from copersona.runtime.serve.worker import Worker
from copersona.runtime.session.session import Session

TOKEN = "t" * 43
HELLO = {"model": "copersona", "messages": [{"role": "user", "content": "Hello."}], "max_tokens": 4, "seed": 1}


@dataclass
class Reply:
    """A response, read to its end."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)

    @property
    def error(self) -> Any:
        found = self.body["error"]
        assert set(found) == {"message", "type", "param", "code"}
        assert "\n" not in found["message"]
        assert "Traceback" not in self.raw.decode()
        return found

    @property
    def events(self) -> list[Any]:
        """The data of a stream; its last one is the string that ends it."""
        assert self.headers["content-type"].startswith("text/event-stream")
        lines = [part for part in self.raw.decode().split("\n\n") if part and not part.startswith(":")]
        assert all(line.startswith("data: ") for line in lines)
        found = [line.removeprefix("data: ") for line in lines]
        return [one if one == "[DONE]" else json.loads(one) for one in found]


@dataclass
class Running:
    """A server that runs."""

    serving: Serving
    worker: Worker
    home: Path
    token: str = TOKEN
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def port(self) -> int:
        return self.serving.port

    def ask(self, method: str, path: str, body: Any = None, *, raw: bytes | None = None, headers: Any = None) -> Reply:
        """One request with the token; `headers` change what is sent, None leaves one out."""
        sent: dict[str, str | None] = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        sent |= headers or {}
        raw = json.dumps(body).encode() if raw is None and body is not None else raw
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.putrequest(method, path, skip_host="Host" in sent)
            for name, value in sent.items():
                if value is not None:
                    connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(raw or b"")))
            connection.endheaders(raw)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, found, response.read())
        finally:
            connection.close()

    def chat(self, **fields: Any) -> Reply:
        """A short chat with some fields changed; None leaves one out."""
        body = {name: value for name, value in {**HELLO, **fields}.items() if value is not None}
        return self.ask("POST", "/v1/chat/completions", body)

    def text(self, **fields: Any) -> str:
        """The answer of such a chat."""
        found = self.chat(**fields)
        assert found.status == 200, found.raw
        return str(found.body["choices"][0]["message"]["content"])


def until(what: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)


@contextmanager
def serving(
    open_session: Callable[[], Session], home: Path, *, queue: int = 32, ready: bool = True
) -> Iterator[Running]:
    """A server in a thread of this process."""
    store = home / "people.sqlite"
    worker = Worker(open_session, lambda: PeopleStore(store, busy_seconds=0.2), most_waiting=queue)
    made = Serving(worker, Address(port=0), TOKEN)
    errors: list[BaseException] = []

    def run() -> None:
        try:
            made.run(signals=False)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    running = Running(made, worker, home)
    try:
        if ready:
            until(lambda: not worker.loading or errors)
            assert errors == []  # who asks a server that has ended waits for ever
        yield running
    finally:
        made.stop()
        thread.join(30)
        assert not thread.is_alive()
    assert errors == []


def add_people(home: Path) -> None:
    """Ana, Bo and Zoë, who wrote a little."""
    with PeopleStore(home / "people.sqlite") as store:
        for name in ("ana", "bo", "Zoë"):
            store.add(Interaction(name, f"{name} likes bright strings, no. {n}!", time=float(n)) for n in range(4))
