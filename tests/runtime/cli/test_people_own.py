"""`copersona people`: correct, pin, leave out, undo, forget parts, export and restore, as a user calls them."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from copersona.runtime.cli.main import main
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.people import sealed
from copersona.runtime.people.store import PeopleStore, store_path
from copersona.runtime.profile.facets import read_schema


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COPERSONA_HOME", str(tmp_path / "home"))
    with PeopleStore(store_path()) as store:
        texts = [f"A plain sentence about strings, number {n}, which is long enough to be one." for n in range(4)]
        store.add(Interaction("ana", text, time=86_400.0 * (n + 1)) for n, text in enumerate(texts))


@pytest.fixture
def facet(random_bundle: Path) -> str:
    return read_schema(random_bundle / "facets.json").names[0]


def run(*words: object) -> Result:
    done = CliRunner().invoke(main, ["people", *map(str, words)], catch_exceptions=False)
    assert "Traceback" not in done.output
    return done


def told(*words: object) -> str:
    done = run(*words)
    assert done.exit_code == 0, done.output
    return done.stdout.rstrip("\n")


def as_json(*words: object) -> Any:
    return json.loads(told(*words, "--json"))


def digests() -> list[str]:
    return [row["digest"] for row in as_json("texts", "ana")]


def test_texts_are_listed_with_their_marks_and_searched() -> None:
    first, *_, last = digests()
    told("pin", "ana", first[:12])
    lines = told("texts", "ana").splitlines()
    assert lines[0].startswith(f"{first[:12]}  1970-01-0")
    assert "[pinned] A plain sentence about strings, number 3" in lines[0]
    assert told("texts", "ana", "NUMBER", "0,").startswith(last[:12])
    page = as_json("texts", "ana", "--limit", 1)
    assert as_json("texts", "ana", "--limit", 1, "--before", page[0]["place"])[0]["digest"] == digests()[1]


def test_what_is_said_is_said_back_listed_and_undone(random_bundle: Path, facet: str) -> None:
    digest = digests()[0]
    assert told("correct", random_bundle, "ana", facet, " In  my words ") == (
        f"ana: revision 1: facet {facet!r} corrected: In my words"
    )
    assert told("leave-out", random_bundle, "ana", "--text", digest) == f"ana: revision 2: text {digest[:12]} left out"
    assert told("undo", "ana", 1) == f"ana: revision 3: revision 1 undone, of facet {facet!r}"
    lines = told("revisions", "ana").splitlines()
    assert [line.split("  ")[-1] for line in lines] == [
        f"facet {facet!r} corrected: In my words (undone)",
        f"text {digest[:12]} left out",
        f"revision 1 undone, of facet {facet!r}",
    ]
    assert [row["undone"] for row in as_json("revisions", "ana")] == [True, False, False]


def test_show_says_what_the_person_said(random_bundle: Path, facet: str) -> None:
    names = read_schema(random_bundle / "facets.json").names
    told("correct", random_bundle, "ana", facet, "In my words")
    told("leave-out", random_bundle, "ana", "--facet", names[1])
    told("pin", "ana", digests()[0])
    told("leave-out", random_bundle, "ana", "--text", digests()[1])
    lines = told("show", random_bundle, "ana").splitlines()
    assert lines[0] == "ana: 3 interactions, 1 pinned, 1 left out, profiled by statistics"
    assert any(line.startswith(f"  {facet} [strong, own ") and "in their own words]" in line for line in lines)
    assert f"  {names[1]} [left out]" in lines
    shown = as_json("show", random_bundle, "ana")
    assert (shown["pinned"], shown["left_out"], shown["revision"]) == ([digests()[0]], [digests()[1]], 4)
    assert [(row["corrected"], row["left_out"]) for row in shown["facets"][:2]] == [(True, False), (False, True)]


def test_who_has_not_seen_the_last_revision_is_told(random_bundle: Path, facet: str) -> None:
    told("correct", random_bundle, "ana", facet, "one", "--seen", 0)
    late = run("correct", random_bundle, "ana", facet, "two", "--seen", 0)
    assert late.exit_code == 1
    said = f"error: the facet {facet!r} of 'ana' was revised since you looked (revision 1, you saw 0)"
    assert late.stderr.startswith(said)
    assert told("correct", random_bundle, "ana", facet, "two", "--seen", 1).startswith("ana: revision 2: ")


def test_what_cannot_be_is_one_clear_line(random_bundle: Path, facet: str) -> None:
    digest = digests()[0]
    for words, said in (
        (
            ("correct", random_bundle, "ana", facet[:-1], "x"),
            f"no facet is called {facet[:-1]!r}; did you mean {facet}",
        ),
        (("correct", random_bundle, "ana", facet, "a\nb"), "2 lines, expected one"),
        (("correct", random_bundle, "anna", facet, "x"), "did you mean ana?"),
        (("pin", "ana", digest[:4]), "8 digits or more"),
        (("undo", "ana", 9), "'ana' has no revision 9; there are none yet"),
        (("leave-out", random_bundle, "ana", "--quote", "never said"), "stands in no text of 'ana'"),
        (("forget", "ana", "--text", "0" * 64), "no text '0000000"),
        (("restore", store_path().parent / "nowhere.json"), "No such file"),
        (("restore", store_path()), "is not UTF-8"),
    ):
        done = run(*words)
        assert done.exit_code == 1
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1
    for words in (("leave-out", random_bundle, "ana"), ("forget", "ana", "--text", "x", "--facet", "y")):
        assert run(*words).exit_code == 2
    assert as_json("revisions", "ana") == []


def test_a_text_a_facet_and_a_person_are_forgotten(random_bundle: Path, facet: str) -> None:
    digest = digests()[0]
    told("pin", "ana", digest)
    told("correct", random_bundle, "ana", facet, "A canary sings")
    done = run("forget", "ana", "--text", digest[:12])
    assert done.stdout == "ana: 1 text forgotten; with it 1 revisions\n"
    assert done.stderr == "to check: copersona people traces\n"
    assert (
        told("forget", "ana", "--facet", facet) == f"ana: facet {facet!r} forgotten and left out; with it 1 revisions"
    )
    assert told("traces", "A canary sings") == "no trace of it"
    assert "revisions.person: 1" in told("traces", "ana").splitlines()
    gone = run("forget", "ana")
    assert gone.stdout == "ana: 3 interactions forgotten; with it 1 revisions\n"
    assert gone.stderr == "to check: copersona people traces ana\n"
    assert told("traces", "ana") == "no trace of it"


def test_a_person_goes_to_a_file_and_comes_back(random_bundle: Path, facet: str, tmp_path: Path) -> None:
    told("correct", random_bundle, "ana", facet, "In my words")
    file = tmp_path / "ana.json"
    assert told("export", "ana", "--out", file) == f"ana: 4 texts, 1 revisions, 0 chats written to {file}"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    taken = run("restore", file)
    assert (taken.exit_code, "'ana' is here already" in taken.stderr) == (1, True)
    before = as_json("revisions", "ana")
    told("forget", "ana")
    assert told("restore", file) == "ana: 4 texts, 1 revisions, 0 chats restored"
    assert as_json("revisions", "ana") == before
    again = tmp_path / "again.json"
    told("export", "ana", "--out", again)
    assert again.read_bytes() == file.read_bytes()


def test_the_passphrase_of_a_sealed_store_is_read_once(
    random_bundle: Path, facet: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sqlcipher3")
    monkeypatch.setattr(sealed, "COST", 10)
    monkeypatch.setenv("COPERSONA_HOME", str(tmp_path / "sealed"))
    with PeopleStore(store_path(), passphrase="a phrase") as store:
        store.add([Interaction("ana", "A plain sentence.")])
    correct = ("correct", random_bundle, "ana", facet, "plainly")
    for words in (correct, ("show", random_bundle, "ana"), ("traces", "plainly")):
        reader, writer = os.pipe()
        os.write(writer, b"a phrase")
        os.close(writer)
        call = ["--passphrase-fd", str(reader), "people", *map(str, words)]
        done = CliRunner().invoke(main, call, catch_exceptions=False)
        assert (done.exit_code, "plainly" in done.stdout or "revisions.words" in done.stdout) == (0, True), done.output
