"""What the near-twin brake costs: the first token of a known person, and a persona made of a profile, on against off.

    python benchmarks/braked.py BUNDLE [--brake 8] [--rounds 15]

CPU milliseconds, in turn in one run; the person is an invented one of the package.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path

from rows import HEAD, Row, compare, cpu_ms

from copersona.runtime.engine.sampling import Sampling
from copersona.runtime.history.importers import read_history
from copersona.runtime.people.store import PeopleStore
from copersona.runtime.persona.persona import PersonaSettings, make_persona
from copersona.runtime.session.session import Session, open_bundle

PERSON, REQUEST = "invented-001", "Write a review of the strings that you bought last."
FIRST = Sampling(max_tokens=1)
MOST = 20  # personas made at once, since one takes little


def rows(bundle: str, brake: float, rounds: int) -> Iterator[Row]:
    with ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory())
        store = stack.enter_context(PeopleStore(Path(home) / "people.sqlite"))
        store.add(read_history(str(files("copersona.assets").joinpath("invented", "people.jsonl"))))
        on, off = (stack.enter_context(open_bundle(bundle, context={"brake": b})) for b in (brake, 0.0))

        def first(session: Session) -> float:
            return cpu_ms(lambda: session.answer(REQUEST, session.person(store, PERSON), FIRST).finish())

        yield compare("first token of a known person, CPU ms: braked, against off", rounds, lambda: first(on),
                      lambda: first(off), "ratio <= 1.05")  # fmt: skip
        profile, bundle_ = off.person(store, PERSON).persona.profile, off.bundle

        def made(settings: PersonaSettings) -> float:
            return cpu_ms(lambda: [make_persona(profile, bundle_.centring, off.graph, settings) for _ in range(MOST)])

        braked = PersonaSettings(brake=brake)
        yield compare(f"{MOST} personas of a profile, CPU ms: braked, against off", rounds, lambda: made(braked),
                      lambda: made(PersonaSettings()), "")  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("--brake", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    print(HEAD)
    for found in rows(given.bundle, given.brake, given.rounds):
        print(found.line())
