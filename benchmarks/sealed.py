"""What a sealed people store costs: each thing on a sealed store against the same on a plain one, in turn, in one run.

    python benchmarks/sealed.py [--people 60] [--texts 500] [--state-mb 20] [--rounds 15] [--quick]

Needs the extra `sealed`. CPU time of one thread, but for what waits for the disk (wall time). The first reading of a
person has every page decrypted; the next ones find pages in SQLite's memory.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
from rows import HEAD, Row, compare, cpu_ms, wall_ms

from copersona.runtime.history.interactions import Interaction
from copersona.runtime.people.persona_cache import persona_key
from copersona.runtime.people.sealed import Key
from copersona.runtime.people.sealing import seal, unseal
from copersona.runtime.people.store import PeopleStore
from copersona.runtime.people.tables import KeptPersona, KeptSoft

PASS = "correct horse battery staple"
STATE = "a" * 64


@dataclass(frozen=True, slots=True)
class Asked:
    """How much is in the store, and how often each thing is measured."""

    people: int
    texts: int
    state: int  # bytes
    rounds: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=60)
    parser.add_argument("--texts", type=int, default=500)
    parser.add_argument("--state-mb", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    asked = Asked(given.people, given.texts, given.state_mb * 1_000_000, given.rounds)
    if given.quick:
        asked = Asked(4, 20, 100_000, 2)
    print(HEAD)
    with tempfile.TemporaryDirectory() as folder:
        for row in rows(Path(folder), asked):
            print(row.line(), flush=True)


def rows(folder: Path, asked: Asked) -> Iterator[Row]:
    """All rows; the bars are those of reading, and of nothing else."""
    plain, sealed = folder / "plain" / "people.sqlite", folder / "sealed" / "people.sqlite"
    fill(plain, asked)
    shutil.copytree(plain.parent, sealed.parent)
    seal(sealed, PASS)
    with PeopleStore(sealed, passphrase=PASS) as store:
        key = store.key
    assert key is not None
    yield ratio("size of the file, MB", sealed.stat().st_size / 1e6, plain.stat().st_size / 1e6)
    yield from openings(plain, sealed, key, asked)
    with PeopleStore(plain) as one, PeopleStore(sealed, passphrase=key) as other:
        yield from readings(one, other, asked)
        yield from writings(one, other, asked)
        yield from states(one, other, asked)
    yield from swaps(plain, sealed, asked)


def fill(path: Path, asked: Asked) -> None:
    """People with texts of some 300 characters, a persona and a soft prompt of the usual sizes."""
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghijklmnop", k=draw.randint(2, 8))) for _ in range(2_000)]
    soft = np.random.default_rng(0).random(20 * 576, np.float32).tobytes()
    text = lambda: " ".join(draw.choices(words, k=60))
    with PeopleStore(path) as store:
        for person in names(asked):
            made = ((text(), "A title?", float(n), f"i{n}") for n in range(asked.texts))
            store.add(Interaction(person, *fields, words=("a", "b")) for fields in made)
            store.keep_persona(person, "population", KeptPersona("key", "sha", "texts" * 200, soft))
            store.keep_soft_prompt(person, "personalizer", KeptSoft("key", "sha", soft))


def openings(plain: Path, sealed: Path, key: Key, asked: Asked) -> Iterator[Row]:
    few = max(3, asked.rounds // 3)
    opened = lambda path, by: lambda: cpu_ms(lambda: PeopleStore(path, passphrase=by).close())
    yield compare("open by a passphrase, CPU ms", few, opened(sealed, PASS), opened(plain, None), "")
    yield compare("open by its key, CPU ms", few, opened(sealed, key), opened(plain, None), "")
    derive = lambda: cpu_ms(lambda: Key(PASS, key.salt))
    yield compare("of it, scrypt, against opening a plain one, CPU ms", few, derive, opened(plain, None), "")


def readings(plain: PeopleStore, sealed: PeopleStore, asked: Asked) -> Iterator[Row]:
    """What a session reads of a person, every page from the file, and again from memory; the list of people."""
    persons = names(asked)[: max(2, asked.people // 3)]

    def first(store: PeopleStore) -> float:
        took = 0.0
        for person in persons:
            store._db.execute("PRAGMA shrink_memory")  # no page is left decrypted
            took += cpu_ms(lambda p=person: read(store, p))
        return took / len(persons)

    def again(store: PeopleStore) -> float:
        read(store, persons[0])
        return min(cpu_ms(lambda: read(store, persons[0])) for _ in range(3))

    what = f"read a person of {asked.texts:,} texts"
    for name, measure, must in (
        (f"{what}, first time, CPU ms", first, "ratio <= 1.2"),
        (f"{what}, again, CPU ms", again, "ratio <= 1.2"),
        ("list the people, CPU ms", lambda store: cpu_ms(store.people), ""),
    ):
        yield compare(name, asked.rounds, lambda m=measure: m(sealed), lambda m=measure: m(plain), must)


def read(store: PeopleStore, person: str) -> None:
    """What `session.person` asks the store."""
    history = store.history(person)
    peer = store.peer_of("population", person)
    persona_key("population", "", 3, peer, history)
    store.persona(person, "population")
    store.soft_prompt(person, "personalizer")


def writings(plain: PeopleStore, sealed: PeopleStore, asked: Asked) -> Iterator[Row]:
    number = count()
    text = lambda: [Interaction("p1", f"a text of its own, {next(number)} " * 10)]
    many = lambda: [Interaction("p2", f"a text of its own, {next(number)} " * 10) for _ in range(asked.texts)]
    for name, clock, made in (
        ("add a text, wall ms", wall_ms, text),
        ("add a text, CPU ms", cpu_ms, text),
        (f"add {asked.texts:,} texts, CPU ms", cpu_ms, many),
    ):
        measures: list[Callable[[], float]] = [
            lambda s=store, c=clock, m=made: timed(c, s, m()) for store in (sealed, plain)
        ]
        yield compare(name, asked.rounds, *measures, "")
    forgotten = lambda store: lambda: forget_one(store)
    yield compare("forget a person (rewrites the file), CPU ms", 3, forgotten(sealed), forgotten(plain), "")


def timed(clock: Callable[[Callable[[], object]], float], store: PeopleStore, texts: list[Interaction]) -> float:
    return clock(lambda: store.add(texts))


def forget_one(store: PeopleStore) -> float:
    store.add([Interaction("someone", "one"), Interaction("someone", "two")])
    return cpu_ms(lambda: store.forget("someone"))


def states(plain: PeopleStore, sealed: PeopleStore, asked: Asked) -> Iterator[Row]:
    state, limit = np.random.default_rng(0).integers(0, 256, asked.state, np.uint8), asked.state * 4
    write = lambda store: lambda: cpu_ms(lambda: store.prefixes.write("p1", STATE, state, limit))
    size = f"{asked.state / 1e6:.3g} MB"
    yield compare(f"write a state of {size}, CPU ms", asked.rounds, write(sealed), write(plain), "")
    fetch = lambda store: lambda: cpu_ms(lambda: store.prefixes.read("p1", STATE))
    yield compare(f"read a state of {size}, CPU ms", asked.rounds, fetch(sealed), fetch(plain), "ratio <= 1.2")


def swaps(plain: Path, sealed: Path, asked: Asked) -> Iterator[Row]:
    """Sealing and unsealing a whole store, against a copy of its file that is on the device."""

    def copied() -> float:
        target = plain.with_name("copy")

        def work() -> None:
            shutil.copyfile(plain, target)
            with target.open("rb+") as file:
                os.fsync(file.fileno())

        return wall_ms(work)

    def there() -> float:
        took = wall_ms(lambda: seal(plain, PASS))
        unseal(plain, PASS)
        return took

    def back() -> float:
        took = wall_ms(lambda: unseal(sealed, PASS))
        seal(sealed, PASS)
        return took

    few = max(1, asked.rounds // 5)
    yield compare("seal the store, against a copy of its file, wall ms", few, there, copied, "")
    yield compare("unseal the store, against a copy, wall ms", few, back, copied, "")


def names(asked: Asked) -> list[str]:
    return [f"p{number}" for number in range(1, asked.people + 1)]


def ratio(name: str, value: float, reference: float) -> Row:
    found = value / reference
    return Row(name, value, reference, found, found, found, "")


if __name__ == "__main__":
    main()
