"""The steps in order, resumable: what is done and not stale is skipped, and said so.

A step's marker in `done/` holds a hash of what it depends on: its settings, the code version and the markers before it.
"""

from __future__ import annotations

import hashlib
import json
import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from copersona.export.common.files import restore, room_for, sha256, weight_hashes, write_text
from copersona.export.convert.file_tokens import FileTokens
from copersona.export.discovery.proposals import PROMPT as FACETS_PROMPT
from copersona.export.run.run import Run
from copersona.export.steps.steps import STEPS, Report, check_inputs
from copersona.export.training.settings import train_key
from copersona.runtime.common.errors import ExportError
from copersona.runtime.engine.turns import chatml, turns_json
from copersona.runtime.history.importers import SOURCES
from copersona.runtime.history.lamp import outputs_path, read_questions
from copersona.runtime.profile.claims import PROMPT as PROFILES_PROMPT

PROMPTS = {"facets_model": FACETS_PROMPT, "profiles_model": PROFILES_PROMPT}
CODE_VERSION = 2  # raise it when a step's output changes for the same input
UPSTREAM = {
    "prepare": (),
    "encoder": (),
    "discover": ("prepare", "encoder"),
    "profile": ("discover",),
    "graph": ("profile",),
    "train": ("graph",),
    "convert": ("train",),
    "bundle": ("convert",),
}
DEPENDS = {
    "prepare": ("histories", "format", "seed", "limit_people", "metadata", "skip_bad"),
    "encoder": ("encoder",),
    "discover": ("facets", "clusters", "seed", "facets_model"),
    "profile": ("profiles_model", "people_per_call"),
    "graph": ("peer_quotes", "seed"),
    "train": ("base", "train", "context", "keep"),
    "convert": ("quantize",),
    "bundle": ("context_length", "thin"),
}


@dataclass(frozen=True, slots=True)
class Done:
    """Marker of a finished step: seconds and peak megabytes it took, and its report."""

    step: str
    key: str
    seconds: float
    peak_megabytes: float
    report: Report


def run_steps(run: Run, steps: tuple[str, ...], say: Callable[[str], None]) -> list[Done]:
    """Run the given steps in order, skipping those that are done and not stale.

    Raises:
        ExportError: a step before the first one asked for is missing, a step fails, the disk is full, or another
            export is at work in the folder.
    """
    check_inputs(run)
    run.folder.mkdir(parents=True, exist_ok=True)
    restore(run.path("bundle"))
    with alone(run.folder):
        return _run_steps(run, steps, say)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep a second export out of the same run folder. The system frees the lock when the process ends, however it
    ends.

    Raises:
        ExportError: another export has it.
    """
    lock = FileLock(folder / "lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise ExportError(f"{folder}: another export is at work in this run folder; wait for it or stop it") from error
    try:
        yield
    finally:
        lock.release()


def _run_steps(run: Run, steps: tuple[str, ...], say: Callable[[str], None]) -> list[Done]:
    done: list[Done] = []
    for step in STEPS:
        key = step_key(run, step)
        marker = read_marker(run, step)
        if step in steps and (marker is None or marker.key != key):
            why = "not done yet" if marker is None else "its inputs or settings changed"
            say(f"{step}: {why}")
            marker = _execute(run, step, key)
        elif step in steps:
            say(f"{step}: done before, skipped")
        elif marker is None and any(STEP_ORDER[s] > STEP_ORDER[step] for s in steps):
            raise ExportError(f"{run.folder}: step {step} has not been done; run: copersona export {step} {run.folder}")
        if marker is not None and step in steps:
            done.append(marker)
    return done


STEP_ORDER = {step: place for place, step in enumerate(STEPS)}


def step_key(run: Run, step: str) -> str:
    """Hash of what a step depends on. An edited facets.json makes later steps stale, never the discovery that wrote
    it."""
    settings = asdict(run.settings)
    settings["train"] = train_key(run.settings.train, run.settings.context)
    counted = {n: settings[n] for n in DEPENDS[step]}
    parts: list[Any] = [CODE_VERSION, step, counted | {PROMPTS[n]: True for n in PROMPTS if counted.get(n) is not None}]
    parts += [step_key(run, before) for before in UPSTREAM[step]]
    if step == "prepare":
        parts += [sha256(path) for path in _inputs(run) if path.is_file()]
    if step == "train" and run.settings.keep is not None and Path(run.settings.keep).is_file():
        parts.append(sha256(Path(run.settings.keep)))
    if step == "train":
        parts += _other_turns(run)
    if step in ("encoder", "train"):
        parts += weight_hashes(Path(run.settings.encoder if step == "encoder" else run.settings.base))
    if step == "profile" and run.path("facets.json").exists():
        parts.append(sha256(run.path("facets.json")))
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _other_turns(run: Run) -> list[Any]:
    """The base's turns where they are not what every run was laid out in before turns were data."""
    path = Path(run.settings.base) / "tokenizer.json"
    if not path.is_file():
        return []
    try:
        same = run.turns == chatml(FileTokens(path))
    except ExportError:  # no ChatML tokens
        same = False
    return [] if same else [turns_json(run.turns)]


def _inputs(run: Run) -> list[Path]:
    """The files that `prepare` reads; gold outputs that stand in a file of their own among them."""
    histories = [Path(p) for p in run.settings.histories]
    golds = [outputs_path(p) for p in histories] if SOURCES.get(run.settings.format) is read_questions else []
    metadata = [] if run.settings.metadata is None else [Path(run.settings.metadata)]
    return [*histories, *(path for path in golds if path is not None), *metadata]


def read_marker(run: Run, step: str) -> Done | None:
    """The marker of a step, None where it is missing or cannot be read."""
    path = run.path("done") / f"{step}.json"
    try:
        return Done(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _execute(run: Run, step: str, key: str) -> Done:
    (run.path("done") / f"{step}.json").unlink(missing_ok=True)
    begun = time.monotonic()
    with PeakMemory() as peak, room_for(run.folder):
        try:
            report = STEPS[step](run)
        finally:
            run.forget()
    key = step_key(run, step)
    done = Done(step, key, round(time.monotonic() - begun, 1), round(peak.megabytes, 1), report)
    write_text(run.path("done") / f"{step}.json", json.dumps(asdict(done), ensure_ascii=False, indent=1))
    return done


class PeakMemory:
    """Peak resident memory while it is open, sampled; where the system has no /proc, the process's peak so far."""

    def __init__(self) -> None:
        self.megabytes = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.megabytes = max(self.megabytes, resident_megabytes())
            if self._stop.wait(0.2):
                return


def resident_megabytes() -> float:
    """Resident memory of this process now, in megabytes."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
