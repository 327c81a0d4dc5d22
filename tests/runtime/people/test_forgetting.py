"""Forgetting removes what is its own and nothing else, and is finished whatever comes between."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from copersona.runtime.cli.main import main
from copersona.runtime.common.errors import PersonError
from copersona.runtime.engine.llama_context import State
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.people.erasing import Forgotten
from copersona.runtime.people.prefix_files import KeptStates, PrefixFiles
from copersona.runtime.people.replacing import new_name
from copersona.runtime.people.store import PeopleStore

from .kinds import connect, readable, script

pytestmark = pytest.mark.usefixtures("kind")

KEY, OTHER = "a" * 64, "b" * 64
MANY = 1 << 30
SECRET = b"a document of someone's, not copersona's\n" * 50


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PeopleStore]:
    with PeopleStore(tmp_path / "home" / "people.sqlite") as store:
        store.add([Interaction("ann", "one"), Interaction("bob", "two")])
        yield store


def state() -> State:
    return np.random.default_rng(0).integers(0, 256, 5_000, dtype=np.uint8)


def folder_of(files: PrefixFiles, person: str) -> Path:
    """Where the states of a person are; one is written."""
    files.write(person, KEY, state(), MANY)
    return files.folder / files._form.folder(person)


def documents(folder: Path) -> Path:
    """Someone's documents, some of them called as ours are."""
    inside = folder / f"{0:032x}"
    inside.mkdir(parents=True)
    for path in (folder / "letter.txt", inside / f"{KEY}.state", inside / "tmp12345678.part", inside / "letter.txt"):
        path.write_bytes(SECRET)
    return folder


def facts(folder: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """All that is in a folder, links not followed: modes, names' counts, times, bytes."""
    found = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        found[str(path)] = (status.st_mode, status.st_nlink, status.st_mtime_ns, content)
    return found


# -- only its own -----------------------------------------------------------------------------------------------------


def test_a_link_in_the_place_of_the_folder_is_not_followed(store: PeopleStore, tmp_path: Path) -> None:
    there = documents(tmp_path / "documents")
    before = facts(there)
    store.prefixes.folder.symlink_to(there)
    files = store.prefixes
    files.write("ann", KEY, state(), MANY)
    files.write("ann", KEY, state(), 10_000)
    assert files.read("ann", KEY) is None
    assert files.kept("ann") == KeptStates(0, 0)
    files.drop("ann", KEY)
    store.add([Interaction("ann", "three")])
    gone = store.forget("ann")
    assert (gone.interactions, gone.compacted) == (2, True)
    assert len(gone.left) == 1
    assert str(files.folder) in gone.left[0]
    assert "a link" in gone.left[0]
    assert facts(there) == before
    assert files.folder.is_symlink()
    assert [row.name for row in store.people()] == ["bob"]


def test_links_inside_are_not_followed(store: PeopleStore, tmp_path: Path) -> None:
    files, there = store.prefixes, documents(tmp_path / "documents")
    before = facts(there)
    ann, bob = folder_of(files, "ann"), folder_of(files, "bob")
    (ann / f"{KEY}.state").unlink()
    (ann / f"{KEY}.state").symlink_to(there / "letter.txt")
    (ann / f"{OTHER}.state").symlink_to(there / f"{0:032x}")
    (files.folder / f"{1:032x}").symlink_to(there)
    (bob / f"{KEY}.state").unlink()
    bob.rmdir()
    bob.symlink_to(there / f"{0:032x}")
    assert files.read("ann", KEY) is None
    assert files.read("bob", KEY) is None
    files.write("bob", KEY, state(), MANY)
    files.write("ann", "c" * 64, state(), 6_000)  # makes room for itself
    store.add([Interaction("bob", "three")])
    left = store.forget("ann").left
    assert facts(there) == before
    assert len(left) == 3
    assert all(f"{name!r}: " in " ".join(left) for name in map(str, (ann / f"{KEY}.state", files.folder / f"{1:032x}")))
    assert not (ann / f"{'c' * 64}.state").exists()
    left = store.forget("bob").left
    assert any(str(bob) in line for line in left)
    assert facts(there) == before


def test_a_hard_link_loses_its_name_here_and_no_byte_elsewhere(store: PeopleStore, tmp_path: Path) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_bytes(SECRET)
    ann = folder_of(store.prefixes, "ann")
    for name in (f"{OTHER}.state", "tmp12345678.part"):
        os.link(letter, ann / name)
    gone = store.forget("ann")
    assert letter.read_bytes() == SECRET
    assert letter.stat().st_nlink == 1
    assert not ann.exists()
    assert len(gone.left) == 2
    assert all("second name" in line for line in gone.left)
    assert store.forget("bob").left == ()


def test_a_hard_link_that_is_read_or_dropped_keeps_its_bytes(store: PeopleStore, tmp_path: Path) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_bytes(SECRET)
    ann = folder_of(store.prefixes, "ann")
    os.link(letter, ann / f"{OTHER}.state")
    assert store.prefixes.read("ann", OTHER) is None
    assert letter.read_bytes() == SECRET
    os.link(letter, ann / f"{'d' * 64}.state")
    store.prefixes.write("ann", "c" * 64, state(), 5_100)  # room for one only
    assert letter.read_bytes() == SECRET


def test_promise_forgetting_touches_nothing_foreign(store: PeopleStore) -> None:
    files = store.prefixes
    ann = folder_of(files, "ann")
    bob = folder_of(files, "bob")
    foreign = [
        files.folder / "letter.txt",
        files.folder / "0123" / "x.part",
        ann / "letter.txt",
        ann / f"{KEY}.state.bak",
        ann / "x" / f"{KEY}.state",
        ann / "tmp12345678.part2",
        ann / "\x1b]0;title\x07.state",
    ]
    for path in foreign:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(SECRET)
    os.mkfifo(ann / f"{OTHER}.state")
    files.write("ann", "c" * 64, state(), 5_100)  # room for one only: what is foreign makes none
    assert files.kept("ann").states == 1
    left = store.forget("ann").left
    assert all(path.read_bytes() == SECRET for path in foreign)
    assert stat.S_ISFIFO((ann / f"{OTHER}.state").stat().st_mode)
    assert not (ann / f"{'c' * 64}.state").exists()
    assert {line.partition(": ")[0] for line in left} == {
        repr(str(path))
        for path in (
            *foreign[:1],
            *foreign[1].parents[:1],
            *foreign[2:4],
            ann / "x",
            *foreign[5:],
            ann / f"{OTHER}.state",
        )
    }
    assert "\x1b" not in "".join(left)
    assert bob.exists()


def test_what_is_another_users_is_left(store: PeopleStore, monkeypatch: pytest.MonkeyPatch) -> None:
    files, mine = store.prefixes, os.geteuid()
    folder_of(files, "ann")
    before = facts(files.folder)
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    assert files.read("ann", KEY) is None
    assert files.kept("ann") == KeptStates(0, 0)
    assert "another user" in files.forget("ann")[0]
    assert "another user" in files.sweep([])[0]
    files.write("ann", OTHER, state(), MANY)
    assert facts(files.folder) == before
    monkeypatch.undo()
    assert files.forget("ann") == ()


def test_folders_that_others_may_enter_are_closed(store: PeopleStore) -> None:
    ann = folder_of(store.prefixes, "ann")
    for folder in (store.prefixes.folder, ann):
        folder.chmod(0o777)
    assert store.prefixes.read("ann", KEY) is not None
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in (store.prefixes.folder, ann)] == [0o700, 0o700]


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702, 0o1777])
def test_a_home_that_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    home = tmp_path / "home"
    with PeopleStore(home / "people.sqlite") as store:
        store.add([Interaction("ann", "one")])
    before = store.path.read_bytes()
    home.chmod(mode)
    with pytest.raises(PersonError, match=f"mode {mode:04o}") as caught:
        PeopleStore(home / "people.sqlite")
    assert str(home) in str(caught.value)
    assert store.path.read_bytes() == before
    home.chmod(0o755)  # read, not written
    with PeopleStore(home / "people.sqlite") as again:
        assert len(again.history("ann")) == 1


def test_a_home_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PeopleStore(tmp_path / "home" / "people.sqlite").close()
    if os.geteuid() != 0:
        monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    else:
        os.chown(tmp_path / "home", 12_345, -1)
        monkeypatch.setattr(os, "geteuid", lambda: 54_321)
    with pytest.raises(PersonError, match="another user"):
        PeopleStore(tmp_path / "home" / "people.sqlite")


def test_a_link_in_the_place_of_the_store_is_refused(tmp_path: Path) -> None:
    home, letter = tmp_path / "home", tmp_path / "letter.txt"
    home.mkdir(mode=0o700)
    letter.write_bytes(b"")
    letter.chmod(0o644)
    (home / "people.sqlite").symlink_to(letter)
    with pytest.raises(PersonError, match="a link"):
        PeopleStore(home / "people.sqlite")
    assert stat.S_IMODE(letter.stat().st_mode) == 0o644
    letter.unlink()
    with pytest.raises(PersonError, match="a link"):
        PeopleStore(home / "people.sqlite")
    assert not letter.exists()


def put_link(journal: Path, letter: Path) -> None:
    journal.symlink_to(letter)


def put_hard_link(journal: Path, letter: Path) -> None:
    os.link(letter, journal)


@pytest.mark.parametrize("put", [put_link, put_hard_link])
def test_a_link_in_the_place_of_the_journal_is_refused(tmp_path: Path, put: Callable[[Path, Path], None]) -> None:
    path, letter = tmp_path / "home" / "people.sqlite", tmp_path / "letter.txt"
    PeopleStore(path).close()
    letter.write_bytes(SECRET)
    journal = path.with_name("people.sqlite-journal")
    journal.unlink(missing_ok=True)
    put(journal, letter)
    with pytest.raises(PersonError, match=r"people\.sqlite-journal"):
        PeopleStore(path)
    assert letter.read_bytes() == SECRET


# -- and finishes -----------------------------------------------------------------------------------------------------

PEOPLE = (("mallory-secret", "canary"), ("ann", "keep"))
KILLED = """
import os, signal, sys
from copersona.runtime.people import rewriting
from copersona.runtime.people.store import PeopleStore
path, step = sys.argv[1:]
def die(*given):
    os.kill(os.getpid(), signal.SIGKILL)
store = PeopleStore(path)
store._db.execute("PRAGMA secure_delete=OFF")  # as where pages were moved about: copies of rows are left
store._db.set_trace_callback(lambda sql: sql.strip().startswith(step) and die())
if hasattr(rewriting, step):
    setattr(rewriting, step, die)
store.forget("mallory-secret")
"""


def filled(path: Path) -> None:
    """A store with someone to forget in it."""
    with PeopleStore(path) as store:
        for n in range(100):
            store.add([Interaction(who, f"{what}-{n:05d} " * (n % 90 + 1)) for who, what in PEOPLE])
        for who, what in PEOPLE:
            store.keep_vectors(who, "e", {f"t{n}": f"{what}-00000".encode() * 40 for n in range(50)})


def traces(path: Path) -> int:
    """How often the forgotten are found in any file of the folder."""
    contents = [readable(file) for file in path.parent.rglob("*") if file.is_file()]
    return sum(content.count(trace) for content in contents for trace in (b"canary", b"mallory"))


def pending(path: Path) -> int:
    with contextlib.closing(connect(path)) as db:
        return int(db.execute("SELECT count(*) FROM pending").fetchone()[0])


def killed_at(path: Path, step: str) -> None:
    """Forget someone in a process that dies before this statement, or in the place of this part of the rewriting."""
    ended = subprocess.run([sys.executable, "-c", script(KILLED), str(path), step], check=False)
    assert ended.returncode == -signal.SIGKILL


@pytest.mark.parametrize("step", ["BEGIN EXCLUSIVE", "connect"])
def test_promise_forgetting_outlives_a_kill(tmp_path: Path, step: str) -> None:
    path = tmp_path / "home" / "people.sqlite"
    filled(path)
    killed_at(path, step)
    assert traces(path) > 0
    assert pending(path) == 1
    copy = new_name(path)
    assert copy.exists() == (step == "connect")
    if copy.exists():
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        content = readable(copy)
        assert b"keep" in content
        assert not any(trace in content for trace in (b"canary", b"mallory"))
    with PeopleStore(path) as store:
        assert [row.name for row in store.people()] == ["ann"]
        assert len(store.history("ann")) == 100
        store.check()
    assert traces(path) == 0
    assert pending(path) == 0
    assert not copy.exists()


@pytest.mark.parametrize(("statement", "gone"), [("COMMIT", False), ("DELETE FROM pending", True)])
def test_a_kill_elsewhere_is_all_or_nothing(tmp_path: Path, statement: str, gone: bool) -> None:
    path = tmp_path / "home" / "people.sqlite"
    filled(path)
    killed_at(path, statement)
    with PeopleStore(path) as store:
        assert ("mallory-secret" in [row.name for row in store.people()]) != gone
    assert (traces(path) == 0) == gone
    assert pending(path) == 0


def test_what_another_process_wrote_of_the_person_is_swept_at_the_next_opening(store: PeopleStore) -> None:
    with store._transaction():
        store._db.execute("DELETE FROM people WHERE name = 'ann'")
        store._db.execute("INSERT INTO pending DEFAULT VALUES")
    folder_of(store.prefixes, "bob")
    stray = store.prefixes.folder / f"{7:032x}"
    stray.mkdir()
    (stray / f"{KEY}.state").write_bytes(SECRET)
    with PeopleStore(store.path):
        assert not stray.exists()
        assert store.prefixes.kept("bob").states == 1


def test_a_rewrite_that_another_process_is_in_the_way_of_is_made_up_for(store: PeopleStore) -> None:
    other = connect(store.path)
    with store._transaction():
        store._db.execute("INSERT INTO pending DEFAULT VALUES")
    try:
        other.execute("BEGIN")
        other.execute("SELECT * FROM people").fetchone()
        with PeopleStore(store.path, busy_seconds=0.05) as second:
            assert len(second.people()) == 2  # it opens all the same
        assert pending(store.path) == 1
    finally:
        other.close()
    PeopleStore(store.path).close()
    assert pending(store.path) == 0


MEASURED = """
import sys
from copersona.runtime.people.store import PeopleStore
def most():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
with PeopleStore(sys.argv[1]) as store:
    start = most()
    assert store.compact()
    print((most() - start) * 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux says how much memory a process has had")
def test_a_rewrite_does_not_hold_the_store_and_leaves_others_their_file(store: PeopleStore) -> None:
    store.add(Interaction("ann", f"keep-{n} " * 500) for n in range(4_000))
    before = store.path.stat()
    call = [sys.executable, "-c", script(MEASURED), str(store.path)]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < before.st_size * 0.75
    assert store.path.stat().st_ino == before.st_ino
    assert [row.interactions for row in store.people()] == [4_001, 1]  # another connection, open all the while


def test_a_mark_that_is_set_during_a_rewrite_stays(store: PeopleStore, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = PeopleStore.compact

    def meanwhile(self: PeopleStore) -> bool:
        with contextlib.closing(connect(store.path)) as other:
            other.execute("INSERT INTO pending DEFAULT VALUES")
        return whole(self)

    with monkeypatch.context() as patched:
        patched.setattr(PeopleStore, "compact", meanwhile)
        assert store.forget("ann").compacted
    assert pending(store.path) == 1


FULL = """
import os, resource, sys
from copersona.runtime.cli.main import main
path, limit = os.environ["COPERSONA_HOME"] + "/people.sqlite", int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))  # as a full disk: nothing may grow beyond it
main(["people", "forget", "mallory-secret", *sys.argv[2:]])
"""


def test_on_a_full_disk_it_says_that_the_person_is_gone_and_what_is_pending(tmp_path: Path) -> None:
    path = tmp_path / "home" / "people.sqlite"
    with PeopleStore(path) as store:
        store.add([Interaction("mallory-secret", "canary")])
        store.add(Interaction("ann", f"keep-{n} " * 100) for n in range(400))
    environment = {**os.environ, "COPERSONA_HOME": str(path.parent)}
    call = [sys.executable, "-c", script(FULL), str(path.stat().st_size - 2 * 8192)]
    done = subprocess.run(call, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "mallory-secret: 1 interactions forgotten\n"
    assert done.stderr.startswith("pending: the file is to be rewritten")
    assert "Traceback" not in done.stderr
    assert pending(path) == 1
    with PeopleStore(path) as store:
        assert len(store.history("ann")) == 400
        store.check()
    assert pending(path) == 0
    assert traces(path) == 0


def test_an_older_store_is_rewritten_once(tmp_path: Path) -> None:
    path = tmp_path / "people.sqlite"
    db = sqlite3.connect(path)
    db.executescript(Path(__file__).with_name("store_v4.sql").read_text())
    db.execute("PRAGMA secure_delete=OFF")
    with db:
        db.execute("INSERT INTO replies VALUES ('ben', 'k', ?)", ("canary " * 3_000,))
    with db:
        db.execute("DELETE FROM replies WHERE person = 'ben'")
    db.close()
    assert b"canary" in path.read_bytes()
    PeopleStore(path).close()
    assert b"canary" not in path.read_bytes()
    assert pending(path) == 0


# -- what it says -----------------------------------------------------------------------------------------------------


def test_files_that_were_written_for_the_owner_are_named_while_they_are_there(
    store: PeopleStore, tmp_path: Path
) -> None:
    one, other, odd = tmp_path / "a.jsonl", tmp_path / "b.jsonl", Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    for path in (one, other, odd):
        path.write_text("answers")
        store.keep_output(["ann", "nobody"], path)
    store.keep_output(["ann", "bob"], one)
    other.unlink()
    assert store.forget("ann").outputs == (one, odd)
    assert store.forget("bob") == Forgotten(1, True, outputs=(one,))
    assert one.read_text() == "answers"
    assert str(one).encode() not in readable(store.path)


def test_the_command_names_what_it_left(store: PeopleStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COPERSONA_HOME", str(store.path.parent))
    there, answers = documents(tmp_path / "documents"), tmp_path / "a.jsonl"
    store.prefixes.folder.symlink_to(there)
    answers.write_text("{}\n")
    store.keep_output(["ann", "bob"], answers)
    done = CliRunner().invoke(main, ["people", "forget", "ann"], catch_exceptions=False)
    assert done.exit_code == 0
    assert done.stdout == "ann: 1 interactions forgotten\n"
    assert [line.partition(": ")[0] for line in done.stderr.splitlines()] == [
        "left alone",
        "yours to delete, written by generate",
        "to check",
    ]
    done = CliRunner().invoke(main, ["people", "forget", "bob", "--json"], catch_exceptions=False)
    body = json.loads(done.stdout)
    assert body == {
        "person": "bob", "interactions": 1, "compacted": True, "pending": "", "left": body["left"],
        "outputs": [str(answers)], "chats": 0, "revisions": 0, "vectors": 0, "receipts": 0, "elsewhere": 0,
        "check": "copersona people traces bob",
    }  # fmt: skip
    assert len(body["left"]) == 1
