"""Sealing, another passphrase, unsealing: the old store or the new one, whole, and nothing left of the other."""

from __future__ import annotations

import os
import random
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from copersona.runtime.common.errors import PersonError
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.people import replacing, sealed, sealing
from copersona.runtime.people.sealed import Passphrase, is_sealed
from copersona.runtime.people.sealing import seal, unseal
from copersona.runtime.people.store import PeopleStore

from .kinds import PASS, raw_files

pytest.importorskip("sqlcipher3")
pytest.importorskip("cryptography")

NEXT = "staple and more"
KEY, MANY = "a" * 64, 1 << 30
TEXTS = [Interaction("mallory", f"canary {n} " * 30, "blue heron?", float(n)) for n in range(150)]
STATE = np.frombuffer(b"canary " * 3_000, np.uint8)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed, "COST", 10)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A plain store with a state of someone's prompt beside it."""
    path = tmp_path / "home" / "people.sqlite"
    with PeopleStore(path) as store:
        store.add([*TEXTS, Interaction("ann", "one")])
        store.enrol("population", {"mallory": "p7"})
        store.keep_vectors("mallory", "e", {"t": b"canary"})
        store.prefixes.write("mallory", KEY, STATE, MANY)
    return path


def holds(path: Path, passphrase: Passphrase | None) -> bool:
    """Whether the whole store is there, under this passphrase."""
    with PeopleStore(path, passphrase=passphrase) as store:
        store.check()
        return (
            store.history("mallory") == tuple(TEXTS)
            and len(store.history("ann")) == 1
            and store.peer_of("population", "mallory") == "p7"
            and store.vectors("mallory", "e") == {"t": b"canary"}
            and not store.unfinished
        )


def alone(path: Path) -> bool:
    """Whether nothing but the store, its journal and a folder of states without files is there."""
    found = {found.name for found in path.parent.rglob("*") if found.is_file()}
    return found <= {path.name, f"{path.name}-journal"}


def readable(path: Path) -> bool:
    """Whether a word of someone's can be read in any file as it stands."""
    return b"canary" in raw_files(path.parent) or b"mallory" in raw_files(path.parent)


def test_sealed_changed_and_unsealed_it_is_the_same_store(path: Path) -> None:
    assert readable(path)
    assert seal(path, PASS) == ""
    assert is_sealed(path)
    assert holds(path, PASS)
    assert alone(path)
    assert not readable(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with PeopleStore(path, passphrase=PASS) as store:
        store.prefixes.write("mallory", KEY, STATE, MANY)
    assert seal(path, lambda: NEXT, lambda: PASS) == ""
    with pytest.raises(PersonError, match="the passphrase is wrong"):
        PeopleStore(path, passphrase=PASS)
    assert holds(path, NEXT)
    assert alone(path)
    assert not readable(path)
    assert unseal(path, NEXT) == ""
    assert not is_sealed(path)
    assert alone(path)
    assert holds(path, None)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_bytes_of_the_plain_file_are_overwritten_not_only_let_go(path: Path, tmp_path: Path) -> None:
    held = os.open(path, os.O_RDONLY)  # the old file, after its name is gone
    states = [os.open(found, os.O_RDONLY) for found in path.parent.rglob("*.state")]
    assert states
    seal(path, PASS)
    for descriptor in (held, *states):
        size = os.fstat(descriptor).st_size
        assert os.pread(descriptor, size, 0).count(0) == size > 0
        os.close(descriptor)


def test_everything_of_the_schema_is_carried_over(path: Path) -> None:
    def facts() -> list[object]:
        with PeopleStore(path, passphrase=lambda: PASS) as store:
            schema = store._db.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name").fetchall()
            numbers = [store._db.execute(f"PRAGMA {n}").fetchone() for n in ("application_id", "user_version")]
            rows = store._db.execute("SELECT seq, digest FROM interactions ORDER BY seq").fetchall()
            return [schema, numbers, rows]

    before = facts()
    seal(path, PASS)
    assert facts() == before
    unseal(path, PASS)
    assert facts() == before


def test_what_cannot_be_sealed_stays_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PersonError, match="7 characters, expected at least 8"):
        seal(path, "seven c")
    os.link(path, path.with_name("mine.sqlite"))
    with pytest.raises(PersonError, match="second name elsewhere"):
        seal(path, PASS)
    path.with_name("mine.sqlite").unlink()
    with monkeypatch.context() as full:
        full.setattr(replacing, "sync_file", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(PersonError, match="No space left"):
            seal(path, PASS)
    assert not is_sealed(path)
    assert holds(path, None)
    seal(path, PASS)
    with pytest.raises(PersonError, match="the passphrase is wrong"):
        seal(path, NEXT, "wrong one")
    with pytest.raises(PersonError, match="the passphrase is wrong"):
        unseal(path, "wrong one")
    assert holds(path, PASS)


def test_a_copy_that_lacks_something_is_not_taken(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "_counts", lambda db, schema: {"people": id(db)})
    with pytest.raises(PersonError, match="as it was"):
        seal(path, PASS)
    monkeypatch.undo()
    assert holds(path, None)
    assert alone(path) or list(path.parent.rglob("*.state"))


# -- kills ------------------------------------------------------------------------------------------------------------

KILLED = """
import os, sys
from copersona.runtime.people import replacing, sealed, sealing, store
sealed.COST = 10
path, what, step = sys.argv[1:4]
places = {
    "copy": (sealing, "_copy"), "copied": (sealing, "_counts"), "sync": (replacing, "sync_file"),
    "link": (replacing.os, "link"), "replace": (replacing.os, "replace"), "overwrite": (replacing, "overwrite"),
    "sweep": (store.PrefixFiles, "sweep"), "rewrite": (store.PeopleStore, "compact"),
}
owner, name = places[step.removeprefix("after ")]
whole, calls = getattr(owner, name), []
def killed(*given, **more):
    found = whole(*given, **more) if step.startswith("after ") else None
    os.kill(os.getpid(), 9)
setattr(owner, name, killed)
from pathlib import Path
if what == "seal":
    sealing.seal(Path(path), sys.argv[4])
elif what == "change":
    sealing.seal(Path(path), sys.argv[5], sys.argv[4])
else:
    sealing.unseal(Path(path), sys.argv[4])
"""
STEPS = [
    "copy", "after copy", "copied", "sync", "link", "after link", "replace", "after replace", "overwrite",
    "after overwrite", "sweep", "rewrite",
]  # fmt: skip


def prepared(path: Path, what: str) -> tuple[Passphrase | None, Passphrase | None]:
    """The store as `what` finds it; the passphrases before and after."""
    if what == "seal":
        return None, PASS
    seal(path, PASS)
    with PeopleStore(path, passphrase=PASS) as store:
        store.prefixes.write("mallory", KEY, STATE, MANY)
    return (PASS, NEXT) if what == "change" else (PASS, None)


def opened_by(path: Path, before: Passphrase | None, after: Passphrase | None) -> Passphrase | None:
    """Which of both opens the store."""
    if not is_sealed(path):
        return None
    for passphrase in (after, before):
        try:
            PeopleStore(path, passphrase=passphrase).close()
        except PersonError:
            continue
        return passphrase
    pytest.fail("opened by neither")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("what", ["seal", "change", "unseal"])
def test_a_kill_at_any_step_leaves_one_whole_store(path: Path, what: str, step: str) -> None:
    before, after = prepared(path, what)
    ended = subprocess.run([sys.executable, "-c", KILLED, str(path), what, step, PASS, NEXT], check=False)
    assert ended.returncode == -signal.SIGKILL
    found = opened_by(path, before, after)
    done = STEPS.index(step) >= STEPS.index("after replace")
    assert found == (after if done else before)
    assert holds(path, found)
    strays = {name.name for name in path.parent.glob(".*")}
    assert strays == set()
    if found is not None:
        assert not readable(path)
    if done:
        assert alone(path)


def test_a_kill_at_any_moment_leaves_one_whole_store(path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from copersona.runtime.people import sealed, sealing; sealed.COST = 10\n"
        "print(flush=True)\n"
        "while True:\n"
        "    sealing.seal(Path(sys.argv[1]), sys.argv[2]); sealing.unseal(Path(sys.argv[1]), sys.argv[2])"
    )
    draw, kinds = random.Random(3), set()
    for _ in range(8):
        if is_sealed(path):
            unseal(path, PASS)
        with subprocess.Popen([sys.executable, "-c", code, str(path), PASS], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(draw.uniform(0.0, 0.6))
            process.send_signal(signal.SIGKILL)
        kinds.add(is_sealed(path))
        assert holds(path, lambda: PASS)
        assert list(path.parent.glob(".*")) == []
        assert not (is_sealed(path) and readable(path))
    assert kinds


# -- other processes --------------------------------------------------------------------------------------------------


def test_who_has_the_store_open_is_told_and_loses_nothing(path: Path) -> None:
    with PeopleStore(path) as other:
        assert len(other.people()) == 2
        seal(path, PASS)
        for use in (other.people, lambda: other.add([Interaction("ann", "two")]), lambda: other.forget("ann")):
            with pytest.raises(PersonError, match="sealed or unsealed the store; open it again"):
                use()
        other.prefixes.write("mallory", KEY, STATE, MANY)  # a state in the old form
    assert not readable(path)
    assert holds(path, PASS)


BUSY = """
import sys
from copersona.runtime.people.store import PeopleStore
store = PeopleStore(sys.argv[1])
store._db.execute(sys.argv[2])
store._db.execute("SELECT * FROM people").fetchone()
print(flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("begin", ["BEGIN", "BEGIN IMMEDIATE"])
def test_while_another_process_is_at_it_nothing_is_done(
    path: Path, begin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = sealing._sqlcipher

    def impatient(path: Path, key: sealed.Key | None) -> Any:
        db = opened(path, key)
        db.execute("PRAGMA busy_timeout = 100")
        return db

    monkeypatch.setattr(sealing, "_sqlcipher", impatient)
    call = [sys.executable, "-c", BUSY, str(path), begin]
    with subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(PersonError, match="another process"):
            seal(path, PASS)
        assert other.stdin is not None
        other.stdin.close()
    assert holds(path, None)


ADD = """
import sys
from copersona.runtime.common.errors import PersonError
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.people.store import PeopleStore
try:
    with PeopleStore(sys.argv[1], passphrase=lambda: sys.argv[2], busy_seconds=0.1) as store:
        store.add([Interaction("ann", "two")])
except PersonError as error:
    print(error)
"""


@pytest.mark.parametrize("step", ["_copy", "replace_file"])
@pytest.mark.parametrize("what", ["seal", "unseal"])
def test_while_it_is_done_nobody_writes(path: Path, what: str, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if what == "unseal":
        seal(path, PASS)
    whole, said = getattr(sealing, step), []

    def meanwhile(*given: object) -> None:
        for when in ("before", "after"):
            call = [sys.executable, "-c", ADD, str(path), PASS]
            if step == "_copy" or when == "before":
                said.append(subprocess.run(call, capture_output=True, text=True, check=True).stdout)
            if when == "before":
                whole(*given)

    monkeypatch.setattr(sealing, step, meanwhile)
    assert (seal(path, PASS) if what == "seal" else unseal(path, PASS)) == ""
    assert all("another process is writing" in line for line in said)
    assert len(said) == (2 if step == "_copy" else 1)
    assert holds(path, lambda: PASS)


def patient(work: Callable[[], str]) -> None:
    """Once more where another process was in the way."""
    for _ in range(20):
        time.sleep(0.2)
        try:
            work()
        except PersonError as error:
            if "another process" not in str(error):
                raise
        else:
            return
    pytest.fail("never its turn")


def test_writers_beside_it_lose_nothing_that_was_acknowledged(path: Path) -> None:
    code = (
        "import sys, time\nfrom copersona.runtime.common.errors import PersonError\n"
        "from copersona.runtime.history.interactions import Interaction\n"
        "from copersona.runtime.people.store import PeopleStore\n"
        "print('ready', flush=True)\nn = 0\n"
        "while n < 2000:\n"
        "    try:\n"
        "        with PeopleStore(sys.argv[1], passphrase=lambda: sys.argv[2]) as store:\n"
        "            for n in range(n + 1, n + 6):\n"
        "                store.add([Interaction('writer', f'text {n}')]); print(n, flush=True); time.sleep(0.01)\n"
        "    except PersonError as error:\n"
        "        print(f'# {error}', flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path), PASS], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        for _ in range(3):
            patient(lambda: seal(path, PASS))
            patient(lambda: unseal(path, PASS))
        writer.send_signal(signal.SIGKILL)
        lines = writer.stdout.read().splitlines()
    numbers = {int(line) for line in lines if not line.startswith("#")}
    with PeopleStore(path) as store:
        store.check()
        kept = {int(one.output.split()[1]) for one in store.history("writer")}
    assert numbers <= kept
    assert len(numbers) > 10
    allowed = ("open it again", "another process", "passphrase is wrong", "cannot be opened")
    assert [line for line in lines if line.startswith("#") and not any(word in line for word in allowed)] == []


# -- strays -----------------------------------------------------------------------------------------------------------


def put_link(stray: Path, letter: Path) -> None:
    stray.symlink_to(letter)


def put_hard_link(stray: Path, letter: Path) -> None:
    os.link(letter, stray)


@pytest.mark.parametrize("put", [put_link, put_hard_link])
@pytest.mark.parametrize("name", [replacing.old_name, replacing.new_name])
def test_what_is_not_ours_beside_the_store_keeps_its_bytes(
    path: Path, tmp_path: Path, put: Callable[[Path, Path], None], name: Callable[[Path], Path]
) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_bytes(b"a letter")
    put(name(path), letter)
    with pytest.raises(PersonError):
        PeopleStore(path)
    assert letter.read_bytes() == b"a letter"
    name(path).unlink()
    assert holds(path, None)


def test_where_files_have_no_second_names_it_works_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = os.open(path, os.O_RDONLY)
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(1, "Operation not permitted")))
    seal(path, PASS)
    assert os.pread(held, 1 << 20, 0).strip(b"\0") == b""
    os.close(held)
    assert holds(path, PASS)
    assert alone(path)
