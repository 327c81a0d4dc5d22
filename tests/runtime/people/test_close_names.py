"""Names that are close to one that nobody has: found in bounded time, however many people there are."""

from __future__ import annotations

import difflib
import random
import time
from pathlib import Path

import pytest

from copersona.runtime.common.errors import UnknownPerson
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.people.close_names import close_names
from copersona.runtime.people.store import PeopleStore

WORDS = "ana bernd carla dimitri eun farida gustav hana ines jun katya lena mario nadia olga pavel".split()


def names(count: int, *, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    return [f"{rng.choice(WORDS)} {rng.choice(WORDS)} {n}" for n in range(count)]


def filled(path: Path, people: list[str]) -> PeopleStore:
    """A store of people, the rows written directly: a million by `add` would take minutes."""
    store = PeopleStore(path)
    store.add([Interaction("ana", "good strings")])
    with store._transaction():
        store._db.executemany("INSERT OR IGNORE INTO people (name) VALUES (?)", [(name,) for name in people])
    return store


@pytest.mark.parametrize("asked", ["lena ana 7", "gustv hana", "Pavel pavel 13", "zzz", "anna", "olga"])
def test_of_few_people_they_are_what_difflib_finds(asked: str) -> None:
    people = names(300)
    assert close_names(asked, people) == difflib.get_close_matches(asked, people, n=5)


def test_of_a_million_people_they_are_found_at_once(tmp_path: Path) -> None:
    people = names(1_000_000)
    with filled(tmp_path / "people.sqlite", people) as store:
        for asked, expected in ((people[777] + "x", people[777]), (people[999_999].title(), people[999_999])):
            start = time.process_time()
            with pytest.raises(UnknownPerson, match="did you mean") as caught:
                store.history(asked)
            assert time.process_time() - start < 3
            assert expected in str(caught.value)
        with pytest.raises(UnknownPerson, match="holds 1,000,001 people"):
            store.history("\u4e00\u4e8c\u4e09\u56db")


def test_long_names_take_no_longer(tmp_path: Path) -> None:
    rng = random.Random(1)
    people = ["".join(rng.choice("ab") for _ in range(190)) + f"{n:06d}" for n in range(30_000)]
    with filled(tmp_path / "people.sqlite", people) as store:
        start = time.process_time()
        with pytest.raises(UnknownPerson, match="did you mean"):
            store.history(people[5][:-1])
        assert time.process_time() - start < 5


def test_the_store_says_who_it_knows(tmp_path: Path) -> None:
    with filled(tmp_path / "people.sqlite", ["José"]) as store:
        assert store.knows("Jose\u0301 ")
        assert not store.knows("jose")
