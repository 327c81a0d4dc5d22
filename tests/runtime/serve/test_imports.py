"""A file that is sent to be looked at and then to be kept: nothing before, exactly that then, no trace of the file."""

from __future__ import annotations

import json
import os
import socket
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")

from copersona.runtime.importing import source as sources
from copersona.runtime.importing import taken
from copersona.runtime.importing.wish import Wish
from copersona.runtime.people.store import PeopleStore
from copersona.runtime.serve import upload
from copersona.runtime.serve.import_routes import PATH, PREVIEW
from copersona.runtime.session.session import open_bundle

from .running import TOKEN, Reply, Running, serving, until

CHAT = (
    b"14/10/21, 15:00 - Messages are end-to-end encrypted.\n"
    b"14/10/21, 15:01 - Bob: Is the rain over?\n"
    b"14/10/21, 15:02 - Eva: It is, and the garden looks new.\n"
    b"15/10/21, 15:03 - Eva: Yes\n"
    b"16/10/21, 15:04 - Eva: I will plant the beans on Sunday.\n"
)
FILE = {"Content-Type": "application/octet-stream"}


def send(server: Running, path: str, raw: bytes, **query: Any) -> Reply:
    return server.ask("POST", f"{path}?{urlencode(query, doseq=True)}", raw=raw, headers=FILE)


def preview(server: Running, raw: bytes, **query: Any) -> Any:
    found = send(server, PREVIEW, raw, **query)
    assert found.status == 200, found.raw
    return found.body


def left_behind(server: Running) -> list[str]:
    return sorted(name for _, folders, files in os.walk(server.home / upload.FOLDER) for name in (*folders, *files))


def zipped(**files: bytes) -> bytes:
    raw = BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return raw.getvalue()


def test_promise_a_preview_keeps_nothing(server: Running) -> None:
    found = preview(server, CHAT, name="WhatsApp Chat with Bob.txt")
    assert (found["format"], found["texts"], found["weak"]) == ("whatsapp", 2, 0)
    assert found["people"] == [{"name": "Eva", "texts": 2}]
    assert [one["text"] for one in found["first"]] == [
        "It is, and the garden looks new.", "I will plant the beans on Sunday."
    ]  # fmt: skip
    assert {one["reason"]: one["count"] for one in found["left_out"]} == {
        "written by a bot or the program": 1, "written by others": 1, "a word or two": 1
    }  # fmt: skip
    assert found["span"][0] < found["span"][1]
    assert [one.name for one in server.worker.store.people()] == ["Zoë", "ana", "bo"]
    assert left_behind(server) == []


def test_what_was_previewed_is_kept_once_and_as_the_command_keeps_it(random_bundle: Path, tmp_path: Path) -> None:
    with serving(lambda: open_bundle(random_bundle, threads=1), tmp_path / "a") as server:
        told = {"name": "WhatsApp Chat with Bob.txt", "zone": "Europe/Berlin"}
        digest = preview(server, CHAT, **told)["digest"]
        kept = send(server, PATH, CHAT, digest=digest, **told)
        assert (kept.status, kept.body["new"], kept.body["people"]) == (201, 2, ["Eva"])
        assert send(server, PATH, CHAT, digest=digest, **told).body["known"] == 2
        assert left_behind(server) == []
        history = server.worker.store.history("Eva")
    file = tmp_path / "WhatsApp Chat with Bob.txt"
    file.write_bytes(CHAT)
    with open_bundle(random_bundle, threads=1) as session, PeopleStore(tmp_path / "people.sqlite") as store:
        with Wish(zone="Europe/Berlin").export(file) as export:
            session.add(store, export)
        assert store.history("Eva") == history


def test_promise_what_was_not_previewed_is_not_kept(server: Running) -> None:
    told = {"name": "WhatsApp Chat with Bob.txt"}
    digest = preview(server, CHAT, **told)["digest"]
    for raw, more in ((CHAT.replace(b"beans", b"peas!"), {}), (CHAT, {"keep_junk": "true"}), (CHAT, {"person": "Ewa"})):
        found = send(server, PATH, raw, digest=digest, **told, **more)
        assert (found.status, found.error["code"]) == (409, "preview_differs")
    assert send(server, PATH, CHAT, **told).error["param"] == "digest"
    assert [one.name for one in server.worker.store.people()] == ["Zoë", "ana", "bo"]


def test_who_took_part_in_training_is_enrolled_in_the_same_step(random_bundle: Path, tmp_path: Path) -> None:
    with serving(lambda: open_bundle(random_bundle, threads=1), tmp_path) as server:
        peer = server.worker.session.graph.pseudonyms[0]
        told = {"name": "WhatsApp Chat with Bob.txt", "person": "Ann"}
        digest = preview(server, CHAT, **told)["digest"]
        assert send(server, PATH, CHAT, digest=digest, enrolled_as=peer, **told).body["enrolled"] == 1
        assert server.worker.store.enrolled(server.worker.session.manifest.population_id) == {"Ann": peer}


@pytest.mark.parametrize(
    ("raw", "name", "asks", "choices"),
    [
        (CHAT, "chat.txt", "me", ["Eva", "Bob"]),
        (CHAT.replace(b"14/10", b"3/4").replace(b"15/10", b"3/4").replace(b"16/10", b"4/4"),
         "WhatsApp Chat with Bob.txt", "dates", []),
        (b"A note of mine, of some words.", "note.md", "person", []),
    ],
)  # fmt: skip
def test_what_has_to_be_said_first_is_asked_for(
    server: Running, raw: bytes, name: str, asks: str, choices: list[str]
) -> None:
    found = preview(server, raw, name=name)
    assert found["unclear"] == asks
    assert [one["name"] for one in found["choices"]] == choices
    assert name in found["message"]
    assert "/" not in found["message"].replace("day/month", "")
    told = {"me": "eva", "dates": "day-first", "person": "Eva"}
    assert preview(server, raw, name=name, **{asks: told[asks]})["people"][0]["name"].casefold() == "eva"


def test_lines_of_several_people_are_read_as_such(server: Running) -> None:
    lines = [{"person": name, "output": f"{name} hums a tune."} for name in ("cid", "dot", "cid")]
    raw = "".join(json.dumps(line) + "\n" for line in [*lines, {"person": "x", "output": " "}]).encode()
    found = preview(server, raw, name="history.jsonl")
    assert found["people"] == [{"name": "cid", "texts": 2}, {"name": "dot", "texts": 1}]
    assert found["left_out"] == [{"reason": "without text", "count": 1, "example": ""}]
    bad = send(server, PREVIEW, raw + b"{}\n", name="history.jsonl")
    assert (bad.status, bad.error["message"].startswith("history.jsonl:5: 'person' is missing")) == (400, True)
    assert "skip_bad" in bad.error["message"]
    assert preview(server, raw + b"{}\n", name="history.jsonl", skip_bad="true")["left_out"][1] == {
        "reason": "cannot be read", "count": 1, "example": "line 5: 'person' is missing, expected text"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "name", "status", "said"),
    [
        (b"", "empty.txt", 400, "holds no interactions"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "cat.png", 415, "binary file"),
        (zipped(a=b"x"), "a.zip", 415, "no export that is known"),
        (b"PK\x03\x04 and no more", "cut.zip", 400, "cut or damaged"),
        (CHAT.replace(b"Eva:", b"Bob:"), "WhatsApp Chat with Eva.txt", 400, "who are you"),
    ],
)
def test_what_is_no_export_is_refused_by_its_name(
    server: Running, raw: bytes, name: str, status: int, said: str
) -> None:
    found = send(server, PREVIEW, raw, name=name)
    if found.status == 200:
        assert said in found.body["message"]
        return
    assert found.status == status
    assert said in found.error["message"]
    assert found.error["message"].startswith(name)
    assert left_behind(server) == []


def test_what_is_too_large_is_refused(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "ANYWAY", 1 << 20)
    bomb = send(server, PREVIEW, zipped(**{"conversations.json": b"[" + b" " * (8 << 20) + b"]"}), name="bomb.zip")
    assert (bomb.status, "unpacks to more than" in bomb.error["message"]) == (413, True)
    monkeypatch.setattr(taken, "MOST_TEXTS", 1)
    many = send(server, PREVIEW, CHAT, name="WhatsApp Chat with Bob.txt")
    assert (many.status, "people import" in many.error["message"]) == (413, True)
    monkeypatch.setattr(upload, "MOST", 100)
    assert send(server, PREVIEW, CHAT, name="chat.txt").error["code"] == "body_too_large"
    assert left_behind(server) == []


def test_what_is_nothing_of_the_query_is_refused(server: Running) -> None:
    for query in ({"formt": "x"}, {"format": "word"}, {"dates": "x"}, {"prompts": "1"}, {"me": "x" * 500}):
        found = send(server, PREVIEW, CHAT, name="WhatsApp Chat with Bob.txt", **query)
        assert (found.status, found.error["param"]) == (400, next(iter(query)))
    zone = send(server, PREVIEW, CHAT, name="WhatsApp Chat with Bob.txt", zone="Mars/Base")
    assert (zone.status, "no such time zone" in zone.error["message"]) == (400, True)


def test_a_body_that_is_not_sent_as_a_file_is_refused(server: Running) -> None:
    for path in (PATH, PREVIEW):
        assert server.ask("POST", path, {}).error["code"] == "content_type"


@given(st.text(max_size=300) | st.sampled_from(["../../etc/passwd", "a\\..\\b.zip", "..", ".", "/", "con\0x.txt"]))
def test_any_name_becomes_the_name_of_one_file(name: str) -> None:
    safe = upload.safe_name(name)
    assert safe not in ("", ".", "..")
    assert not {"/", "\\", "\0"} & set(safe)
    assert len(safe.encode()) <= 255


def test_a_name_that_leads_elsewhere_stays_in_its_folder(server: Running) -> None:
    found = preview(server, CHAT, name="../../WhatsApp Chat with Bob.txt")
    assert found["format"] == "whatsapp"
    assert left_behind(server) == []


def held(server: Running) -> socket.socket:
    """A connection that has sent half of a file."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    head = f"POST {PREVIEW}?name=a.txt HTTP/1.1\r\nHost: localhost:{server.port}\r\nAuthorization: Bearer {TOKEN}\r\n"
    head += f"Content-Type: application/octet-stream\r\nContent-Length: {len(CHAT)}\r\n\r\n"
    connection.sendall(head.encode() + CHAT[:40])
    until(lambda: "a.txt" in left_behind(server))
    return connection


def test_promise_a_dropped_file_is_the_owners_and_gone_with_its_client(server: Running) -> None:
    connection = held(server)
    (file,) = (server.home / upload.FOLDER).rglob("a.txt")
    assert [oct(os.stat(path).st_mode & 0o777) for path in (file, file.parent, file.parent.parent)] == [
        "0o600", "0o700", "0o700"
    ]  # fmt: skip
    connection.close()
    until(lambda: left_behind(server) == [])


def test_a_file_that_does_not_come_on_is_given_up(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "SILENCE", 0.2)
    connection = held(server)
    assert b" 408 " in connection.recv(200)
    connection.close()
    until(lambda: left_behind(server) == [])


def test_what_a_kill_left_is_removed_and_what_is_in_use_is_not(tmp_path: Path) -> None:
    for name in ("left", "used"):
        (tmp_path / upload.FOLDER / name).mkdir(parents=True)
        (tmp_path / upload.FOLDER / name / "chat.txt").write_bytes(CHAT)
    with upload._locked(tmp_path / upload.FOLDER / "used"):
        upload.sweep(tmp_path)
        assert [path.name for path in (tmp_path / upload.FOLDER).iterdir()] == ["used"]
    upload.sweep(tmp_path)
    assert list((tmp_path / upload.FOLDER).iterdir()) == []


def test_where_the_disk_is_full_nothing_stays(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    write: Callable[[int, bytes], int] = os.write

    def full(descriptor: int, part: bytes) -> int:
        if part.startswith(CHAT[:20]):
            raise OSError(28, "No space left on device")
        return write(descriptor, part)

    monkeypatch.setattr(upload.os, "write", full)
    assert send(server, PREVIEW, CHAT, name="chat.txt").status == 507
    assert left_behind(server) == []
