"""`people import` of exports: recognised and said, tried without keeping, kept once, all or nothing."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from copersona.runtime.history.interactions import ASKED
from copersona.runtime.people.store import PeopleStore

from .conftest import call, fails, works

CHAT = (
    "14/10/21, 15:00 - Messages are end-to-end encrypted.\n"
    "14/10/21, 15:01 - Bob: Is the rain over?\n"
    "14/10/21, 15:02 - Ana: It is, and the garden looks new.\n"
    "15/10/21, 15:03 - Ana: Yes\n"
    "16/10/21, 15:04 - Ana: I will plant the beans on Sunday.\n"
)
LONG = "I would like to know how the beans are planted. " * 6


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    path = tmp_path / "WhatsApp Chat - Bob.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("_chat.txt", CHAT)
    return path


def test_a_dry_run_shows_what_would_be_kept_and_keeps_nothing(tiny_bundle: Path, chat: Path, home: Path) -> None:
    done = call("people", "import", tiny_bundle, chat, "--dry-run")
    assert done.exit_code == 0, done.output
    assert "recognised as whatsapp (WhatsApp); Ana is kept" in done.stderr
    assert done.stdout.splitlines() == [
        "2 texts of Ana, from 2021-10-14 to 2021-10-16",
        "  first: It is, and the garden looks new.",
        "  first: I will plant the beans on Sunday.",
        "  left out:       1  written by a bot or the program (Messages are end-to-end encrypted.)",
        "  left out:       1  written by others (Is the rain over?)",
        "  left out:       1  a word or two (Yes)",
        "nothing was kept: this was a dry run",
    ]
    assert not (home / "people.sqlite").exists()


def test_what_the_person_wrote_is_kept_with_what_it_answers_and_only_once(tiny_bundle: Path, chat: Path) -> None:
    assert "2 new, 0 known already" in works("people", "import", tiny_bundle, chat, "--me", "ana", "--person", "ana")
    assert "0 new, 2 known already" in works("people", "import", tiny_bundle, chat, "--me", "ana", "--person", "ana")
    with PeopleStore() as store:
        [first, second] = store.history("ana")
    assert (first.input, first.output) == ("Is the rain over?", "It is, and the garden looks new.")
    assert (second.input, second.output) == ("Write a chat message.", "I will plant the beans on Sunday.")


def test_the_counts_are_there_for_programs_too(tiny_bundle: Path, chat: Path) -> None:
    body = json.loads(works("people", "import", tiny_bundle, chat, "--json"))
    assert (body["format"], body["person"], body["texts"], body["new"]) == ("whatsapp", "Ana", 2, 2)
    assert body["left_out"]["a word or two"] == 1
    assert json.loads(works("people", "import", tiny_bundle, chat, "--json", "--keep-junk"))["new"] == 1


def test_times_without_a_zone_are_in_the_zone_that_is_told(tiny_bundle: Path, chat: Path) -> None:
    works("people", "import", tiny_bundle, chat, "--zone", "Europe/Berlin")
    with PeopleStore() as store:
        assert store.history("Ana")[0].time == 1_634_216_520  # 13:02 UTC, in summer
    assert "no such time zone" in fails("people", "import", tiny_bundle, chat, "--zone", "Mars/Base")


def test_dates_that_may_be_read_both_ways_are_refused_with_what_settles_it(tiny_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "chat.txt"
    path.write_text("3/4/21, 15:02 - Ana: The garden looks new.\n", encoding="utf-8")
    given = ("people", "import", tiny_bundle, path, "--me", "Ana")
    refused = call(*given, "--format", "whatsapp")
    assert refused.exit_code == 1
    assert "--dates day-first or month-first" in refused.stderr
    works(*given, "--dates", "day-first")
    with PeopleStore() as store:
        assert store.history("Ana")[0].time == 1_617_462_120  # the third of April


def test_what_was_typed_to_an_assistant_is_taken_on_request_alone(tiny_bundle: Path, tmp_path: Path) -> None:
    node = {"message": {"author": {"role": "user"}, "content": {"parts": [LONG]}}}
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps([{"mapping": {"a": node}, "current_node": "a"}]), encoding="utf-8")
    given = ("people", "import", tiny_bundle, path, "--person", "ana")
    done = call(*given)
    assert done.exit_code == 1
    assert "nothing of it is evidence; 1 typed to an assistant (--prompts takes what is long)" in done.stderr
    assert "1 of them typed to an assistant and weak evidence at most" in works(*given, "--prompts")
    with PeopleStore() as store:
        assert [one.input for one in store.history("ana")] == [ASKED]
    shown = json.loads(works("people", "show", tiny_bundle, "ana", "--json"))
    assert {facet["reliability"] for facet in shown["facets"]} <= {"none", "weak"}


def test_an_export_that_breaks_off_leaves_nothing(tiny_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    post = json.dumps({"type": "message", "from": "Ana", "from_id": "user1", "text": "The garden looks new."})
    path.write_text(f'{{"type": "saved_messages", "id": 1, "messages": [{post}, {post[:-9]}', encoding="utf-8")
    assert f"error: {path}" in fails("people", "import", tiny_bundle, path, "--me", "Ana", "--format", "telegram")
    assert json.loads(works("people", "list", "--json")) == []


def test_lines_of_our_own_are_still_told_from_exports(tiny_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text(json.dumps({"person": "ben", "output": "It hums."}) + "\n", encoding="utf-8")
    assert "1 new interactions" in works("people", "import", tiny_bundle, path)
    path.write_text(json.dumps({"person": "ben"}) + "\n", encoding="utf-8")
    assert f"{path}:1: 'output' is missing" in fails("people", "import", tiny_bundle, path)


def test_a_dry_run_of_our_own_lines_keeps_nothing_either(tiny_bundle: Path, tmp_path: Path, home: Path) -> None:
    path = tmp_path / "history.jsonl"
    lines = ({"person": name, "output": f"{name} hums."} for name in ("ben", "ana", "ben"))
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assert works("people", "import", tiny_bundle, path, "--dry-run").splitlines() == [
        "3 texts of 2 people, 0 without text left out, 0 bad lines",
        "  first: ben hums.", "  first: ana hums.", "  first: ben hums.",
        "nothing was kept: this was a dry run",
    ]  # fmt: skip
    body = json.loads(works("people", "import", tiny_bundle, path, "--dry-run", "--json"))
    assert (body["texts"], body["people"], body["dry_run"]) == (3, 2, True)
    assert not (home / "people.sqlite").exists()
