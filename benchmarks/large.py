"""A large store: many texts of one person or of several, and many people, through the command and the library.

    python benchmarks/large.py 100000 --bundle assets/demo/bundle

Each step runs in a process of its own, with a people store of its own in a temporary folder. Printed are its seconds
of CPU, its seconds by the clock, and the most memory that was resident.
"""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from copersona.runtime.history.interactions import Interaction
from copersona.runtime.people.store import PeopleStore

WORDS = (
    "the a and but so with without after before again never always quite rather very strings guitar amplifier pedal "
    "cable strap tuner drum bass tone neck bridge fret pick hum noise warm bright loud soft cheap dear broke works "
    "bought sent returned kept played tuned changed cleaned wired gig stage room neighbour friend daughter teacher "
    "week month year first second last old new small large café naïve übung"
).split()
TEXT = 300  # characters of a text, about


def line(draw: random.Random, number: int, people: int) -> str:
    """One line: a text of about TEXT characters that no other line has, with a time and now and then a rating."""
    said = [f"Note {number}:"]
    size = draw.randint(TEXT // 2, TEXT * 3 // 2)
    while sum(map(len, said)) + len(said) < size:
        said += draw.choices(WORDS, k=min(12, 1 + (size - sum(map(len, said))) // 6))
        said[-1] += draw.choice(".!?")
    fields = {"person": f"person {number % people:07d}", "output": " ".join(said), "time": 1.2e9 + number * 60}
    if number % 3 == 0:
        fields |= {"input": "Write a review of it, in a few sentences.", "rating": float(draw.randint(1, 5))}
    return json.dumps(fields, ensure_ascii=False)


def write_lines(path: Path, lines: int, people: int) -> None:
    """A file of `lines` texts by `people` people."""
    draw = random.Random(lines)
    with path.open("w", encoding="utf-8") as file:
        for number in range(lines):
            file.write(line(draw, number, people) + "\n")


def command(*words: object) -> None:
    """Run a command as at a terminal, in this process, with what it prints thrown away."""
    from copersona.runtime.cli.main import main

    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    main([str(word) for word in words], standalone_mode=False)


def open_person(bundle: Path, name: str) -> None:
    from copersona.runtime.session.session import open_bundle

    with open_bundle(bundle) as session, PeopleStore() as store:
        session.person(store, name)


def add_one() -> None:
    with PeopleStore() as store:
        store.add([Interaction("person 0000000", f"A new text at {time.time_ns()}.", time=2e9)])


def fill(lines: int, people: int) -> None:
    draw = random.Random(lines)
    rows = (json.loads(line(draw, number, people)) for number in range(lines))
    with PeopleStore() as store:
        store.add(Interaction(row["person"], row["output"], time=row["time"]) for row in rows)


def reach(words: tuple[str, ...]) -> None:
    """The step that these words name, done in this process."""
    name, *given = words
    if name == "open":
        open_person(Path(given[0]), given[1])
    elif name == "add":
        add_one()
    elif name == "fill":
        fill(*map(int, given))
    else:
        command(name, *given)


def measured(label: str, home: Path, *words: object) -> None:
    """One step in a process of its own, and its line."""
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    asked = [sys.executable, __file__, "--step", *map(str, words)]
    done = subprocess.run(asked, env={**os.environ, "COPERSONA_HOME": str(home)}, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{label}: {done.stderr.decode(errors='replace').strip()}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    told = json.loads(done.stderr.decode().splitlines()[-1])
    print(f"{label:<48}{cpu:>9.1f} s{time.monotonic() - start:>9.1f} s{told / 1e6:>8.0f} MB", flush=True)


def one_store(lines: int, people: int, bundle: Path, whole: bool) -> None:
    """All steps with a store of so many lines by so many people."""
    print(f"{lines:,} texts of {people:,} people{'':<16}  CPU      clock    resident", flush=True)
    with tempfile.TemporaryDirectory() as name:
        home, history = Path(name) / "home", Path(name) / "history.jsonl"
        write_lines(history, lines, people)
        measured("people import", home, "people", "import", bundle, history)
        print(f"  the file {history.stat().st_size / 1e6:.0f} MB, the store {size(home) / 1e6:.0f} MB", flush=True)
        if whole:
            measured("people import, all of it again", home, "people", "import", bundle, history)
        measured("people list", home, "people", "list")
        measured("people list --json", home, "people", "list", "--json")
        measured("opening a person the first time", home, "open", bundle, "person 0000000")
        measured("people show", home, "people", "show", bundle, "person 0000000")
        measured("adding a text", home, "add")
        measured("people forget", home, "people", "forget", f"person {people - 1:07d}")


def forget_alone(lines: int, people: int) -> None:
    """A store of so many lines that are kept as they are, and someone forgotten."""
    with tempfile.TemporaryDirectory() as name:
        measured("adding them through the library", Path(name), "fill", lines, people)
        print(f"  the store {size(Path(name)) / 1e6:.0f} MB", flush=True)
        measured("people forget", Path(name), "people", "forget", f"person {people - 1:07d}")


def size(home: Path) -> int:
    return sum(path.stat().st_size for path in home.rglob("*") if path.is_file())


@click.command()
@click.argument("lines", type=int, default=100_000)
@click.option("--bundle", type=click.Path(path_type=Path, exists=True), default=Path("assets/demo/bundle"))
@click.option("--people", type=int, multiple=True, help="People who share the lines, for each a store.")
@click.option("--again/--no-again", default=True, help="Import the whole file a second time as well.")
@click.option("--forget", is_flag=True, help="Forgetting alone.")
def main(lines: int, bundle: Path, people: tuple[int, ...], again: bool, forget: bool) -> None:
    """Measure stores of LINES texts: of one person, of 50, and of as many people as lines."""
    for count in people or (1, 50, lines):
        if forget:
            forget_alone(lines, count)
        else:
            one_store(lines, count, bundle, again)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--step"]:
        reach(tuple(sys.argv[2:]))
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, file=sys.stderr)
    else:
        main()
