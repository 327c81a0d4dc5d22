"""A sealed store: nothing of anyone can be read without the passphrase, and it is never told."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import signal
import stat
import subprocess
import sys
import time
import traceback
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from copersona.runtime.common.errors import PersonError
from copersona.runtime.engine.llama_context import State
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.people import sealed
from copersona.runtime.people.prefix_files import KeptStates
from copersona.runtime.people.sealed import COST, MARK, Key, is_sealed, new_key, passphrase_bytes
from copersona.runtime.people.store import PeopleStore

from .kinds import PASS, key_of, raw_files, readable

pytest.importorskip("sqlcipher3")
pytest.importorskip("cryptography")

KEY, OTHER = "a" * 64, "b" * 64
MANY = 1 << 30
CANARIES = (b"canary", b"mallory", b"heron")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed, "COST", 10)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PeopleStore]:
    with PeopleStore(tmp_path / "home" / "people.sqlite", passphrase=PASS) as store:
        store.add([Interaction("mallory", f"canary {n} " * 30, "blue heron?", float(n)) for n in range(200)])
        store.add([Interaction("ann", "one")])
        yield store


def state(size: int = 5_000) -> State:
    return np.frombuffer(b"canary " * (size // 7 + 1), np.uint8)[:size].copy()


def refused(path: Path, passphrase: object = None) -> str:
    """The line that opening ends with."""
    with pytest.raises(PersonError) as caught:
        PeopleStore(path, passphrase=passphrase)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


# -- what can be read -------------------------------------------------------------------------------------------------


def test_promise_no_word_of_anyone_is_in_a_sealed_store(store: PeopleStore) -> None:
    store.keep_vectors("mallory", "e", {"canary": b"canary"})
    store.enrol("canary", {"mallory": "canary"})
    store.prefixes.write("mallory", KEY, state(), MANY)
    assert readable(store.path).count(b"canary") > 200  # it is there, for who has the key
    raw = raw_files(store.path.parent)
    assert not [canary for canary in (*CANARIES, b"people", b"CREATE TABLE", b"SQLite") if canary in raw]
    names = " ".join(str(path) for path in store.path.parent.rglob("*"))
    assert not [canary for canary in CANARIES if canary.decode() in names]


CUT = """
import os, sys
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.people.store import PeopleStore
store = PeopleStore(sys.argv[1], passphrase=sys.argv[2])
store._db.execute("PRAGMA cache_size = 4")  # pages are written before the transaction ends
store._db.execute("BEGIN IMMEDIATE")
store._db.execute("UPDATE interactions SET output = 'canary heron ' || output")
os.kill(os.getpid(), 9)
"""


def test_a_journal_that_a_kill_left_is_sealed_too_and_outlives_a_wrong_passphrase(store: PeopleStore) -> None:
    before = store.history("mallory")
    store.close()
    journal = store.path.with_name("people.sqlite-journal")
    ended = subprocess.run([sys.executable, "-c", CUT, str(store.path), PASS], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert journal.stat().st_size > 8_192
    assert not [canary for canary in CANARIES if canary in raw_files(store.path.parent)]
    assert "the passphrase is wrong" in refused(store.path, "another one")
    with PeopleStore(store.path, passphrase=PASS) as again:
        assert again.history("mallory") == before
        again.check()


def test_files_are_the_users_alone(store: PeopleStore) -> None:
    store.prefixes.write("mallory", KEY, state(), MANY)
    for path in store.path.parent.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


def test_a_changed_byte_is_damage_and_not_another_text(store: PeopleStore) -> None:
    store.close()
    raw = bytearray(store.path.read_bytes())
    for place in (8_192 * 3 + 100, len(raw) - 100):
        changed = bytearray(raw)
        changed[place] ^= 1
        store.path.write_bytes(changed)
        assert "damaged" in refused(store.path, PASS)
        assert store.path.read_bytes() == changed


# -- the passphrase ---------------------------------------------------------------------------------------------------


def test_a_wrong_or_missing_passphrase_is_one_line_and_changes_nothing(store: PeopleStore) -> None:
    store.close()
    before = store.path.read_bytes()
    assert "the passphrase is wrong" in refused(store.path, "correct horse batterz")
    assert "no passphrase was given" in refused(store.path)
    for none in ("", b"", "x" * 1_025):
        assert "expected 1 to 1,024" in refused(store.path, none)
    assert "half a character" in refused(store.path, "correct \ud800 horse")
    assert store.path.read_bytes() == before


@pytest.mark.parametrize("form", ["Zo\u00eb's caf\u00e9", "Zoe\u0308's cafe\u0301", "Zo\u00eb's caf\u00e9".encode()])
def test_a_passphrase_has_one_form_typed_or_read(tmp_path: Path, form: str | bytes) -> None:
    path = tmp_path / "people.sqlite"
    PeopleStore(path, passphrase="Zo\u00eb's caf\u00e9").close()
    PeopleStore(path, passphrase=form).close()
    PeopleStore(path, passphrase=lambda: form).close()


@given(st.text(min_size=1, max_size=60))
def test_any_text_and_its_bytes_are_one_passphrase(text: str) -> None:
    raw = passphrase_bytes(text)
    assert passphrase_bytes(raw) == raw
    assert passphrase_bytes(unicodedata.normalize("NFD", text)) == raw
    assert passphrase_bytes(unicodedata.normalize("NFC", text).encode("utf-8", "surrogateescape")) == raw


def test_too_little_memory_for_a_key_is_one_line(store: PeopleStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.close()
    monkeypatch.setattr("hashlib.scrypt", lambda *_, **__: (_ for _ in ()).throw(ValueError("malloc failure")))
    assert "1 MiB of memory" in refused(store.path, PASS)


def test_who_can_be_asked_is_asked_only_of_a_sealed_store(tmp_path: Path) -> None:
    asked = []

    def ask() -> str:
        asked.append(1)
        return PASS

    PeopleStore(tmp_path / "plain.sqlite", passphrase=ask).close()
    PeopleStore(tmp_path / "plain.sqlite", passphrase=ask).close()
    assert (asked, is_sealed(tmp_path / "plain.sqlite")) == ([], False)
    PeopleStore(tmp_path / "sealed.sqlite", passphrase=PASS).close()
    PeopleStore(tmp_path / "sealed.sqlite", passphrase=ask).close()
    assert (asked, is_sealed(tmp_path / "sealed.sqlite")) == ([1], True)


def test_a_plain_store_is_not_taken_for_a_sealed_one(tmp_path: Path) -> None:
    path = tmp_path / "people.sqlite"
    PeopleStore(path).close()
    assert "people seal" in refused(path, PASS)


def test_the_passphrase_and_the_key_are_told_nobody(
    store: PeopleStore, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    key = store.key
    assert key is not None
    secrets = (PASS, key._raw.hex(), repr(key._raw))
    said = [repr(store), repr(vars(store)), repr(key), repr(vars(store.prefixes)), str(key)]
    with caplog.at_level(logging.DEBUG):
        for wrong in ("correct horse batterz", PASS.upper()):
            try:
                PeopleStore(store.path, passphrase=wrong)
            except PersonError:
                said.append(traceback.format_exc())
                assert wrong not in said[-1]
        PeopleStore(store.path, passphrase=PASS).close()
    said += [caplog.text, *capfd.readouterr()]
    assert not [secret for secret in secrets if secret in "\n".join(said)]
    assert capfd.readouterr().err == ""  # SQLCipher logs there by itself
    with pytest.raises(TypeError):
        pickle.dumps(key)


def test_no_two_stores_have_one_salt_or_key(tmp_path: Path) -> None:
    one, other = new_key(PASS), new_key(PASS)
    assert one.salt != other.salt
    assert one.sql != other.sql
    assert one.derived("a") != one.derived("b") != other.derived("b")


def test_a_guess_costs_what_it_should() -> None:
    assert COST >= 17  # 2**17 blocks of 1 KiB: OWASP's least for scrypt with r = 8, p = 1


def test_a_head_that_asks_for_more_than_there_is_is_refused_at_once(store: PeopleStore) -> None:
    store.close()
    raw = bytearray(store.path.read_bytes())
    for cost in (0, 9, 20, 63, 255):
        raw[len(MARK)] = cost
        store.path.write_bytes(raw)
        began = time.perf_counter()
        assert "does not know" in refused(store.path, PASS)
        assert time.perf_counter() - began < 5
    store.path.write_bytes(MARK)  # cut within its salt
    assert "does not know" in refused(store.path, PASS)


@pytest.mark.parametrize("package", ["sqlcipher3", "cryptography"])
def test_without_the_extra_it_says_what_to_install(
    store: PeopleStore, package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store.close()
    found = sealed.find_spec
    monkeypatch.setattr(sealed, "find_spec", lambda name: None if name == package else found(name))
    line = refused(store.path, lambda: pytest.fail("asked in vain"))
    assert package in line
    assert "pip install 'copersona[sealed]'" in line
    assert package in refused(tmp_path / "new.sqlite", PASS)
    PeopleStore(tmp_path / "plain.sqlite").close()


# -- states of prompts ------------------------------------------------------------------------------------------------


def test_a_state_comes_back_and_is_gone_with_the_person(store: PeopleStore) -> None:
    files = store.prefixes
    files.write("mallory", KEY, state(), MANY)
    files.write("ann", KEY, state(100), MANY)
    found = files.read("mallory", KEY)
    assert found is not None
    assert found.flags.writeable  # as the engine takes it
    assert found.tobytes() == state().tobytes()
    assert files.read("mallory", OTHER) is None
    assert files.read("ann", OTHER) is None
    assert files.kept("mallory") == KeptStates(1, 5_000 + files._form.extra)
    store.close()
    with PeopleStore(store.path, passphrase=PASS) as again:  # another session has the same names and key
        assert again.prefixes.read("mallory", KEY) is not None
        assert again.forget("mallory").compacted
        assert again.prefixes.kept("mallory") == KeptStates(0, 0)
        assert again.prefixes.read("ann", KEY) is not None


def test_a_state_is_written_after_its_store_was_closed_and_not_of_someone_forgotten(store: PeopleStore) -> None:
    files = store.prefixes
    store.forget("ann")
    store.close()
    files.write("mallory", KEY, state(), MANY)
    files.write("ann", KEY, state(), MANY)
    assert files.read("mallory", KEY) is not None
    assert files.read("ann", KEY) is None


@pytest.mark.parametrize("place", [0, 7, 8, 19, 20, 3_000, -1])
def test_a_state_with_a_changed_byte_is_removed(store: PeopleStore, place: int) -> None:
    files = store.prefixes
    files.write("ann", KEY, state(), MANY)
    (path,) = files.folder.rglob("*.state")
    raw = bytearray(path.read_bytes())
    raw[place] ^= 1
    path.write_bytes(raw)
    assert files.read("ann", KEY) is None
    assert not path.exists()


def test_a_state_under_another_name_or_cut_is_none(store: PeopleStore) -> None:
    files = store.prefixes
    files.write("ann", KEY, state(), MANY)
    (path,) = files.folder.rglob("*.state")
    os.link(path, path.with_name(f"{files._form.file(OTHER)}.state"))
    assert files.read("ann", OTHER) is None
    files.write("ann", KEY, state(), MANY)
    for size in (0, 10, 36, 37, 5_000):
        os.truncate(path, size)
        assert files.read("ann", KEY) is None
        files.write("ann", KEY, state(), MANY)


def test_names_of_states_tell_nobody_who_is_here(store: PeopleStore, tmp_path: Path) -> None:
    with PeopleStore(tmp_path / "other" / "people.sqlite", passphrase=PASS) as other:
        other.add([Interaction("ann", "one")])
        for one in (store, other):
            one.prefixes.write("ann", KEY, state(), MANY)
        names = [[path.name for path in one.prefixes.folder.rglob("*")] for one in (store, other)]
    assert not set(names[0]) & set(names[1])
    assert not [name for name in (*names[0], *names[1]) if KEY in name]


def test_a_state_of_another_store_is_none(store: PeopleStore) -> None:
    store.prefixes.write("ann", KEY, state(), MANY)
    (path,) = store.prefixes.folder.rglob("*.state")
    raw = np.frombuffer(path.read_bytes(), np.uint8)
    from copersona.runtime.people.state_form import SealedForm

    key = store.key
    assert key is not None
    assert SealedForm(key).read(KEY, raw) is not None
    assert SealedForm(key_of(store.path)).read(KEY, raw) is not None
    assert SealedForm(Key("another one", key.salt)).read(KEY, raw) is None


def test_closing_twice_is_no_error(store: PeopleStore) -> None:
    store.close()
    with contextlib.closing(store):
        store.close()
    with pytest.raises(PersonError, match="closed"):
        store.people()
