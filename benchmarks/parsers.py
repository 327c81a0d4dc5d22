"""Many spoiled files for each parser of what comes in: each is read, or refused by one line of ours.

    python benchmarks/parsers.py --executions 1000000 [--only gguf npy] [--state DIR] [--seed 0]
    python benchmarks/parsers.py --only npy --at 4711        # one again, with its trace

The files are tiny and made in memory's file system; parsers take turns, each in a process of its own that ends with a
block of files, or over 30 seconds of its own time for one file, or 1 GiB more than it began with. --state keeps counts
and findings, so that a run that was stopped goes on. A finding is anything but a CoPersonaError of one line. Prints a
line for each finding and each parser; ends with 1 where there is a finding.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import os
import random
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from parser_cases import PARSERS, Parser

from copersona.runtime.common.errors import CoPersonaError

BLOCK = 20_000  # files that one process reads
SECONDS = 30  # of its own time for one file
MEMORY = 1 << 30  # bytes of address space beyond those it begins with


@dataclass(slots=True)
class Counts:
    """Of one parser: files that were read so far, how they ended, seconds of processor time, and what was found."""

    executions: int = 0
    accepted: int = 0
    refused: int = 0
    seconds: float = 0.0
    ways: list[str] = field(default_factory=list)
    findings: dict[str, int] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)

    def add(self, found: str, at: int) -> None:
        self.findings[found] = self.findings.get(found, 0) + 1
        self.first.setdefault(found, at)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--executions", type=int, default=20_000)
    parser.add_argument("--only", nargs="+", choices=tuple(PARSERS), default=tuple(PARSERS))
    parser.add_argument("--state", type=Path, help="a folder for counts and findings; a run goes on from it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--at", type=int, help="this one file alone, with its trace")
    asked = parser.parse_args()
    if asked.at is not None:
        for name in asked.only:
            print(f"{name} {asked.at}: {read_one(PARSERS[name], asked.seed, asked.at, trace=True)}")
        return
    counts = {name: _kept(asked.state, name) for name in asked.only}
    while left := [name for name in asked.only if counts[name].executions < asked.executions]:
        for name in left:
            one = counts[name]
            block(name, one, asked.seed, min(BLOCK, asked.executions - one.executions))
            _keep(asked.state, name, one)
            print(f"{name}: {_line(one)}", flush=True)
    print("\n".join(f"{name}: {_line(one)}" for name, one in counts.items()))
    for name, one in counts.items():
        for found, times in one.findings.items():
            print(f"{name} --at {one.first[found]}: {times} times {found}")
    sys.exit(any(one.findings for one in counts.values()))


def _line(one: Counts) -> str:
    each = 1e6 * one.seconds / max(one.executions, 1)
    return (
        f"{one.executions:,} read, {one.accepted:,} accepted, {one.refused:,} refused in {len(one.ways):,} ways, "
        f"{sum(one.findings.values())} findings, {each:.0f} us each"
    )


def _kept(state: Path | None, name: str) -> Counts:
    path = None if state is None else state / f"{name}.json"
    return Counts(**json.loads(path.read_text())) if path is not None and path.exists() else Counts()


def _keep(state: Path | None, name: str, one: Counts) -> None:
    if state is not None:
        state.mkdir(parents=True, exist_ok=True)
        path = state / f"{name}.json"
        path.with_suffix(".new").write_text(json.dumps(asdict(one), indent=1))
        path.with_suffix(".new").replace(path)


def block(name: str, counts: Counts, seed: int, size: int) -> None:
    """Read `size` more files in a process of its own; where it ends early, the file that it was at is a finding."""
    context = mp.get_context("fork")
    done, (receive, send) = context.Array("Q", 3, lock=False), context.Pipe(duplex=False)
    start = counts.executions
    child = context.Process(target=_block, args=(name, seed, start, size, done, send))
    child.start()
    send.close()
    try:
        told: dict[str, Any] | None = receive.recv()
    except EOFError:
        told = None
    child.join()
    reached, accepted, refused = done
    counts.executions += reached
    counts.accepted += accepted
    counts.refused += refused
    if told is None:
        why = f"no end within {SECONDS} s" if child.exitcode == -signal.SIGPROF else f"ended with {child.exitcode}"
        counts.add(why, start + reached)
        counts.executions += 1
        return
    counts.seconds += told["seconds"]
    counts.ways = sorted({*counts.ways, *told["ways"]})
    for found, at in told["findings"]:
        counts.add(found, at)


def _block(name: str, seed: int, start: int, size: int, done: Any, send: Any) -> None:
    began = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (began + MEMORY, began + MEMORY))
    parser, ways, findings = PARSERS[name], Counter[str](), list[tuple[str, int]]()
    before = time.process_time()
    with _folder() as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        for at in range(start, start + size):
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            found = _read(parser, Path(folder), seed, at)
            done[0] += 1
            if found is None:
                done[1] += 1
            elif isinstance(found, CoPersonaError) and "\n" not in (said := str(found)):
                done[2] += 1
                ways[re.sub(r"'[^']*'|\"[^\"]*\"|[\d,.]+|/\S+", "*", said)[:60]] += 1
            else:
                findings.append((_place(found), at))
    signal.setitimer(signal.ITIMER_PROF, 0)
    send.send({"seconds": time.process_time() - before, "ways": list(ways), "findings": findings})


def read_one(parser: Parser, seed: int, at: int, *, trace: bool = False) -> str:
    """How one file ends: "accepted", "refused: ..." or what is found."""
    with _folder() as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        found = _read(parser, Path(folder), seed, at)
    if found is None:
        return "accepted"
    if isinstance(found, CoPersonaError) and "\n" not in str(found):
        return f"refused: {found}"
    if trace:
        traceback.print_exception(found)
    return _place(found)


def _read(parser: Parser, folder: Path, seed: int, at: int) -> BaseException | None:
    """Spoil a file and read it: None where it is accepted, or what was raised."""
    draw = random.Random(seed << 40 | at)
    path = folder / parser.file
    content = parser.spoil(draw)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, content)
    finally:
        os.close(descriptor)
    try:
        parser.read(path, draw)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return error
    return None


def _place(error: BaseException) -> str:
    """A kind of finding: what was raised, and where."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno}: {str(error)[:80]!r}"


def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)


if __name__ == "__main__":
    main()
