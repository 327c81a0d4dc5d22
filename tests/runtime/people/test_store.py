"""The people store: what is acknowledged stays, what is forgotten is gone, what is damaged is left alone."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from copersona.runtime.chat.ask import Reply
from copersona.runtime.common.errors import HistoryError, PersonError
from copersona.runtime.history.importers import read_history
from copersona.runtime.history.interactions import Interaction, order_history
from copersona.runtime.people.erasing import Forgotten
from copersona.runtime.people.listing import PersonRow
from copersona.runtime.people.store import Added, PeopleStore, store_path
from copersona.runtime.people.tables import INSERT, MIGRATIONS, SCHEMA_VERSION
from copersona.runtime.people.tables import row as values

from .kinds import connect, readable, script

pytestmark = pytest.mark.usefixtures("kind")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PeopleStore]:
    with PeopleStore(tmp_path / "home" / "people.sqlite") as store:
        yield store


def said(person: str, *outputs: str) -> list[Interaction]:
    return [Interaction(person, output, time=float(n)) for n, output in enumerate(outputs)]


def test_the_default_place_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COPERSONA_HOME", str(tmp_path / "private"))
    with PeopleStore() as store:
        assert store.path == store_path() == tmp_path / "private" / "people.sqlite"
        assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(store.path.parent.stat().st_mode) == 0o700
    store.path.chmod(0o644)
    with PeopleStore():
        assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    monkeypatch.delenv("COPERSONA_HOME")
    assert store_path().parent.name == "copersona"


def test_the_promised_pragmas_hold(store: PeopleStore) -> None:
    names = (
        "journal_mode",
        "synchronous",
        "mmap_size",
        "foreign_keys",
        "secure_delete",
        "trusted_schema",
        "user_version",
    )
    values = [store._db.execute(f"PRAGMA {name}").fetchone()[0] for name in names]
    assert values == ["truncate", 3, 0, 1, 1, 0, SCHEMA_VERSION]


def test_a_history_comes_back_as_it_was(store: PeopleStore) -> None:
    full = Interaction("ann", "Text\x00 with 😀", "Question?", 5.0, "i1", "Title", 4.5, ("oak", "naïve"))
    assert store.add([full]) == Added(people=1, new=1, repeated=0)
    assert store.history("ann") == (full,)
    store.close()
    with PeopleStore(store.path) as again:
        assert again.history("ann") == (full,)


def test_adding_again_changes_nothing(store: PeopleStore) -> None:
    rows = said("ann", "one", "two") + said("bob", "three")
    assert store.add(rows) == Added(2, 3, 0)
    assert store.add(rows + said("bob", "four")) == Added(2, 1, 3)
    assert [len(store.history(p)) for p in ("ann", "bob")] == [2, 2]
    assert store.add([]) == Added(0, 0, 0)


def test_numbers_and_names_have_one_form(store: PeopleStore) -> None:
    store.add([Interaction("Zoe\u0308 ", "x", time=1, rating=5)])
    assert store.add([Interaction("Zo\u00eb", "x", time=1.0, rating=5.0)]) == Added(1, 0, 1)
    assert store.history("Zoe\u0308")[0].person == "Zo\u00eb"


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.none() | st.integers(0, 3)), max_size=12))
def test_the_order_is_that_of_order_history(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, int | None]]
) -> None:
    added = [Interaction("ann", text, time=None if at is None else float(at)) for text, at in rows]
    with PeopleStore(tmp_path_factory.mktemp("order") / "p.sqlite") as store:
        for interaction in added:
            store.add([interaction])
        assert (store.history("ann") if added else ()) == order_history(added)


def test_the_list_of_people(store: PeopleStore) -> None:
    store.add([*said("bob", "one", "two"), Interaction("ann", "x")])
    assert store.people() == [PersonRow("ann", 1, None, None), PersonRow("bob", 2, 0.0, 1.0)]


def test_what_a_model_said_of_a_person_is_kept_and_forgotten_with_them(store: PeopleStore) -> None:
    store.add([*said("ann", "one"), *said("bob", "two")])
    reply = Reply('{"note": "zorbia é"}', 7, 3)
    store.replies("ann").put("k", reply)
    assert store.replies("ann").get("k") == reply
    assert store.replies("bob").get("k") is None
    assert store.replies("ann").get("other") is None
    with pytest.raises(PersonError, match="nobody here is called 'zoe'"):
        store.replies("zoe").put("k", reply)
    store.forget("ann")
    assert store.replies("ann").get("k") is None
    assert b"zorbia" not in readable(store.path)


def test_a_store_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "p.sqlite"
    db = connect(path)
    MIGRATIONS[0](Database(db))
    db.execute("PRAGMA user_version=1")
    db.execute("INSERT INTO people (name) VALUES ('ann')")
    db.execute(INSERT, values(said("ann", "one")[0]))
    db.close()
    with PeopleStore(path) as store:
        assert len(store.history("ann")) == 1
        store.replies("ann").put("k", Reply("x"))
        assert store.replies("ann").get("k") == Reply("x")
        store.keep_vectors("ann", "e", {"t": b"1234"})
        assert store.vectors("ann", "e") == {"t": b"1234"}


def test_an_unknown_person_gets_close_names(store: PeopleStore) -> None:
    store.add([Interaction(name, "x") for name in ("Anna", "Annie", "Bob")])
    with pytest.raises(PersonError, match=r"nobody here is called 'Ana'; did you mean Anna"):
        store.history("Ana")
    with pytest.raises(PersonError, match="holds 3 people"):
        store.forget("Xyzzy")


@pytest.mark.parametrize("name", ["", "  ", "a" * 201, "a\nb", "a\x7fb", "\ud800", "a\u2028b"])
def test_bad_names_are_refused(store: PeopleStore, name: str) -> None:
    for use in (
        store.history,
        store.forget,
        lambda n: store.peer_of("b", n),
        lambda n: store.add([Interaction(n, "x")]),
    ):
        with pytest.raises(PersonError):
            use(name)
    assert store.people() == []


@pytest.mark.parametrize(
    "bad",
    [
        Interaction("ann", " "),
        Interaction("ann", "x\ud800"),
        Interaction("ann", "x", rating=float("nan")),
        Interaction("ann", "x", time=float("inf")),
        Interaction("ann", "x", words=("\udfff",)),
        Interaction("ann", "x" * 200_001),
    ],
)
def test_an_add_is_all_or_nothing(store: PeopleStore, bad: Interaction) -> None:
    with pytest.raises(PersonError, match="'ann' cannot be kept"):
        store.add([*said("bob", "one"), bad])
    assert store.people() == []
    store.add(said("bob", "one"))


def test_an_import_that_fails_midway_adds_nothing(store: PeopleStore, tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    path.write_text('{"person": "ann", "output": "one"}\nbroken\n')
    with pytest.raises(HistoryError, match=":2:"):
        store.add(read_history(path))
    assert store.people() == []


def test_promise_forgotten_is_gone(store: PeopleStore) -> None:
    secrets = [f"canary-{n:05d}-" + "blue heron " * (n % 90) for n in range(120)]
    others = [f"keep-{n:05d}-" + "grey goose " * (n % 70) for n in range(120)]
    for n, (secret, other) in enumerate(zip(secrets, others, strict=True)):
        mine = Interaction(
            "mallory-secret", secret, "canary question", float(n), "canary item", "canary title", 5.0, ("canary",)
        )
        store.add([mine, replace(mine, person="ann", output=other, input=None, item=None, title=None, words=())])
    store.enrol("bundle-1", {"mallory-secret": "canary-peer", "ann": "p2"})
    assert b"canary" in readable(store.path)
    assert store.forget("mallory-secret") == Forgotten(interactions=120, compacted=True)
    for file in store.path.parent.iterdir():
        content = readable(file)
        for trace in (b"canary", b"heron", b"mallory"):
            assert trace not in content
    assert len(store.history("ann")) == 120
    assert store.peer_of("bundle-1", "mallory-secret") is None
    assert store.peer_of("bundle-1", "ann") == "p2"
    store.check()
    with pytest.raises(PersonError):
        store.forget("mallory-secret")


def test_forgetting_while_another_process_reads_says_so(store: PeopleStore) -> None:
    store.add(said("ann", "a canary") + said("bob", "x" * 5000))
    other = connect(store.path)
    try:
        other.execute("BEGIN")
        other.execute("SELECT * FROM people").fetchone()
        store._db.execute("PRAGMA busy_timeout=50")
        with pytest.raises(PersonError, match="another process"):
            store.forget("ann")
        assert len(store.history("ann")) == 1
        other.execute("COMMIT")
        assert store.forget("ann").compacted
    finally:
        other.close()


def test_vectors_are_kept_with_the_person(store: PeopleStore) -> None:
    store.add(said("ann", "one"))
    store.keep_vectors("ann", "e", {"t": b"1234"})
    store.keep_vectors("ann", "e", {"t": b"5678", "u": b""})
    assert store.vectors("ann", "e") == {"t": b"1234", "u": b""}
    assert store.vectors("nobody", "e") == {}
    store.check()


def test_enrolment(store: PeopleStore) -> None:
    store.enrol("b1", {"ann": "p1", "bob": "p2"})
    store.enrol("b1", {"ann": "p9"})
    store.enrol("b2", {"ann": "q1"})
    assert [store.peer_of(b, "ann") for b in ("b1", "b2", "b3")] == ["p9", "q1", None]
    assert store.peer_of("b1", "carol") is None
    assert store.people() == []
    assert store.forget("ann") == Forgotten(0, True)
    assert [store.peer_of(b, "ann") for b in ("b1", "b2")] == [None, None]


def test_a_second_process_waits_then_gives_up(store: PeopleStore) -> None:
    store.add(said("ann", "one"))
    with PeopleStore(store.path, busy_seconds=0.1) as second:
        store._db.execute("BEGIN IMMEDIATE")
        with pytest.raises(PersonError, match="another process is writing"):
            second.add(said("bob", "two"))
        store._db.execute("ROLLBACK")
        second.add(said("bob", "two"))
    assert len(store.people()) == 2


TAKES = """
import sys
sys.path.insert(0, sys.argv[2])
from tests.runtime.people.kinds import connect
from pathlib import Path
db = connect(Path(sys.argv[1]))
db.execute("PRAGMA busy_timeout=0")
try:
    db.execute("BEGIN IMMEDIATE")
except Exception as error:
    print(error)
else:
    print("nobody was writing")
"""


def test_who_looks_into_the_store_takes_no_lock_from_another_part_of_the_process(store: PeopleStore) -> None:
    repository = str(Path(__file__).parents[3])
    call = [sys.executable, "-c", script(TAKES), str(store.path), repository]
    with store._transaction():
        for _ in range(2):
            with pytest.raises(PersonError, match="another process is writing"):
                PeopleStore(store.path, busy_seconds=0.01).add([Interaction("ann", "meanwhile")])
            done = subprocess.run(call, capture_output=True, text=True, check=False)
            assert done.stdout == "database is locked\n", done.stderr
    assert subprocess.run(call, capture_output=True, text=True, check=False).stdout == "nobody was writing\n"


def test_a_store_that_was_opened_often_keeps_no_file_open(store: PeopleStore) -> None:
    def opened() -> int:
        return sum(os.path.realpath(path) == str(store.path.resolve()) for path in Path("/proc/self/fd").iterdir())

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("Linux says what a process has open")
    for _ in range(5):
        PeopleStore(store.path).close()
    store.close()
    assert opened() == 0


def test_many_threads_and_connections(store: PeopleStore) -> None:
    with PeopleStore(store.path) as second, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: (store, second)[n % 2].add(said(f"p{n % 10}", f"text {n}", "shared")), range(40)))
        list(pool.map(lambda n: PeopleStore(store.path).close(), range(8)))
    assert sum(row.interactions for row in store.people()) == 50
    store.check()


def test_a_closed_store_says_so(store: PeopleStore) -> None:
    store.close()
    store.close()
    with pytest.raises(PersonError, match="closed"):
        store.people()


def other_database(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE people (name TEXT)")
    db.close()


def newer_store(path: Path) -> None:
    PeopleStore(path).close()
    db = connect(path)
    db.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    db.close()


def damaged_store(path: Path) -> None:
    with PeopleStore(path) as store:
        store.add(said("ann", *(f"text {n} " * 50 for n in range(200))))
    content = bytearray(path.read_bytes())
    content[4096 * 2 :] = os.urandom(len(content) - 4096 * 2)
    path.write_bytes(content)


def cut_store(path: Path) -> None:
    with PeopleStore(path) as store:
        store.add(said("ann", *(f"text {n} " * 50 for n in range(200))))
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda p: p.write_bytes(b"not a database at all " * 100), "no people store, or a damaged one"),
        (lambda p: p.write_bytes(b"SQLite format 3\x00" + b"\x07" * 500), "no people store, or a damaged one"),
        (other_database, "another program's database"),
        (newer_store, f"version {SCHEMA_VERSION + 1}"),
        (damaged_store, "no people store, or a damaged one"),
        (cut_store, "no people store, or a damaged one"),
        (lambda p: p.mkdir(), "cannot be opened"),
    ],
    ids=["text", "bad header", "foreign", "newer", "damaged", "cut", "folder"],
)
def test_what_is_no_store_is_refused_and_left_alone(tmp_path: Path, make: object, expected: str) -> None:
    path = tmp_path / "people.sqlite"
    make(path)  # type: ignore[operator]
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(PersonError, match=expected) as caught:
        PeopleStore(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (path.read_bytes() if path.is_file() else b"") == before


def test_damage_met_later_is_one_clear_error(store: PeopleStore) -> None:
    store.add(said("ann", *(f"text {n} " * 50 for n in range(200))))
    content = bytearray(store.path.read_bytes())
    content[4096 * 4 :] = b"\xff" * (len(content) - 4096 * 4)
    store.path.write_bytes(content)
    store._db.execute("PRAGMA shrink_memory")
    with pytest.raises(PersonError, match=str(store.path)):
        store.check()


def test_an_empty_file_is_a_new_store(tmp_path: Path) -> None:
    (tmp_path / "people.sqlite").touch()
    with PeopleStore(tmp_path / "people.sqlite") as store:
        assert store.people() == []


WRITER = """
import sys
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.people.store import PeopleStore
store, first = PeopleStore(sys.argv[1]), int(sys.argv[2])
print("ready", flush=True)
for n in range(first, first + 100_000):
    person = f"person {n}"
    store.add(Interaction(person, f"text {k} of {n} " * 40, time=float(k)) for k in range(20))
    print(n, flush=True)
    if n % 7 == 3:
        store.forget(person)
        print(-n, flush=True)
"""


def test_promise_kill_loses_nothing_kept(tmp_path: Path) -> None:
    path, draw = tmp_path / "people.sqlite", random.Random(7)
    kept: set[int] = set()
    for kill in range(10):
        first = kill * 1_000_000 + 1
        with subprocess.Popen(
            [sys.executable, "-c", script(WRITER), str(path), str(first)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            if kill % 2:  # the others are killed while they start, the first while it makes the file
                writer.stdout.readline()
            time.sleep(draw.uniform(0.05, 0.5))
            writer.send_signal(signal.SIGKILL)
            said_so = [int(line) for line in writer.stdout.read().split("\n")[:-1] if line != "ready"]
        added, forgotten = {n for n in said_so if n > 0}, {-n for n in said_so if n < 0}
        with PeopleStore(path) as store:
            store.check()
            people = {int(row.name.split()[1]): row.interactions for row in store.people()}
        assert set(people.values()) <= {20}
        unsaid = {max(added, default=first - 1) + 1} | {n for n in added if n % 7 == 3}
        assert added - forgotten - unsaid <= people.keys()
        assert not forgotten & people.keys()
        assert people.keys() - kept - added <= unsaid
        assert kept <= people.keys()
        kept = set(people)
    assert kept


# -- one text once, and facts that come later ------------------------------------------------------------------------


def test_one_text_in_several_forms_is_kept_once(store: PeopleStore) -> None:
    one = Interaction("lena", "Es war\nschön.", time=5.0, title="Zug")
    forms = [replace(one, output=text) for text in ("Es war\r\nschön.", "Es war\nscho\u0308n.", "Es war \nschön. ")]
    assert store.add([one, *forms]) == Added(people=1, new=1, repeated=3)
    assert store.history("lena") == (one,)


def test_a_store_of_before_has_each_text_once_and_knows_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forms = [Interaction("lena", text, time=1.0) for text in ("Es war.\nSo.", "Es war.\r\nSo.", "Es war.\nSo. ")]
    alone = Interaction("lena", "Nur einmal. ", time=2.0)
    step = next(place for place, step in enumerate(MIGRATIONS) if step.__name__ == "_digests")
    path = tmp_path / "people.sqlite"
    with monkeypatch.context() as old:
        old.setattr("copersona.runtime.people.store_file.MIGRATIONS", MIGRATIONS[:step])
        old.setattr("copersona.runtime.people.store_file.SCHEMA_VERSION", step)
        with PeopleStore(path) as store:
            store.add([Interaction("lena", str(n)) for n in range(4)])
            for seq, one in enumerate([*forms, alone], 1):
                store._db.execute(
                    "UPDATE interactions SET output = ?, time = ?, digest = ? WHERE seq = ?",
                    (one.output, one.time, f"as it was, {seq}", seq),
                )
    with PeopleStore(path) as store:
        assert store.history("lena") == (forms[0], alone)
        assert store.add([*forms, alone]) == Added(1, 0, 4)


def test_an_items_name_that_comes_later_is_added(store: PeopleStore) -> None:
    bare = Interaction("ann", "Good.", item="i1", time=1.0)
    lent, named = replace(bare, words=("strings", "tuner")), replace(bare, words=("Pet Sounds",))
    assert store.add([bare]) == Added(1, 1, 0)
    for row, kept, count in (
        (lent, lent, 1),  # words of other people where there was nothing
        (replace(bare, words=("pick",)), lent, 0),  # others in their place: not
        (named, named, 1),  # a title, always
        (named, named, 0),
        (lent, named, 0),
        (replace(bare, words=("drum",)), named, 0),
        (bare, named, 0),
    ):
        assert store.add([row]) == Added(1, 0, 1, count)
        assert store.history("ann") == (kept,)
