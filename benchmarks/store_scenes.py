"""Stores to be killed: two kinds of them with everything that a store may hold, and what undisturbed commands make of
them. The texts of each person bear a mark of theirs that nobody else's do.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from faults import Ended, run

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from copersona.runtime.bundle.verify import open_manifest
from copersona.runtime.cli.main import main as copersona
from copersona.runtime.people import sealed
from copersona.runtime.people.store import PeopleStore
from copersona.runtime.profile.facets import read_schema
from tests.random_models import qwen2
from tests.runtime.people.kinds import PASS
from tests.small_bundle import small_bundle

FACETS = Path(__file__).resolve().parent.parent / "assets" / "demo" / "bundle" / "facets.json"
KINDS, COMMANDS = ("plain", "sealed"), ("import", "ask", "generate", "forget", "correct")
PEOPLE, TEXTS, NEW, REQUESTS = ("ann", "bob", "cem", "mallory-secret"), 30, 80, 10
SHORT = ("--max-tokens", "4", "--threads", "1", "--request-tokens", "64")
DENSE = ("--recent", "2", "--matched", "2", "--matcher", "dense", *SHORT)

Rows = dict[str, tuple[tuple[str, ...], str | None, tuple[tuple[int, str], ...]]]
"""Of each person the texts, the pseudonym in the bundle's population, and number and words of their revisions."""


@dataclass(frozen=True)
class Scene:
    """One kind of store as it is before each trial, and what undisturbed commands make of it."""

    kind: str
    folder: Path
    bundle: Path
    population: str

    @property
    def home(self) -> Path:
        return self.folder / self.kind

    def work(self, home: Path, out: Path, command: str, *more: str) -> Callable[[], int]:
        """A command as a shell would call it, in the process that it is called in."""
        enrolled = ("--enrolled-as", self.folder / "names")
        words = {
            "import": ("people", "import", self.bundle, self.folder / "new.jsonl", *enrolled),
            "ask": ("ask", self.bundle, "Write about it.", "--person", "ann", *DENSE),
            "generate": ("generate", self.bundle, self.folder / "requests.jsonl", out, "--batch", "2", *SHORT),
            "forget": ("people", "forget", "mallory-secret"),
            "correct": ("people", "correct", self.bundle, "bob", read_schema(FACETS).names[0], "In words of bob's own"),
        }  # fmt: skip
        return called(self.kind, home, *words[command], *more)

    def rows(self, home: Path) -> Rows:
        """What stands in a store, read whole. Raises PersonError."""
        with self.opened(home) as store:
            store.check()
            peers = store.enrolled(self.population)
            return {
                row.name: (
                    tuple(one.output for one in store.history(row.name)),
                    peers.get(row.name),
                    tuple((one.number, one.words) for one in store.revisions(row.name)),
                )
                for row in store.people()
            }

    def opened(self, home: Path) -> PeopleStore:
        """The store of a home. Raises PersonError."""
        return PeopleStore(home / "people.sqlite", passphrase=PASS if self.kind == "sealed" else None)


def called(kind: str, home: Path, *words: object) -> Callable[[], int]:
    """A command with this home; the passphrase of a sealed store comes through a pipe."""

    def work() -> int:
        os.environ["COPERSONA_HOME"] = str(home)
        given = list(map(str, words))
        if kind == "sealed":
            reader, writer = os.pipe()
            os.write(writer, PASS.encode())
            os.close(writer)
            given = ["--passphrase-fd", str(reader), *given]
        try:
            copersona(given)
        except SystemExit as ended:
            sys.stdout.flush()
            return int(ended.code or 0)
        return 0

    return work


def make(folder: Path) -> dict[str, Scene]:
    """The bundle, what is imported and asked, and both stores with everything in them that a store may hold."""
    bundle = small_bundle(folder / "bundle", qwen2(folder / "model.gguf"), FACETS)
    lines = {"first": [(who, n) for who in PEOPLE for n in range(TEXTS)]}
    lines["new"] = [(("dee-secret", "ann")[n % 2], TEXTS + n) for n in range(NEW)]
    for name, rows in lines.items():
        body = [{"person": who, "output": text(who, n), "time": n, "item": f"i{n % 7}"} for who, n in rows]
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in body))
    (folder / "names").write_text(json.dumps({"dee-secret": "p3", "bob": "p1", "mallory-secret": "p2"}))
    asked = [{"id": f"r{n}", "person": ("ann", "bob", None)[n % 3], "input": f"Write {n}."} for n in range(REQUESTS)]
    (folder / "requests.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in asked))
    sealed.COST = 10  # a key is made in every trial
    scenes, id_ = {}, open_manifest(bundle).population_id
    for kind in KINDS:
        scene = scenes[kind] = Scene(kind, folder, bundle, id_)
        scene.opened(scene.home).close()
        log = folder / "log"
        enrolled = ("--enrolled-as", folder / "names")
        first = called(kind, scene.home, "people", "import", bundle, folder / "first.jsonl", *enrolled)
        must(run(first, log))
        for who in PEOPLE[1:]:
            must(run(called(kind, scene.home, "ask", bundle, "Write.", "--person", who, *DENSE), log))
    return scenes


def text(who: str, number: int) -> str:
    """What someone wrote: from a line to half a page."""
    return f"canary {who} says {number}: it was good and warm after two weeks. " * (1 + number % 9)


def must(ended: Ended) -> Ended:
    """A command that has to end well, for all else to mean anything."""
    if ended.code:
        sys.exit(f"an undisturbed command ended with {ended.code}: {ended.output}")
    return ended


@dataclass(frozen=True)
class Undisturbed:
    """How a command goes: its calls and seconds, what it prints, the store before and after, the answers."""

    ended: Ended
    before: Rows
    rows: Rows
    answers: bytes


def undisturbed(scene: Scene, command: str) -> Undisturbed:
    """The command on a copy of the store, with nothing in its way."""
    folder = scene.folder / "undisturbed"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(scene.home, folder / "home")
    ended = must(run(scene.work(folder / "home", folder / "a.jsonl", command), folder / "log"))
    answers = (folder / "a.jsonl").read_bytes() if command == "generate" else b""
    return Undisturbed(ended, scene.rows(scene.home), scene.rows(folder / "home"), answers)
