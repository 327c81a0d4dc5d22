"""Kill `copersona export run` at random moments, run it again, and compare with an undisturbed run.

    python benchmarks/kills.py HISTORIES --base DIR --encoder DIR --out FOLDER --kills 50 [-- options of export run]

Each trial starts an export in an empty folder, kills it (SIGKILL, the whole process group) at a moment drawn evenly
from the undisturbed run's duration, looks at every file left behind under its final name, and runs the same command
to its end, having killed that one and the next one too in two trials of three. A trial passes when the bundle's files
are those of the undisturbed run, byte for byte (but for the time in the manifest), and no half-written file stood under
a final name. Goes on from FOLDER/kills.jsonl.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

VARIES = ("train/checkpoint.pt", "train/log.jsonl", "vectors.sqlite", "lock")
"""Files that change while a run goes on, or tell how long it took; their readers check them. `done/` and
`train/best/` are looked into below."""


def main() -> None:
    asked, options = arguments()
    asked.out.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "copersona.runtime", "export", "run", str(asked.histories), "--base",
               str(asked.base), "--encoder", str(asked.encoder), *options]  # fmt: skip
    whole, clock = asked.out / "undisturbed", asked.out / "seconds"
    if not clock.exists():
        begun = time.monotonic()
        finish(command, whole)
        clock.write_text(str(time.monotonic() - begun))
    seconds = float(clock.read_text())
    log = asked.out / "kills.jsonl"
    rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    while (kills := sum(len(row["killed after"]) for row in rows)) < asked.kills:
        row = trial(command, whole, asked.out / "trial", seconds, len(rows), asked.kills - kills, asked.seed)
        rows.append(row)
        with log.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(rows[-1]) + "\n")
        print(f"{kills + len(row['killed after'])} of {asked.kills} kills: {json.dumps(row)}", flush=True)
    failed = [row for row in rows if row["differ"] or row["half-written"]]
    print(f"{kills} kills in {len(rows)} trials, {len(failed)} ended otherwise than the undisturbed run")
    sys.exit(1 if failed else 0)


def arguments() -> tuple[argparse.Namespace, list[str]]:
    """Our own, and those for `export run` after `--`."""
    given = sys.argv[1:]
    cut = given.index("--") if "--" in given else len(given)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("histories", type=Path)
    for name in ("--base", "--encoder", "--out"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0, help="other moments to kill at")
    return parser.parse_args(given[:cut]), given[cut + 1 :]


def trial(
    command: Sequence[str], whole: Path, folder: Path, seconds: float, number: int, most: int, seed: int
) -> dict[str, object]:
    """One export, killed one to three times, then finished."""
    draw = random.Random(f"{seed}:{number}")
    shutil.rmtree(folder, ignore_errors=True)
    moments, half = [], []
    for _ in range(min(1 + number % 3, most)):
        moment = draw.uniform(0.5, seconds)
        if killed(command, folder, moment):
            half += half_written(folder, whole)
            moments.append(round(moment, 2))
    finish(command, folder)
    mine, theirs = digests(folder / "bundle"), digests(whole / "bundle")
    differ = sorted(name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name))
    if differ or half:
        shutil.copytree(folder, folder.with_name(f"failed-{number}"), dirs_exist_ok=True)
    return {"killed after": moments, "differ": differ, "half-written": half}


def killed(command: Sequence[str], folder: Path, moment: float) -> bool:
    """Start, wait, kill; whether it was still at work."""
    process = subprocess.Popen([*command, "--out", str(folder)], start_new_session=True,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        process.wait(moment)
        return False
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True


def finish(command: Sequence[str], folder: Path) -> None:
    """Run to the end; what it says is shown when it fails."""
    done = subprocess.run([*command, "--out", str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")


def half_written(folder: Path, whole: Path) -> list[str]:
    """Files under their final name that are not whole: neither those of the undisturbed run nor what may vary."""
    bad = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        if ".part" in name or ".old" in name or ".scratch" in name or "-journal" in name or name in VARIES:
            continue
        if name.startswith("done/"):
            good = "key" in json.loads(path.read_text(encoding="utf-8"))
        elif name.startswith("train/best/"):  # of an earlier step, but complete
            best = whole / "train" / "best"
            good = {p.name for p in (folder / "train" / "best").rglob("*")} == {p.name for p in best.rglob("*")}
        else:
            good = digest(path) == digest(whole / name)
        if not good:
            bad.append(name)
    return bad


def digests(folder: Path) -> dict[str, str]:
    """Of each file of a bundle; of the manifest all but the time of its making and its own hash."""
    found = {path.name: digest(path) for path in sorted(folder.iterdir())}
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    settled = {name: value for name, value in manifest.items() if name not in ("created", "sha256")}
    return {**found, "manifest.json": hashlib.sha256(json.dumps(settled).encode()).hexdigest()}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "missing"


if __name__ == "__main__":
    main()
