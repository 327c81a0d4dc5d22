"""The one thread that owns the model: fair, bounded, rid of who leaves within a step, and alive after what fails."""

from __future__ import annotations

import http.client
import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")

from copersona.runtime.chat.ask import Message
from copersona.runtime.common.errors import BundleError, ModelError
from copersona.runtime.engine.sampling import Sampling
from copersona.runtime.engine.sequences import Sequences
from copersona.runtime.people.store import PeopleStore
from copersona.runtime.serve.fault import Fault
from copersona.runtime.serve.job import Begun, Ended, Event, Job, Ready, Text
from copersona.runtime.serve.listen import Address, Serving
from copersona.runtime.serve.worker import Worker
from copersona.runtime.session.conversing import converse
from copersona.runtime.session.session import Session, open_bundle

from .running import HELLO, TOKEN, Running, add_people, serving, until

LONG = {"type": "json_schema", "json_schema": {"schema": {"type": "string", "minLength": 2_000}}}
ENDLESS: dict[str, Any] = {"response_format": LONG, "max_tokens": None, "temperature": 1.0}
"""A chat that goes on until its context is full."""


@pytest.fixture(scope="module")
def narrow(random_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server of one sequence, where four may wait."""
    home = tmp_path_factory.mktemp("narrow")
    add_people(home)
    with serving(lambda: open_bundle(random_bundle, threads=1), home, queue=4) as running:
        yield running


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps that take as long as those of a larger model."""
    step = Sequences.step

    def slow(self: Sequences, generations: Any) -> None:
        time.sleep(0.02)
        step(self, generations)

    monkeypatch.setattr(Sequences, "step", slow)


STREAMS: list[Stream] = []


@pytest.fixture(autouse=True)
def hang_up() -> Iterator[None]:
    """No client stays when a test is over."""
    yield
    while STREAMS:
        STREAMS.pop().leave()


class Stream:
    """A chat that streams, of which the first bytes were read."""

    def __init__(self, server: Running, **fields: Any) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        body = {
            name: value for name, value in {**HELLO, **ENDLESS, "stream": True, **fields}.items() if value is not None
        }
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        STREAMS.append(self)
        self._connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        self.response = self._connection.getresponse()
        assert self.response.status == 200
        self.first = self.response.readline()

    def leave(self) -> None:
        if hasattr(self, "response"):
            self.response.close()
        self._connection.close()


def job(told: list[Event], name: str | None = None, tokens: int = 4, *, endless: bool = False) -> Job:
    """A job of the worker, without a client, of the letter a; what it tells is kept."""

    def prepare(session: Session, store: PeopleStore) -> Ready:
        known = None if name is None else session.person(store, name)
        grammar = 'root ::= "a"{1900,}' if endless else 'root ::= "a"*'
        turned = converse(session, [Message("user", "Hello.")], known, Sampling(max_tokens=tokens), grammar)
        return Ready(turned.wanted, turned.positions)

    return Job(name, prepare, told.append)


def test_who_leaves_frees_their_place_within_one_step(narrow: Running, slowly: None) -> None:
    told: list[Event] = []
    one = job(told, tokens=800, endless=True)
    narrow.worker.submit(one)
    until(lambda: len(told) > 5)
    narrow.worker.leave(one)
    before = len(told)
    until(lambda: not narrow.worker.running, 5)
    assert len(told) <= before + 1  # the step that was being made
    assert not any(isinstance(event, Ended) for event in told)


@pytest.mark.parametrize("how", ["a stream", "a whole answer", "in the queue"])
def test_a_client_that_hangs_up_is_left(narrow: Running, slowly: None, how: str) -> None:
    if how == "a stream":
        stream = Stream(narrow)
        assert narrow.worker.running == 1
        stream.leave()
    else:
        busy = Stream(narrow) if how == "in the queue" else None
        connection = http.client.HTTPConnection("127.0.0.1", narrow.port, timeout=60)
        body = {name: value for name, value in {**HELLO, **ENDLESS}.items() if value is not None}
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        until(lambda: narrow.worker.running == 1 and (busy is None or len(narrow.worker._waiting) == 1))
        connection.close()
        if busy is not None:
            until(lambda: not len(narrow.worker._waiting), 5)
            busy.leave()
    began = time.monotonic()
    until(lambda: not narrow.worker.running, 5)
    assert time.monotonic() - began < 5
    assert narrow.chat().status == 200


def test_people_take_turns_however_much_one_of_them_asks(narrow: Running, slowly: None) -> None:
    order: list[str] = []
    done: list[Event] = []

    def told(name: str) -> Any:
        def tell(event: Event) -> None:
            if isinstance(event, Begun):
                order.append(name)
            if isinstance(event, Ended | Fault):
                done.append(event)

        return tell

    busy: list[Event] = []
    first = job(busy, tokens=800, endless=True)
    narrow.worker.submit(first)
    until(lambda: busy)
    asked = [job([], name) for name in ("ana", "ana", "bo", None)]
    for one in asked:
        one._tell = told(str(one.whose))
        narrow.worker.submit(one)
    narrow.worker.leave(first)
    until(lambda: len(done) == 4)
    assert order == ["ana", "bo", "None", "ana"]


def test_no_more_wait_than_may_and_nobody_takes_all_the_room(narrow: Running, slowly: None) -> None:
    stream = Stream(narrow)
    told: list[Event] = []
    waiting = [job(told, "ana"), job(told, "ana")]
    for one in waiting:
        narrow.worker.submit(one)
    mine = narrow.chat(model="copersona:ana")
    assert (mine.status, mine.error["code"]) == (429, "queue_full")
    assert mine.error["type"] == "rate_limit_error"
    assert 1 <= int(mine.headers["retry-after"]) <= 60
    waiting += [job(told, "bo"), job(told, "bo")]
    for one in waiting[2:]:
        narrow.worker.submit(one)
    assert narrow.chat(model="copersona-plain", stream=True).status == 429
    stream.leave()
    until(lambda: sum(isinstance(event, Ended) for event in told) == 4)
    assert narrow.chat(model="copersona:ana").status == 200


def test_what_several_get_at_once_is_what_each_gets_alone(server: Running) -> None:
    asked = [
        {"model": f"copersona:{name}", "seed": seed, "max_tokens": 24} for seed in range(3) for name in ("ana", "bo")
    ]
    alone = [server.text(**one) for one in asked]
    found: dict[int, str] = {}

    def ask(number: int) -> None:
        found[number] = server.text(**asked[number])

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(len(asked))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[n] for n in range(len(asked))] == alone


def test_health_answers_while_it_loads_and_nothing_else_does(random_bundle: Path, tmp_path: Path) -> None:
    let = threading.Event()

    def slow() -> Session:
        assert let.wait(30)
        return open_bundle(random_bundle, threads=1)

    with serving(slow, tmp_path, ready=False) as running:
        until(lambda: running.serving._server is not None and running.serving._server.started)
        health = running.ask("GET", "/health", headers={"Authorization": None})
        assert (health.status, health.body) == (503, {"status": "loading", "loading": "the bundle"})
        for found in (running.chat(), running.ask("GET", "/v1/models")):
            assert (found.status, found.error["code"]) == (503, "loading")
            assert int(found.headers["retry-after"]) > 0
        let.set()
        until(lambda: not running.worker.loading)
        assert running.ask("GET", "/health").body == {"status": "ok"}
        assert running.chat().status == 200


def test_a_bundle_that_cannot_be_opened_ends_the_server_with_its_line(tmp_path: Path) -> None:
    def none() -> Session:
        raise BundleError("it is not there")

    worker = Worker(none, lambda: PeopleStore(tmp_path / "people.sqlite"), most_waiting=4)
    with pytest.raises(BundleError, match="it is not there"):
        Serving(worker, Address(port=0), TOKEN).run(signals=False)


def test_a_store_that_another_process_holds_is_said_and_passes(narrow: Running) -> None:
    other = sqlite3.connect(narrow.home / "people.sqlite", isolation_level=None)
    try:
        other.execute("BEGIN EXCLUSIVE")
        found = narrow.chat(model="copersona:ana")
        assert (found.status, found.error["code"]) == (503, "store_unavailable")
        assert found.headers["retry-after"] == "2"
        assert narrow.ask("GET", "/v1/models").status == 503
        assert narrow.chat().status == 200  # nobody needs no store
        other.execute("ROLLBACK")
    finally:
        other.close()
    assert narrow.chat(model="copersona:ana").status == 200


def test_who_is_forgotten_meanwhile_is_nobody_here(narrow: Running) -> None:
    from copersona.runtime.history.interactions import Interaction

    with PeopleStore(narrow.home / "people.sqlite") as store:
        store.add([Interaction("eve", "I wrote this.")])
        assert narrow.chat(model="copersona:eve").status == 200
        store.forget("eve")
        found = narrow.chat(model="copersona:eve")
    assert (found.status, found.error["code"]) == (404, "person_not_found")


def test_a_model_that_fails_fails_those_that_run_and_no_others(
    narrow: Running, monkeypatch: pytest.MonkeyPatch, slowly: None
) -> None:
    expected = narrow.text()
    stream = Stream(narrow)

    def broken(self: Sequences, generations: Any) -> None:
        monkeypatch.undo()
        raise ModelError("llama.cpp cannot decode 1 positions")

    monkeypatch.setattr(Sequences, "step", broken)
    rest = stream.response.read().decode().strip().split("\n\n")
    assert json.loads(rest[-1].removeprefix("data: "))["error"]["type"] == "server_error"
    assert "[DONE]" not in rest[-1]
    assert narrow.text() == expected


def test_what_nobody_foresaw_is_one_line_without_what_was_in_it(
    narrow: Running, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(self: Session, store: object, name: str) -> None:
        raise RuntimeError("what ana wrote in private")

    monkeypatch.setattr(Session, "person", broken)
    found = narrow.chat(model="copersona:ana")
    monkeypatch.undo()
    assert (found.status, found.error["code"]) == (500, "internal_error")
    assert found.headers["x-should-retry"] == "false"
    assert "private" not in found.raw.decode() + capfd.readouterr().err
    assert narrow.chat(model="copersona:ana").status == 200


def test_what_runs_when_the_server_stops_ends_with_a_mark(random_bundle: Path, tmp_path: Path, slowly: None) -> None:
    add_people(tmp_path)
    with serving(lambda: open_bundle(random_bundle, threads=1), tmp_path) as running:
        stream = Stream(running, model="copersona:ana")
        running.serving.stop()
        rest = stream.response.read().decode().strip().split("\n\n")
    assert json.loads(rest[-1].removeprefix("data: "))["error"]["code"] == "stopping"
    with pytest.raises(Fault, match="stopping"):
        running.worker.submit(job([]))
    with PeopleStore(tmp_path / "people.sqlite") as store:  # it was closed, and is whole
        store.check()


def test_a_long_silence_is_pinged(narrow: Running, monkeypatch: pytest.MonkeyPatch, slowly: None) -> None:
    from copersona.runtime.serve import answering

    monkeypatch.setattr(answering, "PATIENCE", 0.1)
    monkeypatch.setattr(answering, "PING", 0.1)
    busy = Stream(narrow)
    waits = Stream(narrow, **{**ENDLESS, "response_format": None, "max_tokens": 3})
    assert waits.first.startswith(b"data: ")
    assert b": ping" in waits.response.readline() + waits.response.readline()
    busy.leave()
    assert b"[DONE]" in waits.response.read()


def test_texts_that_a_job_tells_are_all_of_it(narrow: Running) -> None:
    told: list[Event] = []
    narrow.worker.submit(job(told, "bo", tokens=20))
    until(lambda: any(isinstance(event, Ended) for event in told))
    assert isinstance(told[0], Begun)
    ended = told[-1]
    assert isinstance(ended, Ended)
    assert set("".join(event.text for event in told if isinstance(event, Text))) <= {"a"}
    assert ended.tokens <= 20
