"""The command line: every command explains itself, foreseen faults are one line and exit code 1, nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from copersona.runtime.bundle.verify import open_manifest
from copersona.runtime.cli.main import main
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.people.store import PeopleStore

from .conftest import call, fails, works

QUICK = ("--max-tokens", "8", "--threads", "1")
GOOD = [
    {"person": "ana", "output": "I love these strings! They are bright, and they last. Thank you so much!", "time": 1},
    {"person": "ana", "output": "Nice pick! I would buy it again, it fits my hand.", "time": 2, "title": "Nice"},
    {"person": "ben", "output": "It hums. The amplifier is 20 W, 4 kg... returned.", "rating": 2.0},
]


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def history(tmp_path: Path) -> Path:
    return write(tmp_path / "history.jsonl", GOOD)


@pytest.fixture
def ana(tiny_bundle: Path, history: Path) -> Path:
    """The bundle, with ana and ben in the store."""
    works("people", "import", tiny_bundle, history)
    return tiny_bundle


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


ALL = list(commands(main))
EXPLAINED = [
    pytest.param(
        path, id=" ".join(path), marks=[pytest.mark.export] if path[:1] in (("export",), ("evaluate",)) else []
    )
    for path in ALL
]


@pytest.mark.parametrize("path", EXPLAINED)
def test_every_command_explains_itself(path: tuple[str, ...]) -> None:
    text = works(*path, "--help")
    assert text.startswith("Usage: ")
    assert len(text.split("Options:")[0].split()) > 8
    assert works(*path, "-h") == text or path[:1] == ("export",)


def test_the_commands_are_the_ones_that_the_documentation_names() -> None:
    assert {" ".join(p) for p in ALL} >= {
        "ask", "generate", "doctor", "bundle verify", "bundle show", "people import", "people list", "people show",
        "people forget", "export run", "export measure",
    }  # fmt: skip
    assert works("--version").startswith("main, version 0.") or "0." in works("--version")


def test_import_list_show_and_forget(tiny_bundle: Path, history: Path, home: Path) -> None:
    said = json.loads(works("people", "import", tiny_bundle, history, "--json"))
    added = {"people": 2, "new": 3, "known": 0, "named": 0, "enrolled": 0}
    assert said == {**added, "empty": 0, "bad": 0, "marks": 0, "hidden": 0}
    assert json.loads(works("people", "import", tiny_bundle, history, "--json"))["known"] == 3
    listed = json.loads(works("people", "list", tiny_bundle, "--json"))
    assert listed == [
        {"person": "ana", "interactions": 2, "peer": None},
        {"person": "ben", "interactions": 1, "peer": None},
    ]
    assert "ana" in works("people", "list", tiny_bundle)
    shown = json.loads(works("people", "show", tiny_bundle, "ana", "--json"))
    assert shown["interactions"] == 2
    assert len(shown["facets"]) == 5
    texts = [str(row["output"]) for row in GOOD]
    for facet in shown["facets"]:
        assert all(any(quote in text for text in texts) for quote in facet["quotes"])
        assert 0 < facet["gate"] < 1
    assert "ana: 2 interactions" in works("people", "show", tiny_bundle, "ana")
    works("ask", tiny_bundle, "Hi.", "--person", "ana", *QUICK)
    kept = list((home / "people.prefixes").rglob("*.state"))
    assert len(kept) == 1
    states = json.loads(works("people", "show", tiny_bundle, "ana", "--json"))["states"]
    assert states == {"states": 1, "bytes": kept[0].stat().st_size}
    gone = json.loads(works("people", "forget", "ana", "--json"))
    assert gone["interactions"] == 2
    assert not list((home / "people.prefixes").rglob("*"))
    assert [row["person"] for row in json.loads(works("people", "list", tiny_bundle, "--json"))] == ["ben"]
    assert b"these strings" not in b"".join(p.read_bytes() for p in home.rglob("*") if p.is_file())
    assert "ana" in fails("people", "forget", "ana")
    assert [row["person"] for row in json.loads(works("people", "list", "--json"))] == ["ben"]  # of no bundle


def test_people_are_listed_by_page(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"person {n:03d}" for n in range(1, 121)]
    with PeopleStore(home / "people.sqlite") as store:
        store.add(Interaction(name, "x") for name in names)
    whole = call("people", "list")
    assert [one[:32].strip() for one in whole.stdout.splitlines()] == names
    assert whole.stderr == "120 people\n"
    page = call("people", "list", "--limit", "2", "--after", "person 005")
    assert page.stdout.split() == ["person", "006", "1", "person", "007", "1"]
    assert page.stderr == "2 of 120 people; for the next, --after 'person 007'\n"
    assert call("people", "list", "--limit", "2", "--after", "person 118").stderr == "2 of 120 people\n"
    assert call("people", "list", "--after", "q").stderr == "0 of 120 people\n"
    assert [row["person"] for row in json.loads(works("people", "list", "--json"))] == names
    listed = json.loads(works("people", "list", "--json", "--limit", "1", "--after", "person 119"))
    assert listed == [{"person": "person 120", "interactions": 1, "peer": None}]
    assert json.loads(works("people", "list", "--json", "--after", "q")) == []
    assert call("people", "list", "--limit", "0").exit_code == 2


def test_a_terminal_gets_a_page_of_people(home: Path) -> None:
    from .test_terminal import on_a_terminal

    with PeopleStore(home / "people.sqlite") as store:
        store.add(Interaction(f"p{n:03d}", "x") for n in range(60))
    commands = [["people", "list"], ["people", "list", "--all"], ["people", "list", "--json"]]
    page, whole, body = on_a_terminal(commands, "", COPERSONA_HOME=str(home))
    lines = page[0].splitlines()
    assert [line.split()[0] for line in lines[:50]] == [f"p{n:03d}" for n in range(50)]
    assert lines[50:] == ["50 of 60 people; for the next, --after p049"]
    assert len(whole[0].splitlines()) == 61
    assert len(json.loads(body[0])) == 60


@pytest.mark.parametrize("last", ["no JSON", '{"person": "ana", "output": 5}'])
def test_an_import_that_fails_at_its_end_keeps_nothing(
    last: str, tiny_bundle: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    works("people", "import", tiny_bundle, write(tmp_path / "before.jsonl", GOOD[:1]))
    path = write(tmp_path / "history.jsonl", [{"person": f"p{n}", "output": f"text {n}"} for n in range(3000)])
    path.write_text(path.read_text(encoding="utf-8") + last + "\n", encoding="utf-8")
    names = tmp_path / "names.json"
    names.write_text('{"p1": "p1"}', encoding="utf-8")
    assert "history.jsonl:3001: " in fails("people", "import", tiny_bundle, path, "--enrolled-as", names)
    with PeopleStore(home / "people.sqlite") as store:
        assert [(row.name, row.interactions) for row in store.people()] == [("ana", 1)]
        assert store.enrolled(open_manifest(tiny_bundle).population_id) == {}
    said = call("people", "import", tiny_bundle, path, "--skip-bad", "--enrolled-as", names)
    assert said.stdout.startswith("3000 people: 3000 new interactions, 0 known already, ")
    assert said.stdout.endswith("1 bad lines, 1 enrolled\n")
    assert "skipped: " in said.stderr


def test_of_very_many_bad_lines_the_first_are_named_and_all_counted(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from copersona.runtime.importing import wish

    monkeypatch.setattr(wish, "SAID_BAD", 2)
    path = tmp_path / "history.jsonl"
    path.write_text("{}\n" * 5 + json.dumps(GOOD[0]) + "\n", encoding="utf-8")
    said = call("people", "import", tiny_bundle, path, "--skip-bad", "--json")
    assert json.loads(said.stdout)["bad"] == 5
    assert [line.split(":")[0] for line in said.stderr.splitlines()] == ["skipped"] * 3
    assert said.stderr.splitlines()[-1] == "skipped: 3 more"


def test_people_who_took_part_are_enrolled_by_their_pseudonym(
    tiny_run: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    names = json.loads((tiny_run / "pseudonyms.json").read_text())
    person = next(iter(names))
    rows = [json.loads(line) for line in (tiny_run / "histories.jsonl").read_text().splitlines()]
    path = write(tmp_path / "one.jsonl", [row for row in rows if row["person"] == person])
    said = works("people", "import", tiny_bundle, path, "--enrolled-as", tiny_run / "pseudonyms.json", "--json")
    assert json.loads(said)["enrolled"] == 1
    listed = json.loads(works("people", "list", tiny_bundle, "--json"))
    assert listed[0]["peer"] == names[person]
    shown = json.loads(works("people", "show", tiny_bundle, person, "--json"))
    assert names[person] not in json.dumps(shown)
    write(tmp_path / "bad.json", [{"ana": 7}])
    assert "person to pseudonym" in fails("people", "import", tiny_bundle, path, "--enrolled-as", tmp_path / "bad.json")
    assert "gone.json" in fails("people", "import", tiny_bundle, path, "--enrolled-as", tmp_path / "gone.json")


def test_ask_answers_as_the_person_and_says_from_what(ana: Path) -> None:
    body = json.loads(works("ask", ana, "-e", "Write a review.\\nTitle: fine", "--person", "ana", "--json", *QUICK))
    again = json.loads(works("ask", ana, "-e", "Write a review.\\nTitle: fine", "--person", "ana", "--json", *QUICK))
    assert body == again
    assert body["person"] == "ana"
    assert body["receipt"]["request"] == "Write a review.\nTitle: fine"
    assert len(body["receipt"]["retrieved"]) >= 1
    nobody = json.loads(works("ask", ana, "Write a review.", "--person", "ana", "--no-persona", "--json", *QUICK))
    assert nobody["receipt"]["soft_prompt"] == "nobody"
    assert nobody["receipt"]["retrieved"] == []
    assert nobody["person"] is None


def test_ask_streams_the_same_text_and_puts_the_receipt_on_stderr(ana: Path) -> None:
    body = json.loads(works("ask", ana, "Write.", "--person", "ana", "--json", *QUICK))
    result = call("ask", ana, "Write.", "--person", "ana", "--receipt", *QUICK)
    assert result.exit_code == 0
    assert result.stdout.strip() == body["output"]
    assert json.loads(result.stderr) == body["receipt"]


def test_ask_takes_another_context_than_the_trained_one(ana: Path) -> None:
    trained = open_manifest(ana).settings["context"]["budget"]
    ask = ("ask", ana, "Would you buy it?", "--person", "ana", "--json", *QUICK)
    with PeopleStore() as store:
        kept = lambda: store._db.execute("SELECT count(*) FROM vectors").fetchone()[0]
        works(*ask, "--recent", "1", "--matched", "1")
        assert kept() == 0
        options = ("--recent", "1", "--matched", "1", "--matcher", "dense", "--show", "both", "--place", "last")
        receipt = json.loads(works(*ask, *options, "--brake", "8"))["receipt"]
        assert kept() == 1
    assert [row["by"] for row in receipt["retrieved"]] == ["recent", "dense"]
    assert {k: receipt["context"][k] for k in ("show", "place", "budget", "brake")} == {
        "show": "both", "place": "last", "budget": trained, "brake": 8.0,
    }  # fmt: skip
    assert "no room is left" in fails(*ask, "--budget", "5000")
    assert call(*ask, "--matcher", "bm52").exit_code == 2


def test_generate_answers_a_file_in_its_order(ana: Path, tmp_path: Path) -> None:
    rows = [{"id": f"r{i}", "person": p, "input": f"Write {i}."} for i, p in enumerate(["ben", "ana", None, "ben"])]
    requests, answers = write(tmp_path / "requests.jsonl", rows), tmp_path / "answers.jsonl"
    works("generate", ana, requests, answers, *QUICK)
    found = [json.loads(line) for line in answers.read_text(encoding="utf-8").splitlines()]
    assert [{k: row[k] for k in ("id", "person", "input")} for row in found] == rows
    assert len({answer["receipt"]["sampling"]["seed"] for answer in found}) == 4
    for row, answer in zip(rows, found, strict=True):
        options = ["--person", row["person"]] if row["person"] else []
        options += ["--seed", answer["receipt"]["sampling"]["seed"]]
        alone = json.loads(works("ask", ana, row["input"], *options, "--json", *QUICK))
        assert (answer["output"], answer["receipt"]) == (alone["output"], alone["receipt"])
    before = answers.read_bytes()
    assert "is there already; go on with it by --resume" in fails("generate", ana, requests, answers, *QUICK)
    assert answers.read_bytes() == before
    assert not list(tmp_path.glob("*rejects*"))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('{"id": "1", "person": "zoe", "input": "Hi"}', "not one of its 1 lines can be answered; line 1: .*zoe"),
        ("{broken", "line 1: not JSON"),
        ("", "holds no requests"),
    ],
)
def test_generate_reads_everything_before_the_first_answer(ana: Path, tmp_path: Path, lines: str, message: str) -> None:
    import re

    (tmp_path / "requests.jsonl").write_text(lines)
    said = fails("generate", ana, tmp_path / "requests.jsonl", tmp_path / "answers.jsonl", *QUICK)
    assert re.search(message, said)
    assert not list(tmp_path.glob("answers*"))


def test_generate_finds_out_at_once_that_the_answers_have_no_place(
    ana: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = write(tmp_path / "requests.jsonl", [{"id": "1", "person": "ana", "input": "Hi"}])
    monkeypatch.setattr("copersona.runtime.batch.batch._answer", lambda *_: pytest.fail("an answer was made in vain"))
    assert "no/such" in fails("generate", ana, requests, tmp_path / "no" / "such" / "answers.jsonl", *QUICK)


def test_doctor_finds_this_machine_fit(tiny_bundle: Path, ana: Path) -> None:
    findings = json.loads(works("doctor", tiny_bundle, "--json"))
    assert all(f["ok"] for f in findings)
    assert {"python", "llama-cpp-python", "sqlite", "people store", "bundle"} <= {f["what"] for f in findings}
    assert "2 people" in next(f["found"] for f in findings if f["what"] == "people store")
    assert "FAIL" not in works("doctor")


def test_doctor_fails_on_a_broken_bundle(tiny_bundle: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_bundle, copy)
    (copy / "facets.json").write_text("{}")
    result = call("doctor", copy)
    assert result.exit_code == 1
    assert "FAIL bundle: " in result.stdout
    assert "facets.json" in result.stdout


def test_bundle_show_and_verify(tiny_bundle: Path) -> None:
    shown = json.loads(works("bundle", "show", tiny_bundle, "--json"))
    assert len(shown["facets"]) == shown["shapes"]["facets"] == 5
    text = works("bundle", "show", tiny_bundle)
    assert "soft tokens" in text
    budget = open_manifest(tiny_bundle).settings["context"]["budget"]
    assert f"prompts: 4 latest, 0 by bm25, outputs shown, facets first, up to {budget} tokens" in text
    assert json.loads(works("bundle", "verify", tiny_bundle, "--json"))["whole"] is True


def test_promise_files_are_the_owners_alone(tiny_bundle: Path, history: Path, home: Path, tmp_path: Path) -> None:
    """All that bears names or texts: store, states of prompts, answers and what is beside them, whatever the umask."""
    requests, answers = tmp_path / "requests.jsonl", tmp_path / "answers.jsonl"
    rows = [{"id": "1", "person": "ana", "input": "Write."}, {"id": "2", "person": "no one", "input": "Write."}]
    requests.write_text("\n".join(map(json.dumps, rows)))
    before = os.umask(0)
    try:
        works("people", "import", tiny_bundle, history)
        works("ask", tiny_bundle, "Write.", "--person", "ana", "--max-tokens", "2")
        assert call("generate", tiny_bundle, requests, answers, "--max-tokens", "2").exit_code == 1
    finally:
        os.umask(before)
    places = [home, *home.glob("people*"), *(home / "people.prefixes").rglob("*"), *tmp_path.glob("answers*")]
    assert len([path for path in places if path.is_file()]) >= 5
    for path in places:
        assert os.stat(path).st_mode & 0o077 == 0, path
    with PeopleStore() as store:
        assert len(store.history("ana")) == 2


def claims(body: dict[str, Any]) -> str:
    """A model that says one thing of everyone, quotes their last words and makes up a quote."""
    data = json.JSONDecoder().raw_decode(body["messages"][1]["content"])[0]
    said = {}
    for name, texts in data["people"].items():
        claim = {"note": "calm", "quotes": [texts[-1][-30:], "nobody wrote this ever"], "reliability": "moderate"}
        said[name] = {f: {"value": facet["values"][0], **claim} for f, facet in data["facets"].items()}
    return json.dumps(said)


def test_the_owner_may_have_people_profiled_by_a_model(
    tiny_bundle: Path, ana: Path, home: Path, chat_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_KEY", "sk-canary-77")
    chat_server.answer = claims
    by = ("--profile-endpoint", chat_server.url, "--profile-model", "tester", "--profile-key-env", "A_KEY")
    body = json.loads(works("ask", tiny_bundle, "Write.", "--person", "ana", "--json", *QUICK, *by))
    assert body["receipt"]["versions"]["profiler"] == "tester, profile 1"
    assert all(f["summary"].endswith("(calm)") for f in body["receipt"]["facets"])
    assert {q for f in body["receipt"]["facets"] for q in f["quotes"]} == {GOOD[1]["output"][-30:]}
    shown = json.loads(works("people", "show", tiny_bundle, "ana", "--json", *by))
    assert "calm" in shown["facets"][0]["summary"]
    assert len(chat_server.bodies) == 1  # remembered with the person
    assert "ben" not in str(chat_server.bodies)
    plain = json.loads(works("ask", tiny_bundle, "Write.", "--person", "ana", "--json", *QUICK))
    assert plain["receipt"]["versions"]["profiler"] == "1"
    works("people", "forget", "ana")
    kept = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert b"nobody wrote this" not in kept
    assert b"sk-canary" not in kept


WEB_PAGE = (200, {}, b"<html><p>Welcome")
EMPTY = (200, {}, b'{"choices": [{"message": {"content": null}}]}')
NONE = {
    "a web page": WEB_PAGE,
    "empty": EMPTY,
    "no JSON object": "I cannot.",
    "no JSON": "null",
    "a property": '{"p1": {}}',
}


@pytest.mark.parametrize("fault", NONE)
def test_a_model_that_gives_no_answer_is_said_and_asked_again_when_it_is_mended(
    fault: str, tiny_bundle: Path, ana: Path, chat_server: Any
) -> None:
    chat_server.answer = lambda body: NONE[fault]
    by = ("--profile-endpoint", chat_server.url, "--profile-model", "tester")
    asked = call("ask", tiny_bundle, "Write.", "--person", "ana", "--json", *QUICK, *by)
    assert asked.exit_code == 0
    assert asked.stderr.startswith("ana: profiled by statistics, tester, profile 1 gave no valid answer (")
    assert asked.stderr.count("\n") == 1
    assert fault in asked.stderr
    assert json.loads(asked.stdout)["receipt"]["versions"]["profiler"] == "1"
    assert json.loads(call("people", "show", tiny_bundle, "ana", "--json", *by).stdout)["profiler"] == "statistics"
    calls = len(chat_server.bodies)
    chat_server.answer = claims
    mended = call("people", "show", tiny_bundle, "ana", *by)
    assert mended.stdout.startswith("ana: 2 interactions, profiled by tester, profile 1\n")
    assert mended.stderr == ""
    assert len(chat_server.bodies) == calls + 1
    assert works("people", "show", tiny_bundle, "ana").startswith("ana: 2 interactions, profiled by statistics\n")


def test_a_model_for_profiles_is_named_in_full_and_its_faults_are_one_line(
    tiny_bundle: Path, ana: Path, chat_server: Any
) -> None:
    assert "--profile-endpoint URL --profile-model NAME" in fails(
        "ask", tiny_bundle, "Write.", "--person", "ana", "--profile-endpoint", chat_server.url
    )
    chat_server.answer = lambda body: (401, {}, b"")
    by = ("--profile-endpoint", chat_server.url, "--profile-model", "tester")
    assert "answers 401; check the key" in fails("people", "show", tiny_bundle, "ana", *by)


def test_metadata_that_comes_later_gives_kept_texts_their_titles(tiny_bundle: Path, tmp_path: Path) -> None:
    reviews, metadata = tmp_path / "reviews.jsonl", tmp_path / "meta.jsonl"
    review = {"reviewerID": "A1", "asin": "B1", "reviewText": "Good strings.", "overall": 5.0, "unixReviewTime": 10}
    reviews.write_text(json.dumps(review))
    metadata.write_text(json.dumps({"asin": "B1", "title": "Bronze Strings"}))
    given = ("people", "import", tiny_bundle, reviews, "--format", "amazon2014")
    works(*given)
    assert "1 known already (1 of them with their item's name from now on)" in works(*given, "--metadata", metadata)
    again = json.loads(works(*given, "--metadata", metadata, "--json"))
    assert (again["known"], again["named"]) == (1, 0)
