"""A kept persona is the one that would be made, until something changes that it is made from."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from copersona.runtime.bundle.manifest import Shapes
from copersona.runtime.common.errors import PersonError
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.people import opening, persona_cache
from copersona.runtime.people.known import Known
from copersona.runtime.people.persona_cache import PersonaMemory, persona_key, read_soft, write_soft
from copersona.runtime.people.store import PeopleStore
from copersona.runtime.people.tables import Written
from copersona.runtime.session.session import Session, open_bundle

TEXTS = (
    "I love these strings! They are bright, and they last. Thank you so much!",
    "Nice pick! I would buy it again, it fits my hand. Thank you!",
    "It hums. The amplifier is 20 W, 4 kg... returned.",
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PeopleStore]:
    with PeopleStore(tmp_path / "people.sqlite") as store:
        store.add(Interaction("ana", text, time=float(n)) for n, text in enumerate(TEXTS))
        yield store


def opened(bundle: Path, **options: Any) -> Session:
    return open_bundle(bundle, threads=1, **options)


def made(bundle: Path, store: PeopleStore, **options: Any) -> bool:
    """Whether a new session makes ana's persona anew."""
    with opened(bundle, **options) as session:
        session.person(store, "ana")
        return "encoder" in vars(session.bundle)


def assert_equal(one: Any, other: Any) -> None:
    if isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    elif isinstance(one, tuple):
        assert type(one) is type(other)
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_equal(a, b)
    elif hasattr(one, "__dataclass_fields__"):
        for field in fields(one):
            assert_equal(getattr(one, field.name), getattr(other, field.name))
    else:
        assert one == other


def test_a_kept_persona_is_the_one_that_was_made(tiny_bundle: Path, store: PeopleStore) -> None:
    with opened(tiny_bundle) as session:
        first = session.person(store, "ana")
        assert session.person(store, "ana") is first
    with opened(tiny_bundle) as session:
        second = session.person(store, "ana")
        assert "encoder" not in vars(session.bundle)
        assert "personalizer" not in vars(session.bundle)
        fresh = session.know(store.history("ana"))
    for known in (first, second):
        assert_equal(known.persona, fresh.persona)
        assert_equal(known.soft, fresh.soft)
        assert known.history == fresh.history
        assert known.name == "ana"
    assert fresh.persona.inputs is not None
    assert fresh.persona.placement.borrowed


def test_what_someone_writes_makes_another_persona(tiny_bundle: Path, store: PeopleStore) -> None:
    with opened(tiny_bundle) as session:
        first = session.person(store, "ana")
        store.add([Interaction("ana", "One more! I love it, thank you!", time=9.0)])
        assert session.person(store, "ana") is not first
        assert len(session.person(store, "ana").history) == 4
        store.forget("ana")
        with pytest.raises(PersonError):
            session.person(store, "ana")
        store.add(Interaction("ana", f"{text} Edited.", time=float(n)) for n, text in enumerate(TEXTS))
        assert session.person(store, "ana").history[0].output.endswith("Edited.")


def test_the_key_holds_what_a_persona_is_made_from(monkeypatch: pytest.MonkeyPatch) -> None:
    wrote = Written(2, "0")
    keys = [
        persona_key("bundle", "", 3, None, wrote),
        persona_key("another", "", 3, None, wrote),
        persona_key("bundle", "a model", 3, None, wrote),
        persona_key("bundle", "", 2, None, wrote),
        persona_key("bundle", "", 3, "p17", wrote),
        persona_key("bundle", "", 3, None, Written(1, "0")),
        persona_key("bundle", "", 3, None, Written(2, "1")),
    ]
    for name in ("VERSION", "PROFILER_VERSION"):
        with monkeypatch.context() as patched:
            patched.setattr(persona_cache, name, 77)
            keys.append(persona_key("bundle", "", 3, None, wrote))
    assert len(set(keys)) == len(keys)


def test_what_is_written_is_known_by_its_texts_and_not_by_when_they_came(tmp_path: Path) -> None:
    rows = [Interaction("ana", text, time=float(n)) for n, text in enumerate(TEXTS)]
    written = []
    for number, added in enumerate((rows, rows[::-1], rows[:-1], [*rows[:-1], Interaction("ana", "Other.", time=2.0)])):
        with PeopleStore(tmp_path / str(number) / "people.sqlite") as store:
            store.add([*added, Interaction("ben", "Someone else.")])
            written.append(store.written("ana"))
            assert store.add(added).new == 0
            assert store.written("ana") == written[-1]
            assert store.written("nobody").interactions == 0
    assert written[0] == written[1]
    assert len(set(written)) == 3
    assert [one.interactions for one in written] == [len(rows), len(rows), len(rows) - 1, len(rows)]


def test_what_comes_while_someone_is_opened_is_part_of_them_the_next_time(
    tiny_bundle: Path, store: PeopleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = PeopleStore.history

    def meanwhile(one: PeopleStore, name: str, *more: Any) -> Any:
        found = read(one, name, *more)
        one.add([Interaction("ana", "Meanwhile: I love it, thank you!", time=9.0)])
        return found

    with opened(tiny_bundle) as session, monkeypatch.context() as patched:
        patched.setattr(PeopleStore, "history", meanwhile)
        assert len(session.person(store, "ana").history) == len(TEXTS)
    with opened(tiny_bundle) as session:
        known, fresh = session.person(store, "ana"), session.know(store.history("ana"))
        assert len(known.history) == len(TEXTS) + 1
        np.testing.assert_array_equal(known.persona.profile.z, fresh.persona.profile.z)


def test_of_a_long_history_the_end_is_read_and_all_of_it_counts(
    tiny_bundle: Path, store: PeopleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tiny_bundle) as session:
        whole = session.person(store, "ana")
        assert (len(whole.history), whole.earlier) == (len(TEXTS), 0)
    monkeypatch.setattr(opening, "READ", 2)
    with opened(tiny_bundle) as session:
        known = session.person(store, "ana")
        assert known.history == whole.history[-2:]
        assert known.earlier == len(TEXTS) - 2
        store.add([Interaction("ana", "Long ago.", time=-9.0)])  # behind what is read, and no less a part of them
        assert session.person(store, "ana") is not known
        assert session.person(store, "ana").earlier == len(TEXTS) - 1


def test_a_new_profiler_another_context_and_another_population_make_it_anew(
    tiny_bundle: Path, store: PeopleStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert made(tiny_bundle, store)
    assert not made(tiny_bundle, store)
    assert not made(tiny_bundle, store, context={"recent": 1})
    assert made(tiny_bundle, store, context={"peers": 1})
    assert made(tiny_bundle, store)
    monkeypatch.setattr(persona_cache, "PROFILER_VERSION", 77)
    assert made(tiny_bundle, store)
    from copersona.runtime.bundle.verify import open_manifest, write_manifest

    other = tmp_path / "other"
    shutil.copytree(tiny_bundle, other)
    manifest = open_manifest(other)
    roles = {row.path: row.role for row in manifest.files}
    (other / "README.md").write_text("# Another card\n")
    write_manifest(other, roles, manifest.shapes, manifest.settings)
    assert not made(other, store)  # of the same population
    facets = manifest.path(other, "facets")
    facets.write_text(facets.read_text() + "\n")
    write_manifest(other, roles, manifest.shapes, manifest.settings)
    assert made(other, store)
    assert not made(other, store)
    assert not made(tiny_bundle, store)  # one does not drive out the other


@pytest.mark.parametrize(
    "change",
    [
        "texts = replace(texts, 'a', 'b')",
        "arrays = substr(arrays, 1, 500)",
        "arrays = x'00'",
        "sha256 = 'x'",
        "texts = '{}'",
    ],
)
def test_a_row_that_was_changed_is_not_used(tiny_bundle: Path, store: PeopleStore, change: str) -> None:
    assert made(tiny_bundle, store)
    store._db.execute(f"UPDATE personas SET {change}")
    assert made(tiny_bundle, store)
    assert not made(tiny_bundle, store)


@pytest.mark.parametrize(
    "change",
    ["soft = zeroblob(length(soft))", "soft = substr(soft, 1, 8)", "soft = x''", "sha256 = 'x'", "key = 'x'"],
)
def test_a_soft_prompt_that_was_changed_is_not_used(tiny_bundle: Path, store: PeopleStore, change: str) -> None:
    with opened(tiny_bundle) as session:
        soft = session.person(store, "ana").soft
    store._db.execute(f"UPDATE soft_prompts SET {change}")
    for again in (True, False):
        with opened(tiny_bundle) as session:
            np.testing.assert_array_equal(session.person(store, "ana").soft, soft)
            assert ("personalizer" in vars(session.bundle)) == again


def test_a_soft_prompt_of_another_persona_or_size_is_not_read() -> None:
    shapes = Shapes(facets=2, peers=7, width=8, neighbors=3, soft_tokens=2, hidden=3)
    soft = np.arange(6, dtype=np.float32).reshape(2, 3)
    kept = write_soft("key", soft)
    np.testing.assert_array_equal(read_soft(kept, "key", shapes), soft)
    assert read_soft(kept, "other", shapes) is None
    assert read_soft(write_soft("key", soft[:1]), "key", shapes) is None
    assert read_soft(kept._replace(key="other"), "other", shapes) is None  # its hash is of its key too


def test_it_goes_with_the_person(tiny_bundle: Path, store: PeopleStore) -> None:
    assert made(tiny_bundle, store)
    counts = "SELECT (SELECT count(*) FROM personas), (SELECT count(*) FROM soft_prompts)"
    assert store._db.execute(counts).fetchone() == (1, 1)
    store.forget("ana")
    assert store._db.execute(counts).fetchone() == (0, 0)
    content = store.path.read_bytes()
    assert b"strings!" not in content
    assert b"profile.vectors" not in content


def test_memory_is_bounded() -> None:
    memory = PersonaMemory(2)
    known = {name: Known((), None, None, name) for name in "abc"}  # type: ignore[arg-type]
    for name in "ab":
        memory.put(name, "key", known[name])
    assert memory.get("a", "key", ()) is known["a"]
    memory.put("c", "key", known["c"])
    assert [name for name in "abc" if memory.get(name, "key", ())] == ["a", "c"]
    assert memory.get("a", "other", ()) is None
    assert memory.get("a", "key", (Interaction("a", "x"),)) is None
    memory.forget("a")
    assert memory.get("a", "key", ()) is None
