"""States of prompts' beginnings: bounded, private, whole or not given out, gone with the person."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pytest

from copersona.runtime.engine.llama_context import State
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.people.prefix_files import KeptStates, PrefixFiles
from copersona.runtime.people.state_form import PlainForm
from copersona.runtime.people.store import PeopleStore
from copersona.runtime.session.prefix_cache import PersonShelf, PrefixMemory

KEY, OTHER = "a" * 64, "b" * 64
MANY = 1 << 30


def key(n: int) -> str:
    return f"{n:064x}"


def state(size: int = 5_000, seed: int = 0) -> State:
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


HEAD = PlainForm.extra


@pytest.fixture(params=["plain", "sealed"])
def store(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> PeopleStore:
    if request.param == "sealed":
        pytest.importorskip("sqlcipher3")
        pytest.importorskip("cryptography")
        monkeypatch.setattr("copersona.runtime.people.sealed.COST", 10)
    store = PeopleStore(tmp_path / "people.sqlite", passphrase="correct horse" if request.param == "sealed" else None)
    store.add([Interaction("ann", "one"), Interaction("bob", "two")])
    return store


@pytest.fixture
def files(store: PeopleStore) -> PrefixFiles:
    return store.prefixes


def found(files: PrefixFiles) -> list[Path]:
    return sorted(path for path in files.folder.rglob("*") if path.is_file())


def test_a_state_comes_back(files: PrefixFiles) -> None:
    assert files.read("ann", KEY) is None
    files.write("ann", KEY, state(), MANY)
    got = files.read("ann", KEY)
    assert got is not None
    np.testing.assert_array_equal(got, state())
    assert files.read("ann", OTHER) is None
    assert files.read("bob", KEY) is None
    assert files.kept("ann") == KeptStates(1, files._form.extra + 5_000)
    assert files.kept("bob") == KeptStates(0, 0)


def test_only_this_user_reads_it_and_names_are_not_in_it(files: PrefixFiles) -> None:
    files.write("ann", KEY, state(), MANY)
    for path in [files.folder, *files.folder.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
        assert "ann" not in path.name


def flip(path: Path, at: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize("at", [0, 8, 40, HEAD, HEAD + 2_500, -1])
def test_a_changed_file_is_never_given_out(files: PrefixFiles, at: int) -> None:
    files.write("ann", KEY, state(), MANY)
    flip(found(files)[0], at)
    assert files.read("ann", KEY) is None
    assert not found(files)


@pytest.mark.parametrize("size", [0, 7, HEAD - 1, HEAD, HEAD + 1, HEAD + 4_999, HEAD + 5_001])
def test_a_cut_or_longer_file_is_never_given_out(files: PrefixFiles, size: int) -> None:
    files.write("ann", KEY, state(), MANY)
    os.truncate(found(files)[0], size)
    assert files.read("ann", KEY) is None
    assert not found(files)


def test_a_file_under_another_name_and_a_link_are_never_given_out(files: PrefixFiles, tmp_path: Path) -> None:
    files.write("ann", KEY, state(), MANY)
    path = found(files)[0]
    moved = path.with_name(f"{OTHER}.state")
    path.rename(moved)
    assert files.read("ann", OTHER) is None
    files.write("ann", KEY, state(), MANY)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert files.read("ann", KEY) is None
    files.forget("ann")
    assert (tmp_path / "elsewhere").stat().st_size == files._form.extra + 5_000


def test_the_least_recently_used_file_goes_first(files: PrefixFiles) -> None:
    limit = 3 * (files._form.extra + 1_000)
    for n in range(3):
        files.write("ann" if n % 2 else "bob", key(n), state(1_000, n), limit)
    names = [files._form.file(key(n)) for n in range(4)]
    for path in found(files):
        os.utime(path, (names.index(path.stem), names.index(path.stem)))
    assert files.read("bob", key(0)) is not None  # the oldest, used just now
    files.write("ann", key(3), state(1_000), limit)
    assert {path.stem for path in found(files)} == {names[n] for n in (0, 2, 3)}
    files.write("ann", key(4), state(limit), limit)  # larger than all that is allowed
    assert len(found(files)) == 3


def test_forgotten_means_no_file_left(store: PeopleStore, files: PrefixFiles) -> None:
    for person in ("ann", "bob"):
        files.write(person, KEY, state(), MANY)
    store.forget("ann")
    assert files.kept("ann") == KeptStates(0, 0)
    assert files.kept("bob").states == 1
    assert len(list(files.folder.iterdir())) == 1
    store.forget("bob")
    assert not list(files.folder.iterdir())


def test_a_state_that_is_written_after_the_person_was_forgotten_does_not_stay(
    store: PeopleStore, files: PrefixFiles
) -> None:
    store.forget("ann")
    files.write("ann", KEY, state(), MANY)
    assert not found(files)


def test_what_a_kill_left_of_someone_who_is_gone_is_swept(store: PeopleStore, files: PrefixFiles) -> None:
    files.write("ann", KEY, state(), MANY)
    stray = files.folder / f"{0x123:032x}"
    stray.mkdir()
    for name in ("tmp_ab12cd3.part", f"{key(1)}.state"):
        (stray / name).write_bytes(b"x")
    store.forget("bob")
    assert not stray.exists()
    assert files.read("ann", KEY) is not None


def test_writing_more_forgets_what_the_prompts_began_with(store: PeopleStore, files: PrefixFiles) -> None:
    for person in ("ann", "bob"):
        files.write(person, KEY, state(), MANY)
    store.add([Interaction("ann", "one"), Interaction("bob", "three")])
    assert files.kept("ann").states == 1  # it was known already
    assert files.kept("bob").states == 0


def test_a_folder_that_cannot_be_written_is_no_error(files: PrefixFiles) -> None:
    files.folder.write_text("a file stands in the way")
    files.write("ann", KEY, state(), MANY)
    assert files.read("ann", KEY) is None
    files.forget("ann")


def test_memory_is_bounded_and_the_least_recently_used_goes_first() -> None:
    memory = PrefixMemory(3_000)
    for key in "abc":
        memory.put(key, "ann" if key == "a" else None, state(1_000))
    assert memory.get("a") is not None
    memory.put("d", None, state(1_000))
    assert [key for key in "abcd" if memory.get(key) is not None] == ["a", "c", "d"]
    memory.put("e", None, state(3_001))
    assert len(memory) == 3
    memory.forget("ann")
    assert memory.get("a") is None
    memory.drop("c")
    memory.drop("c")
    assert memory.bytes == 1_000
    assert PrefixMemory(0).get("a") is None


def test_a_shelf_looks_in_memory_first_then_on_disk(files: PrefixFiles) -> None:
    PersonShelf(PrefixMemory(MANY), "ann", files, MANY).put(KEY, state())
    memory = PrefixMemory(MANY)
    shelf = PersonShelf(memory, "ann", files)
    assert shelf.get(KEY) is not None
    assert memory.get(KEY) is not None
    shelf.put(OTHER, state())
    assert files.read("ann", OTHER) is None  # no bytes of disk were allowed
    shelf.drop(KEY)
    assert memory.get(KEY) is None
    assert not found(files)
    nobody = PersonShelf(memory)
    nobody.put(KEY, state())
    assert nobody.get(KEY) is not None
