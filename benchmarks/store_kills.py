"""Kill `people import`, `ask`, `generate`, `people forget` and `people correct`, or fail the disk under them; look at
what is left.

    python benchmarks/store_kills.py --out FOLDER --trials 500
    python benchmarks/store_kills.py --out FOLDER --trials 200 --command correct --fault "kill at a call"

Each trial runs one command on a store of four people, plain or sealed, and kills it (SIGKILL) before its k-th call that
changes a file or at a moment, or has the disk full from the k-th call on, or that call alone fail (EIO). Then the store
is opened again, and: what was acknowledged is there and nothing is there in part; the command, called again, ends as an
undisturbed one; whoever is forgotten is in no byte of any file, also of those that the process left; where a correction
is there, nothing is that was made of the person before it. Goes on from FOLDER/trials.jsonl. FOLDER on a file system in
memory is quicker: the kernel outlives these kills.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from faults import Ended, Fault, run
from store_scenes import COMMANDS, KINDS, Rows, Scene, Undisturbed, make, undisturbed

from copersona.runtime.common.errors import PersonError
from copersona.runtime.people.erasing import Forgotten
from tests.runtime.people.kinds import readable

FAULTS = ("kill at a call", "kill at a moment", "full", "fails")
WRONG = ("lost", "half", "left", "said")
FORGOTTEN = {"forget": "mallory-secret", "ask": "ann", "generate": "ann", "import": "dee-secret", "correct": "bob"}
OURS = ("people.sqlite", "people.sqlite-journal", "checked.json")
"""Files that may stand in a home when nothing is at work; beside them the folder of states."""


@dataclass(frozen=True)
class Trial:
    """One trial: the command of so many calls, what befell it, its exit code, its last words, what was wrong after."""

    store: str
    command: str
    fault: str
    of: int
    call: int
    moment: float
    code: int
    said: str
    wrong: Sequence[str]

    @property
    def end(self) -> str:
        return "died" if self.code < 0 else "failed" if self.code else "ended well"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0, help="other calls and moments")
    parser.add_argument("--command", choices=COMMANDS, nargs="+", default=COMMANDS, help="these alone")
    parser.add_argument("--fault", choices=FAULTS, nargs="+", default=FAULTS, help="these alone")
    asked = parser.parse_args()
    work = asked.out.absolute() / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    log = asked.out / "trials.jsonl"
    rows = [Trial(**json.loads(line)) for line in log.read_text().splitlines()] if log.exists() else []
    scenes = make(work)
    if any(len(left_of(scene, scene.home, "mallory-secret")) < 2 for scene in scenes.values()):
        sys.exit("the search does not find someone who is there")
    good = {(kind, command): undisturbed(scenes[kind], command) for kind in KINDS for command in asked.command}
    ways = [(kind, command, fault) for fault in asked.fault for command in asked.command for kind in KINDS]
    for number in range(len(rows), asked.trials):
        kind, command, fault = ways[number % len(ways)]
        row = one(scenes[kind], command, fault, good[kind, command], random.Random(f"{asked.seed}:{number}"))
        rows.append(row)
        with log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(row)) + "\n")
        if row.wrong:
            shutil.copytree(work / "trial", asked.out / f"wrong-{number}", dirs_exist_ok=True)
        print(f"{number + 1} of {asked.trials}: {kind}, {command}, {fault}: {row.wrong or 'good'}", flush=True)
    print(table(rows))
    sys.exit(1 if any(row.wrong for row in rows) else 0)


def one(scene: Scene, command: str, name: str, good: Undisturbed, draw: random.Random) -> Trial:
    """A trial with a fault of this name, at a call or a moment of the undisturbed command, each as likely."""
    whole = good.ended
    if name == "kill at a moment":
        fault = Fault("kill", moment=draw.uniform(0.0, whole.seconds))
    else:
        fault = Fault("kill" if name == "kill at a call" else name, call=draw.randint(1, whole.calls))
    ended, wrong = tried(scene, command, fault, good)
    said = "" if ended.code < 0 else ended.output[-300:]
    return Trial(scene.kind, command, name, whole.calls, fault.call, fault.moment, ended.code, said, wrong)


def tried(scene: Scene, command: str, fault: Fault, good: Undisturbed) -> tuple[Ended, list[str]]:
    """How the command ended under the fault, and everything that is not as it must be, in words."""
    folder = scene.folder / "trial"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(scene.home, folder / "home")
    home, answers, log = folder / "home", folder / "a.jsonl", folder / "log"
    ended = run(scene.work(home, answers, command), log, fault)
    wrong = said_wrongly(ended, fault)
    try:
        now = scene.rows(home)  # the next opening
        wrong += kept_wrongly(ended, now, good)
        if command == "forget" and "mallory-secret" not in now:
            wrong += left_of(scene, home, "mallory-secret")
        if command == "correct":
            wrong += corrected_wrongly(scene, home, now)
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
    """What a fault was answered with that is no line."""
    if "Traceback" in ended.output or ended.code == 70:
        return [f"said: a traceback: {ended.output[-1000:]}"]
    if ended.code < 0 and fault.kind != "kill":
        return [f"said: it died by signal {-ended.code}"]
    if ended.code > 0 and not ended.output.strip():
        return ["said: it failed without a word"]
    return []


def kept_wrongly(ended: Ended, now: Rows, good: Undisturbed) -> list[str]:
    """What was acknowledged and is not there, or is there in part: a store is as it was before or after."""
    if now == good.rows:
        return []
    if ended.code == 0:
        return ["lost: it ended well, and the store is not as it said"]
    differ = sorted(name for name in {*now, *good.before} if now.get(name) != good.before.get(name))
    return [f"half: {', '.join(differ)}"] if differ else []


def corrected_wrongly(scene: Scene, home: Path, now: Rows) -> list[str]:
    """What is left of what was made of someone before the correction that is there."""
    if not now["bob"][2]:
        return []
    with scene.opened(home) as store:
        made = store.persona("bob", scene.population) is not None or store.prefixes.kept("bob").states > 0
    return ["half: a correction is there, and what was made before it too"] * made


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
    return wrong + [f"left: {line}" for line in gone.left] + left_of(scene, home, who)


def left_of(scene: Scene, home: Path, who: str) -> list[str]:
    """What is left of someone: bytes in any file, states of prompts; and files that nothing of ours is to leave."""
    files = [path for path in sorted(home.rglob("*")) if path.is_file()]
    traces = (f"canary {who}".encode(), who.encode()) if who.endswith("secret") else (f"canary {who}".encode(),)
    wrong = [f"left: {path.name} holds {who}" for path in files if any(trace in readable(path) for trace in traces)]
    with scene.opened(home) as store:
        wrong += ["left: states of prompts"] * (store.prefixes.kept(who).states > 0)
    foreign = [path.name for path in files if path.parent == home and path.name not in OURS]
    # A kill in the middle of writing down which files were checked leaves that list, which holds nothing of anybody.
    return wrong + [f"left: {name}" for name in foreign if not name.startswith(".checked.json.")]


def table(rows: Sequence[Trial]) -> str:
    """For docs/measured.md: a line for each command and fault."""
    ends = ("died", "failed", "ended well")
    heads = ("command", "fault", "trials", *ends, *WRONG)
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for command in COMMANDS:
        for fault in FAULTS:
            if not (mine := [row for row in rows if (row.command, row.fault) == (command, fault)]):
                continue
            ended = Counter(row.end for row in mine)
            wrong = Counter(what for row in mine for what in {line.partition(":")[0] for line in row.wrong})
            cells = [command, fault, len(mine), *(ended[end] for end in ends), *(wrong[what] for what in WRONG)]
            lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
