"""A store of many texts and many people: read by its end or by page, written as a stream, and still all or none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copersona.runtime.history.interactions import Interaction
from copersona.runtime.people import listing
from copersona.runtime.people.listing import Listed
from copersona.runtime.people.store import Added, PeopleStore
from copersona.runtime.people.tables import DIGESTS, HISTORY, LISTED

from .kinds import script

pytestmark = pytest.mark.usefixtures("kind")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PeopleStore]:
    with PeopleStore(tmp_path / "home" / "people.sqlite") as store:
        yield store


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.none() | st.integers(0, 3)), max_size=12), st.integers(0, 13))
def test_the_latest_are_the_end_of_the_history(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, int | None]], latest: int
) -> None:
    with PeopleStore(tmp_path_factory.mktemp("latest") / "p.sqlite") as store:
        store.add([Interaction("ann", "always there"), Interaction("bob", "someone else", time=1.0)])
        store.add(Interaction("ann", text, time=None if at is None else float(at)) for text, at in rows)
        whole = store.history("ann")
        assert store.history("ann", latest) == whole[max(len(whole) - latest, 0) :]
        assert store.written("ann").interactions == len(whole)


def test_what_opens_a_person_or_lists_people_reads_no_text_that_is_not_wanted(store: PeopleStore) -> None:
    plans = {
        query: " ".join(str(row[3]) for row in store._db.execute(f"EXPLAIN QUERY PLAN {query}", given))
        for query, given in ((HISTORY, ("ann", "[]", 1)), (DIGESTS, ("ann", "[]")), (LISTED, ("", "", 1)))
    }
    assert not any("TEMP B-TREE" in plan for plan in plans.values()), plans  # none sorts what it finds
    assert "interactions_by_time" in plans[HISTORY]
    assert "COVERING INDEX" in plans[DIGESTS]
    assert "COVERING INDEX" in plans[LISTED]


def test_what_is_added_is_never_held_as_a_whole(store: PeopleStore) -> None:
    rows = (Interaction("ann", f"{n} " + "some words " * 200, time=float(n)) for n in range(6000))  # 13 MB
    store.add([Interaction("ann", "first: what is imported and cached once")])
    tracemalloc.start()
    try:
        assert store.add(rows) == Added(1, 6000, 0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000


def test_pages_of_people_are_the_whole_list(store: PeopleStore, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["Zoë", "ann", "bob", "émile", "山田", *(f"p{n:02d}" for n in range(20))]
    store.add(Interaction(name, f"text {k}") for name in names for k in range(len(name)))
    store.enrol("population", {"bob": "p1"})
    whole = list(store.listed(population="population"))
    assert whole == [Listed(name, len(name), "p1" if name == "bob" else None) for name in sorted(names)]
    assert store.count() == len(names)
    for page in (1, 2, 24, 25, 26, 1000):
        monkeypatch.setattr(listing, "PAGE", page)
        assert list(store.listed(population="population")) == whole
    assert list(store.listed(after="bob")) == [Listed(one.name, one.interactions, None) for one in whole[3:]]
    assert [one.name for one in store.listed(after="p17x")] == ["p18", "p19", "émile", "山田"]
    assert list(store.listed(after="龠")) == []
    assert [row.name for row in store.people(after="bob", limit=3)] == ["p00", "p01", "p02"]


def test_someone_who_goes_or_comes_while_the_list_is_read_disturbs_nobody_else(
    store: PeopleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "PAGE", 2)
    store.add(Interaction(name, "x") for name in "abcdef")
    rows = store.listed()
    assert [next(rows).name, next(rows).name] == ["a", "b"]
    store.forget("b")
    store.forget("d")
    store.add([Interaction("e1", "x"), Interaction("a1", "x")])
    assert [row.name for row in rows] == ["c", "e", "e1", "f"]


KILLED = """
import sys
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.people.store import PeopleStore

def rows():
    for n in range(10**9):
        if n == 3000:
            print("much is written", flush=True)
        yield Interaction("ann", f"text {n} " * 100, time=float(n))

with PeopleStore(sys.argv[1]) as store:
    store._db.execute("PRAGMA cache_spill=1")
    store.add(rows())
"""


def test_a_kill_amid_a_stream_leaves_what_was_there_and_no_part_of_it(store: PeopleStore) -> None:
    store.add(Interaction("ann", f"kept {n}", time=float(n)) for n in range(50))
    store.close()
    process = subprocess.Popen([sys.executable, "-c", script(KILLED), str(store.path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    process.stdout.close()
    process.wait(60)
    with PeopleStore(store.path) as again:
        again.check()
        assert [one.output for one in again.history("ann")] == [f"kept {n}" for n in range(50)]
        assert again.add([Interaction("ann", "kept 1", time=1.0), Interaction("ann", "new")]) == Added(1, 1, 1)
