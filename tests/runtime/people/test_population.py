"""People are enrolled in a population: in every bundle of it, also by a store that knew only bundles."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from copersona.runtime.bundle.verify import open_manifest, write_manifest
from copersona.runtime.cli.main import main
from copersona.runtime.common.errors import PersonError
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.people.erasing import Forgotten
from copersona.runtime.people.known import Known
from copersona.runtime.people.store import PeopleStore
from copersona.runtime.session.session import open_bundle

OLD = Path(__file__).with_name("store_v4.sql")
A, B, P, Q = (letter * 64 for letter in "abpq")
TEXTS = (
    "I love these strings! They are bright, and they last. Thank you so much!",
    "Nice pick! I would buy it again, it fits my hand. Thank you!",
    "It hums. The amplifier is 20 W, 4 kg... returned.",
)


def old_store(path: Path) -> Path:
    """A store as version 4 wrote it: ana and ben under bundle A, ana with another pseudonym under bundle B."""
    db = sqlite3.connect(path)
    db.executescript(OLD.read_text())
    db.close()
    return path


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return old_store(tmp_path / "people.sqlite")


# -- stores of before -------------------------------------------------------------------------------------------------


def test_an_old_enrolment_holds_for_the_population_once_its_bundle_is_met(old: Path) -> None:
    with PeopleStore(old) as store:
        assert [store.peer_of(P, name) for name in ("ana", "ben")] == [None, None]
        store.carry_over(A, P)
        assert store.enrolled(P) == {"ana": "p-ana", "ben": "p-ben"}
        assert store.enrolled(Q) == {}
    with PeopleStore(old) as store:  # another bundle's row has waited
        assert store._db.execute("SELECT bundle, person, peer FROM bundle_enrolments").fetchall() == [
            (B, "ana", "p-other")
        ]
        store.carry_over(B, Q)
        assert store.enrolled(Q) == {"ana": "p-other"}
        assert store.enrolled(P) == {"ana": "p-ana", "ben": "p-ben"}
        store.carry_over(A, P)
        store.carry_over(B, Q)
        assert store.enrolled(P) == {"ana": "p-ana", "ben": "p-ben"}
        store.check()


def test_the_rest_of_an_old_store_is_as_it_was(old: Path) -> None:
    with PeopleStore(old) as store:
        assert [item.output for item in store.history("ana")] == [
            f"I love these strings, number {n}!" for n in range(3)
        ]
        assert store.vectors("ana", "encoder") == {"text": b"\x00\x01\x02\x03"}
        found = store.replies("ana").get("k")
        assert found is not None
        assert found.text == '{"note": "x"}'
        assert store.persona("ana", A) is None  # made for one bundle's personalizer; computed again
        assert [row.interactions for row in store.people()] == [3, 1]
        store.check()


def test_a_later_enrolment_is_not_undone_by_an_old_one(old: Path) -> None:
    with PeopleStore(old) as store:
        store.enrol(P, {"ana": "p-new"})
        store.carry_over(A, P)
        assert store.enrolled(P) == {"ana": "p-new", "ben": "p-ben"}
        store.carry_over(B, P)
        assert store.enrolled(P) == {"ana": "p-new", "ben": "p-ben"}


def test_who_is_forgotten_is_so_in_rows_that_wait_too(old: Path) -> None:
    with PeopleStore(old) as store:
        store.enrol(P, {"ana": "p-new"})
        assert store.forget("ana") == Forgotten(3, True, vectors=1)
        store.carry_over(A, P)
        assert store.enrolled(P) == {"ben": "p-ben"}
        store._db.execute("DELETE FROM people WHERE name = 'ben'")  # only enrolled, in a row that waits
        store._db.execute("INSERT INTO bundle_enrolments (bundle, person, peer) VALUES ('b', 'carl', 'p-carl')")
        assert store.forget("carl") == Forgotten(0, True)
        with pytest.raises(PersonError, match="nobody here"):
            store.forget("carl")
    content = old.read_bytes()
    for trace in (b"p-ana", b"p-other", b"p-carl", b"strings"):
        assert trace not in content


KILLED = """
import os, signal, sqlite3, sys
path, statement = sys.argv[1:]
connect = sqlite3.connect
def traced(*args, **options):
    db = connect(*args, **options)
    def watch(sql):
        if sql.strip().startswith(statement):
            os.kill(os.getpid(), signal.SIGKILL)
    db.set_trace_callback(watch)
    return db
sqlite3.connect = traced
from copersona.runtime.people.store import PeopleStore
with PeopleStore(path) as store:
    store.carry_over("a" * 64, "p" * 64)
"""


@pytest.mark.parametrize(
    "statement",
    [
        "DROP INDEX",
        "ALTER TABLE",
        "DROP TABLE personas",
        "CREATE TABLE soft_prompts",
        "PRAGMA user_version=5",
        "COMMIT",
        "INSERT OR IGNORE INTO enrolments",
        "DELETE FROM bundle_enrolments",
    ],
)
def test_a_kill_between_old_and_new_loses_no_enrolment(old: Path, statement: str) -> None:
    ended = subprocess.run([sys.executable, "-c", KILLED, str(old), statement], check=False)
    assert ended.returncode == -signal.SIGKILL
    with PeopleStore(old) as store:
        store.check()
        store.carry_over(A, P)
        store.carry_over(B, Q)
        assert store.enrolled(P) == {"ana": "p-ana", "ben": "p-ben"}
        assert store.enrolled(Q) == {"ana": "p-other"}
        assert len(store.history("ana")) == 3


# -- bundles of one population ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sibling(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the same population with another model, personalizer and card."""
    from safetensors.numpy import load_file, save_file

    folder = tmp_path_factory.mktemp("sibling") / "bundle"
    shutil.copytree(tiny_bundle, folder)
    manifest = open_manifest(folder)
    model = bytearray(manifest.path(folder, "model").read_bytes())
    model[-64:] = bytes(byte ^ 1 for byte in model[-64:])  # weights: the last tensor's quantised values
    manifest.path(folder, "model").write_bytes(model)
    personalizer = manifest.path(folder, "personalizer")
    tensors = {name: array * np.float32(1.01) for name, array in load_file(personalizer).items()}
    save_file(tensors, personalizer)
    manifest.path(folder, "card").write_text("# A sibling\n")
    settings = {**manifest.settings, "base": "a sibling's"}
    write_manifest(folder, {row.path: row.role for row in manifest.files}, manifest.shapes, settings)
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PeopleStore]:
    with PeopleStore(tmp_path / "home" / "people.sqlite") as store:
        store.add(Interaction("ana", text, time=float(n)) for n, text in enumerate(TEXTS))
        yield store


def near(known: Known) -> set[int]:
    """Rows of everyone whom the persona takes anything from."""
    placement = known.persona.placement
    edges = placement.edges.index[placement.edges.index >= 0]
    return {*edges.tolist(), *placement.shared.index[0].tolist(), *(one.peer for one in placement.borrowed)}


def test_siblings_are_two_bundles_of_one_population(tiny_bundle: Path, sibling: Path) -> None:
    one, other = open_manifest(tiny_bundle), open_manifest(sibling)
    assert one.bundle_id != other.bundle_id
    assert one.population_id == other.population_id


def test_promise_nobody_is_their_own_neighbour(tiny_bundle: Path, sibling: Path, store: PeopleStore) -> None:
    with open_bundle(tiny_bundle, threads=1) as session, open_bundle(sibling, threads=1) as switched:
        twin = int(session.person(store, "ana").persona.placement.shared.index[0, 0])
        assert twin in near(switched.person(store, "ana"))  # were they not enrolled
        pseudonym = session.graph.pseudonyms[twin]
        store.enrol(session.manifest.population_id, {"ana": pseudonym})
        for each in (session, switched):
            known = each.person(store, "ana")
            assert twin not in near(known)
            assert near(known)
        answer = switched.answer("Any good?", known).finish()
        assert pseudonym not in answer.receipt.to_json()
        assert answer.receipt.versions["population"] == session.manifest.population_id
        assert answer.receipt.versions["bundle"] == switched.manifest.bundle_id


def test_an_enrolment_of_before_holds_in_the_sibling_too(
    tiny_bundle: Path, sibling: Path, tmp_path: Path, store: PeopleStore
) -> None:
    with open_bundle(tiny_bundle, threads=1) as session:
        twin = int(session.person(store, "ana").persona.placement.shared.index[0, 0])
        with PeopleStore(old_store(tmp_path / "old.sqlite")) as old:
            row = (session.graph.pseudonyms[twin], A)
            old._db.execute("UPDATE bundle_enrolments SET peer = ? WHERE bundle = ? AND person = 'ana'", row)
            old._db.execute("UPDATE bundle_enrolments SET bundle = ? WHERE bundle = ?", (session.manifest.bundle_id, A))
            old.add(Interaction("ana", text, time=9.0 + n) for n, text in enumerate(TEXTS))
            assert twin not in near(session.person(old, "ana"))
            with open_bundle(sibling, threads=1) as switched:
                assert twin not in near(switched.person(old, "ana"))
            assert old._db.execute("SELECT bundle FROM bundle_enrolments").fetchall() == [(B,)]


def test_siblings_share_the_persona_and_not_the_soft_prompt(
    tiny_bundle: Path, sibling: Path, store: PeopleStore
) -> None:
    with open_bundle(tiny_bundle, threads=1) as session:
        first = session.person(store, "ana")
    for kept in (False, True):
        with open_bundle(sibling, threads=1) as session:
            second = session.person(store, "ana")
            assert "encoder" not in vars(session.bundle)
            np.testing.assert_array_equal(second.persona.vectors, first.persona.vectors)
            assert second.persona.placement.borrowed == first.persona.placement.borrowed
            assert ("personalizer" in vars(session.bundle)) != kept
            np.testing.assert_array_equal(second.soft, session.know(store.history("ana")).soft)
    assert not np.array_equal(first.soft, second.soft)
    with open_bundle(tiny_bundle, threads=1) as session:  # one has not driven out the other
        np.testing.assert_array_equal(session.person(store, "ana").soft, first.soft)
        assert "personalizer" not in vars(session.bundle)


def test_nobody_is_kept_whose_enrolment_is_not(tiny_bundle: Path, store: PeopleStore) -> None:
    """Between the two, someone who took part in training would be their own neighbour."""
    history = [Interaction("zoe", text, time=float(n)) for n, text in enumerate(TEXTS)]
    refused = "CREATE TEMP TRIGGER refused BEFORE INSERT ON enrolments BEGIN SELECT RAISE(ABORT, 'no room'); END"
    with open_bundle(tiny_bundle, threads=1) as session:
        store._db.execute(refused)
        with pytest.raises(PersonError, match="no room"):
            session.add(store, history, enrolled={"zoe": "p-zoe"})
        assert not store.knows("zoe")
        store._db.execute("DROP TRIGGER refused")
        assert session.add(store, history, enrolled={"zoe": "p-zoe", "tim": "p-tim"}).enrolled == 1
        assert store.peer_of(session.manifest.population_id, "zoe") == "p-zoe"
        assert store.peer_of(session.manifest.population_id, "tim") is None


def test_commands_enrol_in_the_population(
    tiny_bundle: Path, sibling: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COPERSONA_HOME", str(tmp_path / "home"))
    history, names = tmp_path / "h.jsonl", tmp_path / "names.json"
    history.write_text("".join(json.dumps({"person": "ana", "output": text}) + "\n" for text in TEXTS))
    names.write_text(json.dumps({"ana": "p-ana"}))

    def works(*args: str | Path) -> str:
        done = CliRunner().invoke(main, [str(arg) for arg in args], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    works("people", "import", tiny_bundle, history, "--enrolled-as", names)
    for folder in (tiny_bundle, sibling):
        assert json.loads(works("people", "list", folder, "--json")) == [
            {"person": "ana", "interactions": 3, "peer": "p-ana"}
        ]
        manifest = open_manifest(folder)
        assert json.loads(works("bundle", "show", folder, "--json"))["population_id"] == manifest.population_id
        first = works("bundle", "show", folder).splitlines()[0]
        assert first.startswith(f"bundle {manifest.bundle_id[:12]}, population {manifest.population_id[:12]}, made ")
