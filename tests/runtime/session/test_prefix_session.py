"""What a session keeps of prompts' beginnings: used by the next one where nothing changed, gone with the person."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from copersona.runtime.engine.engine import Sampling
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.people.store import PeopleStore
from copersona.runtime.session import prefix_key as keys
from copersona.runtime.session.prefix_cache import CacheLimits
from copersona.runtime.session.session import open_bundle

SHORT = Sampling(max_tokens=8)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PeopleStore]:
    with PeopleStore(tmp_path / "home" / "people.sqlite") as store:
        store.add(Interaction("ana", f"I love these strings, number {n}!", time=float(n)) for n in range(3))
        store.add([Interaction("ben", "It hums. Returned.")])
        yield store


def ask(bundle: Path, store: PeopleStore, *requests: str, **options: Any) -> tuple[list[str], dict[str, int]]:
    """Answers of ana in a new session, and how the prefixes were come by."""
    with open_bundle(bundle, threads=1, **options) as session:
        known = session.person(store, "ana")
        texts = [session.answer(request, known, SHORT).finish().text for request in requests]
        return texts, dict(session.engine.sequences.reached)


def states(store: PeopleStore) -> list[Path]:
    return sorted(path for path in store.prefixes.folder.rglob("*") if path.is_file())


def test_the_next_session_restores_it(tiny_bundle: Path, store: PeopleStore) -> None:
    first, how = ask(tiny_bundle, store, "One?", "Two?")
    assert how == {"computed": 1, "held": 1}
    again, how = ask(tiny_bundle, store, "One?", "Two?")
    assert how == {"restored": 1, "held": 1}
    nothing, how = ask(tiny_bundle, store, "One?", "Two?", cache=CacheLimits(0, 0))
    assert how == {"computed": 1, "held": 1}
    assert first == again == nothing


def test_nobody_and_people_take_turns(tiny_bundle: Path, store: PeopleStore) -> None:
    with open_bundle(tiny_bundle, threads=1) as session:
        known = [session.person(store, "ana"), session.person(store, "ben"), None]
        texts = [[session.answer("Hi?", who, SHORT).finish().text for who in known] for _ in range(3)]
        assert texts[0] == texts[1] == texts[2]
        assert session.engine.sequences.reached == {"computed": 3, "restored": 6}
        session.prefixes.forget("ana")
        assert len(session.prefixes) == 2
    assert len(states(store)) == 2  # nobody's is not kept on disk


def test_what_changed_is_not_used(tiny_bundle: Path, store: PeopleStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(tiny_bundle, store, "Hi?")[1] == {"computed": 1}
    assert ask(tiny_bundle, store, "Hi?", context={"recent": 1})[1] == {"computed": 1}
    for name in ("VERSION", "PROFILER_VERSION"):
        with monkeypatch.context() as patched:
            patched.setattr(keys, name, 77)
            assert ask(tiny_bundle, store, "Hi?")[1] == {"computed": 1}
    assert ask(tiny_bundle, store, "Hi?")[1] == {"restored": 1}
    store.add([Interaction("ana", "Something new.", time=9.0)])
    assert not states(store)
    assert ask(tiny_bundle, store, "Hi?")[1] == {"computed": 1}


def test_what_a_request_finds_comes_after_it(tiny_bundle: Path, store: PeopleStore) -> None:
    context = {"recent": 1, "matched": 1}
    _, how = ask(tiny_bundle, store, "Number 0?", "Number 1?", "strings", context=context)
    assert how == {"computed": 1, "held": 2}


@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_a_damaged_state_is_computed_again(tiny_bundle: Path, store: PeopleStore, damage: str) -> None:
    text, _ = ask(tiny_bundle, store, "Hi?")
    path = states(store)[0]
    good = path.read_bytes()
    if damage == "cut":
        os.truncate(path, len(good) // 2)
    else:
        path.write_bytes(good[:5_000] + bytes([good[5_000] ^ 1]) + good[5_001:])
    assert ask(tiny_bundle, store, "Hi?") == (text, {"computed": 1})
    assert path.read_bytes() == good
    assert ask(tiny_bundle, store, "Hi?") == (text, {"restored": 1})


def test_disk_is_used_only_where_it_is_allowed(tiny_bundle: Path, store: PeopleStore) -> None:
    ask(tiny_bundle, store, "Hi?", cache=CacheLimits(disk=0))
    assert not states(store)
    ask(tiny_bundle, store, "Hi?", cache=CacheLimits(disk=1_000))
    assert not states(store)
    before = {path: path.stat().st_mtime_ns for path in tiny_bundle.rglob("*")}
    ask(tiny_bundle, store, "Hi?")
    assert len(states(store)) == 1
    assert {path: path.stat().st_mtime_ns for path in tiny_bundle.rglob("*")} == before  # nothing in the bundle


def test_promise_forgotten_states_are_gone(tiny_bundle: Path, store: PeopleStore) -> None:
    ask(tiny_bundle, store, "Hi?")
    piece = states(store)[0].read_bytes()[2_000:2_064]
    store.forget("ana")
    home = store.path.parent
    assert {path.name for path in home.rglob("*") if path.is_file()} <= {"people.sqlite", "people.sqlite-journal"}
    assert all(piece not in path.read_bytes() for path in home.rglob("*") if path.is_file())
