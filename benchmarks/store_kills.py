"""Kill `people import`, `ask`, `generate` and `people forget`, or fail the disk under them; look at what is left.

    python benchmarks/store_kills.py --out FOLDER --trials 500

Each trial runs one command on a store of four people, plain or sealed, and kills it (SIGKILL) before its k-th call that
changes a file or at a moment, or has the disk full from the k-th call on, or that call alone fail (EIO). Then the store
is opened again, and: what was acknowledged is there and nothing is there in part; the command, called again, ends as an
undisturbed one; whoever is forgotten is in no byte of any file, also of those that the process left. Goes on from
FOLDER/trials.jsonl. FOLDER on a file system in memory is quicker: the kernel outlives these kills.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from faults import Ended, Fault, run

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from copersona.runtime.bundle.verify import open_manifest
from copersona.runtime.cli.main import main as copersona
from copersona.runtime.common.errors import PersonError
from copersona.runtime.people import sealed
from copersona.runtime.people.store import Forgotten, PeopleStore
from tests.random_models import qwen2
from tests.runtime.people.kinds import PASS, readable
from tests.small_bundle import small_bundle

FACETS = Path(__file__).resolve().parent.parent / "assets" / "demo" / "bundle" / "facets.json"
KINDS, COMMANDS = ("plain", "sealed"), ("import", "ask", "generate", "forget")
FAULTS = ("kill at a call", "kill at a moment", "full", "fails")
PEOPLE, TEXTS, NEW, REQUESTS = ("ann", "bob", "cem", "mallory-secret"), 30, 80, 10
FORGOTTEN = {"forget": "mallory-secret", "ask": "ann", "generate": "ann", "import": "dee-secret"}
SHORT = ("--max-tokens", "4", "--threads", "1", "--request-tokens", "64")
DENSE = ("--recent", "2", "--matched", "2", "--matcher", "dense", *SHORT)
OURS = ("people.sqlite", "people.sqlite-journal", "checked.json")
"""Files that may stand in a home when nothing is at work; beside them the folder of states."""

Rows = dict[str, tuple[tuple[str, ...], str | None]]
"""Of each person the texts and the pseudonym in the bundle's population."""


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
        }  # fmt: skip
        return called(self.kind, home, *words[command], *more)

    def rows(self, home: Path) -> Rows:
        """What stands in a store, read whole. Raises PersonError."""
        with self.opened(home) as store:
            store.check()
            peers = store.enrolled(self.population)
            return {
                row.name: (tuple(one.output for one in store.history(row.name)), peers.get(row.name))
                for row in store.people()
            }

    def opened(self, home: Path) -> PeopleStore:
        return PeopleStore(home / "people.sqlite", passphrase=PASS if self.kind == "sealed" else None)


def called(kind: str, home: Path, *words: object) -> Callable[[], int]:
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
    return f"canary {who} says {number}: it was good and warm after two weeks. " * (1 + number % 9)


def must(ended: Ended) -> Ended:
    if ended.code:
        sys.exit(f"an undisturbed command ended with {ended.code}: {ended.output}")
    return ended


@dataclass(frozen=True)
class Undisturbed:
    """How a command goes: its calls and seconds, what it prints, the store and the answers that it leaves."""

    ended: Ended
    rows: Rows
    answers: bytes


def undisturbed(scene: Scene, command: str) -> Undisturbed:
    folder = scene.folder / "undisturbed"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(scene.home, folder / "home")
    ended = must(run(scene.work(folder / "home", folder / "a.jsonl", command), folder / "log"))
    answers = (folder / "a.jsonl").read_bytes() if command == "generate" else b""
    return Undisturbed(ended, scene.rows(folder / "home"), answers)


# -- one trial --------------------------------------------------------------------------------------------------------


def trial(scene: Scene, command: str, fault: Fault, good: Undisturbed, before: Rows) -> tuple[Ended, list[str]]:
    """How the command ended under the fault, and everything that is not as it must be, in words."""
    folder = scene.folder / "trial"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(scene.home, folder / "home")
    home, answers, log = folder / "home", folder / "a.jsonl", folder / "log"
    ended = run(scene.work(home, answers, command), log, fault)
    wrong = said_wrongly(ended, fault)
    try:
        now = scene.rows(home)  # the next opening
        wrong += kept_wrongly(command, ended, before, now, good)
        if command == "forget" and "mallory-secret" not in now:
            wrong += left_of(home, "mallory-secret")
        wrong += cut_answers(answers, good)
        again = run(scene.work(home, answers, command, *(("--resume",) if command == "generate" else ())), log)
        if again.code and not (command == "forget" and "mallory-secret" not in now):
            wrong.append(f"half: called again it ends with {again.code}: {again.output[-300:]}")
        if scene.rows(home) != good.rows:
            wrong.append("half: called again, the store is not that of an undisturbed call")
        if command == "generate" and answers.read_bytes() != good.answers:
            wrong.append("half: gone on with, the answers are not those of an undisturbed call")
        if command == "ask" and again.output != good.ended.output:
            wrong.append("half: asked again, the answer is another")
        wrong += forgotten_wrongly(scene, home, FORGOTTEN[command], answers)
    except PersonError as error:
        wrong.append(f"lost: the store cannot be opened: {error}")
    return ended, wrong


def said_wrongly(ended: Ended, fault: Fault) -> list[str]:
    if "Traceback" in ended.output or ended.code == 70:
        return [f"said: a traceback: {ended.output[-1000:]}"]
    if ended.code < 0 and fault.kind != "kill":
        return [f"said: it died by signal {-ended.code}"]
    if ended.code > 0 and not ended.output.strip():
        return ["said: it failed without a word"]
    return []


def kept_wrongly(command: str, ended: Ended, before: Rows, now: Rows, good: Undisturbed) -> list[str]:
    """What was acknowledged and is not there, or is there in part: a store is as it was before or after."""
    if now == good.rows:
        return []
    if ended.code == 0:
        return ["lost: it ended well, and the store is not as it said"]
    return [] if now == before else [f"half: {[name for name in {*now, *before} if now.get(name) != before.get(name)]}"]


def cut_answers(answers: Path, good: Undisturbed) -> list[str]:
    """Whole lines that are no answers of an undisturbed run, or stand there twice."""
    if not answers.exists():
        return []
    lines = [line for line in answers.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    wrong = ["half: a line of the answers is none"] * (not {*lines} <= {*good.answers.splitlines(keepends=True)})
    return wrong + ["half: an answer stands there twice"] * (len({*lines}) != len(lines))


def forgotten_wrongly(scene: Scene, home: Path, who: str, answers: Path) -> list[str]:
    """Have someone forgotten by the command, after whatever went before."""
    with scene.opened(home) as store:
        gone = store.forget(who) if store.knows(who) else Forgotten(0, True)
    wrong = [] if gone.compacted else [f"left: forgetting is pending: {gone.pending}"]
    if answers.exists() and answers not in gone.outputs:
        wrong.append("said: the file of answers is not named")
    return wrong + [f"left: {line}" for line in gone.left] + left_of(home, who)


def left_of(home: Path, who: str) -> list[str]:
    """Bytes of someone in any file of a home, names of files included, and files that nothing of ours is to leave."""
    files = [path for path in sorted(home.rglob("*")) if path.is_file()]
    traces = (f"canary {who}".encode(), who.encode()) if who.endswith("secret") else (f"canary {who}".encode(),)
    wrong = [f"left: {path.name} holds {who}" for path in files if any(trace in readable(path) for trace in traces)]
    return wrong + [f"left: {path.name}" for path in files if path.parent == home and path.name not in OURS]


# -- all of them ------------------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0, help="other calls and moments")
    asked = parser.parse_args()
    work = asked.out.absolute() / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    log = asked.out / "trials.jsonl"
    rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    scenes = make(work)
    ways = [(kind, command, fault) for fault in FAULTS for command in COMMANDS for kind in KINDS]
    good = {(kind, command): undisturbed(scenes[kind], command) for kind in KINDS for command in COMMANDS}
    before = {kind: scene.rows(scene.home) for kind, scene in scenes.items()}
    for number in range(len(rows), asked.trials):
        kind, command, name = ways[number % len(ways)]
        whole = good[kind, command]
        fault = drawn(name, whole.ended, random.Random(f"{asked.seed}:{number}"))
        ended, wrong = trial(scenes[kind], command, fault, whole, before[kind])
        row = {"store": kind, "command": command, "fault": name, "of": whole.ended.calls, **asdict(fault)}
        rows.append({**row, "code": ended.code, "said": "" if ended.code < 0 else ended.output[-300:], "wrong": wrong})
        with log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(rows[-1]) + "\n")
        if wrong:
            shutil.copytree(work / "trial", asked.out / f"wrong-{number}", dirs_exist_ok=True)
        print(f"{number + 1} of {asked.trials}: {kind}, {command}, {name}: {wrong or 'good'}", flush=True)
    print(table(rows))
    sys.exit(1 if any(row["wrong"] for row in rows) else 0)


def drawn(name: str, whole: Ended, draw: random.Random) -> Fault:
    """A fault of this name at a call or a moment of the undisturbed command, each as likely."""
    if name == "kill at a moment":
        return Fault("kill", moment=draw.uniform(0.0, whole.seconds))
    return Fault("kill" if name == "kill at a call" else name, call=draw.randint(1, whole.calls))


def table(rows: list[dict[str, object]]) -> str:
    """For docs/measured.md: a line for each command and fault."""
    heads = (
        "command",
        "fault",
        "trials",
        "died",
        "failed in a line",
        "ended well",
        "lost",
        "half",
        "bytes left",
        "said",
    )
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for command in COMMANDS:
        for fault in FAULTS:
            mine = [row for row in rows if (row["command"], row["fault"]) == (command, fault)]
            ends = Counter("died" if int(str(row["code"])) < 0 else bool(row["code"]) for row in mine)
            kinds = Counter(kind for row in mine for kind in {str(w).partition(":")[0] for w in row["wrong"]})  # type: ignore[attr-defined]
            found = [kinds[kind] for kind in ("lost", "half", "left", "said")]
            cells = [command, fault, len(mine), ends["died"], ends[True], ends[False], *found]
            lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
