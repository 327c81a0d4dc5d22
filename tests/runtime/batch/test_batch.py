"""A batch of requests: nothing lost and nothing twice through kills, and what cannot be answered is named."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from copersona.runtime.batch import batch
from copersona.runtime.batch.batch import Generated, generate_file, request_seed
from copersona.runtime.common.errors import HistoryError, PersonError
from copersona.runtime.engine.engine import Sampling
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.people.store import PeopleStore
from copersona.runtime.session.session import Session, open_bundle

SHORT = Sampling(max_tokens=6)


@pytest.fixture(autouse=True)
def people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COPERSONA_HOME", str(tmp_path / "home"))
    with PeopleStore() as store:
        for name in ("ana", "ben", "eve"):
            texts = [f"{name} says: I love these strings! They are bright {n} times over." for n in range(3)]
            store.add(Interaction(name, text, time=float(n)) for n, text in enumerate(texts))


def write(path: Path, count: int, *more: str) -> Path:
    names = ["eve", None, "ana", "ben", "ana"]
    rows = [{"id": f"r{n}", "person": names[n % 5], "input": f"Write about it, {n} words."} for n in range(count)]
    path.write_text("".join(f"{line}\n" for line in (*map(json.dumps, rows), *more)), encoding="utf-8")
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def session(tiny_bundle: Path) -> Session:
    return open_bundle(tiny_bundle, threads=1, sequences=3)


def test_a_seed_for_each_request() -> None:
    assert request_seed(0, "r1") == request_seed(0, "r1")
    assert len({request_seed(seed, id_) for seed in range(30) for id_ in ("r1", "r2", "é")}) == 90
    assert all(0 <= request_seed(7, str(n)) < 2**32 - 1 for n in range(1_000))


def test_bad_lines_are_named_and_the_others_answered(session: Session, tmp_path: Path) -> None:
    more = ('{"id": "x1", "person": "anna", "input": "Hi"}', "{broken", '{"id": "r1", "input": "again"}')
    requests, answers = (
        write(tmp_path / "requests.jsonl", 5, *more, '{"id": "x2", "input": "Hi"}'),
        tmp_path / "a.jsonl",
    )
    assert generate_file(session, requests, answers, SHORT) == Generated(6, 0, 3)
    assert [row["id"] for row in read(answers)] == ["r0", "r1", "r2", "r3", "r4", "x2"]
    rejects = read(tmp_path / "a.jsonl.rejects.jsonl")
    assert [row["line"] for row in rejects] == [6, 7, 8]
    for row, reason in zip(
        rejects, ("nobody here is called 'anna'", "not JSON", "'r1' was used on line 2"), strict=True
    ):
        assert reason in row["reason"]
    assert all(name not in row["reason"].replace("anna", "") for row in rejects for name in ("ana", "ben", "eve"))
    for path in tmp_path.glob("a.jsonl*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert generate_file(session, requests, answers, SHORT, resume=True) == Generated(0, 6, 3)
    assert read(tmp_path / "a.jsonl.rejects.jsonl") == rejects
    with PeopleStore() as store:  # whose answers stand there is told where they are
        assert store.forget("ana").outputs == (answers, tmp_path / "a.jsonl.rejects.jsonl")


def test_a_request_that_the_model_refuses_is_a_reject(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests, answers = write(tmp_path / "requests.jsonl", 5), tmp_path / "a.jsonl"
    whole = Session.prompt

    def swollen(self: Session, request: str, known: Any) -> Any:
        prompt = whole(self, request, known)
        if request == "Write about it, 3 words.":
            object.__setattr__(prompt, "segments", prompt.segments * 20)
        return prompt

    monkeypatch.setattr(Session, "prompt", swollen)
    assert generate_file(session, requests, answers, SHORT) == Generated(4, 0, 1)
    row = read(tmp_path / "a.jsonl.rejects.jsonl")[0]
    assert row["line"] == 4
    assert "do not fit the context" in row["reason"]
    monkeypatch.undo()


def test_someone_forgotten_meanwhile_is_a_reject(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests, answers = write(tmp_path / "requests.jsonl", 5), tmp_path / "a.jsonl"
    whole = Session.person

    def gone(self: Session, store: PeopleStore, name: str) -> Any:
        if name == "ben":
            raise PersonError("nobody here is called 'ben'")
        return whole(self, store, name)

    monkeypatch.setattr(Session, "person", gone)
    assert generate_file(session, requests, answers, SHORT) == Generated(4, 0, 1)
    assert [row["id"] for row in read(answers)] == ["r0", "r1", "r2", "r4"]


def test_answers_do_not_depend_on_how_many_are_made_at_once_or_what_was_there(
    session: Session, tiny_bundle: Path, tmp_path: Path
) -> None:
    requests = write(tmp_path / "requests.jsonl", 9)
    generate_file(session, requests, tmp_path / "three.jsonl", SHORT)
    with open_bundle(tiny_bundle, threads=1) as one:
        generate_file(one, requests, tmp_path / "one.jsonl", SHORT)
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "three.jsonl").read_bytes()
    lines = (tmp_path / "one.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "one.jsonl").write_bytes(b"".join([lines[6], lines[1], lines[2], lines[3][:50]]))
    assert generate_file(session, requests, tmp_path / "one.jsonl", SHORT, resume=True) == Generated(6, 3, 0)
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "three.jsonl").read_bytes()
    assert session.engine.sequences.reached["computed"] == 4  # eve, ana, ben and nobody, each once


def test_other_requests_or_settings_are_another_run(session: Session, tmp_path: Path) -> None:
    requests, answers = write(tmp_path / "requests.jsonl", 2), tmp_path / "a.jsonl"
    generate_file(session, requests, answers, SHORT)
    with pytest.raises(HistoryError, match="begun with sampling seed 0, this call has 3"):
        generate_file(session, requests, answers, Sampling(max_tokens=6, seed=3), resume=True)
    with pytest.raises(HistoryError, match="begun with personas true, this call has false"):
        generate_file(session, requests, answers, SHORT, personas=False, resume=True)
    write(requests, 3)
    with pytest.raises(HistoryError, match="begun with requests"):
        generate_file(session, requests, answers, SHORT, resume=True)


def test_what_was_finished_is_kept_when_something_fails(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests, answers = write(tmp_path / "requests.jsonl", 9), tmp_path / "a.jsonl"
    whole, made = batch._body, []

    def fails(asked: Any, answer: Any) -> Any:
        if len(made) == 4:
            raise KeyboardInterrupt
        made.append(asked.id)
        return whole(asked, answer)

    with monkeypatch.context() as patched:
        patched.setattr(batch, "_body", fails)
        with pytest.raises(KeyboardInterrupt):
            generate_file(session, requests, answers, SHORT)
    assert [row["id"] for row in read(answers)] == made
    assert generate_file(session, requests, answers, SHORT, resume=True) == Generated(5, 4, 0)


def test_a_device_that_fails_once_doubles_no_answer_and_is_named(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests, answers = write(tmp_path / "requests.jsonl", 4), tmp_path / "a.jsonl"
    whole, failed = os.fsync, []

    def fails(descriptor: int) -> None:
        theirs = os.fstat(descriptor)
        if not failed and theirs.st_size and answers.exists() and os.path.samestat(theirs, answers.stat()):
            failed.append(descriptor)  # answers are written, and not known to be on the device
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        whole(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fails)
        with pytest.raises(OSError, match=f"Input/output error: '{answers}'"):
            generate_file(session, requests, answers, SHORT)
    assert failed
    found = [row["id"] for row in read(answers)]
    assert len(found) == len(set(found))
    assert generate_file(session, requests, answers, SHORT, resume=True).answered == 4 - len(found)
    assert [row["id"] for row in read(answers)] == ["r0", "r1", "r2", "r3"]


def test_promise_kill_loses_no_answer(tiny_bundle: Path, tmp_path: Path) -> None:
    requests = write(tmp_path / "requests.jsonl", 40)
    command = [sys.executable, "-m", "copersona.runtime", "generate", str(tiny_bundle), str(requests)]
    options = ["--max-tokens", "40", "--threads", "1", "--batch", "4", "--resume"]
    whole, answers, draw = tmp_path / "whole.jsonl", tmp_path / "answers.jsonl", random.Random(5)
    subprocess.run([*command, str(whole), *options], check=True, capture_output=True)
    kept: list[bytes] = []
    kills = 0
    for goal in (-1, 0, 4, 12, 25):  # before anything is there, then when so many answers are
        process = subprocess.Popen([*command, str(answers), *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while goal >= 0 and process.poll() is None and len(lines_of(answers)) <= goal:
            time.sleep(0.005)
        time.sleep(draw.uniform(0, 0.3))
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
        now = lines_of(answers)
        assert set(kept) <= set(now)
        kept = now
    assert kills >= 3
    subprocess.run([*command, str(answers), *options], check=True, capture_output=True)
    assert set(kept) <= set(lines_of(answers))
    assert answers.read_bytes() == whole.read_bytes()
    assert len({row["id"] for row in read(answers)}) == len(lines_of(answers)) == 40


def lines_of(path: Path) -> list[bytes]:
    """The whole lines of a file that may not be there yet."""
    if not path.exists():
        return []
    return [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
