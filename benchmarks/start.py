"""What starting costs, in processes of their own: the import, a known bundle, resident memory, installed size."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from rows import Row, in_turn, row
from settings import Settings

OPEN = """
import sys, time, copersona.runtime as runtime
start = time.process_time()
with runtime.open_bundle(sys.argv[1], threads=1):
    print((time.process_time() - start) * 1e3)
"""
FIRST = """
import resource, sys
from copersona.runtime.bundle.opened import Bundle
from copersona.runtime.session.first_load import load_apart_once
with Bundle(sys.argv[1]) as bundle:
    load_apart_once(bundle, again=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print((used.ru_utime + used.ru_stime) * 1e3)
"""
HERE = """
import sys, time
from copersona.runtime.session.session import open_bundle
from copersona.runtime.session.trial import try_out
start = time.process_time()
with open_bundle(sys.argv[1], trusted=True) as session:
    try_out(session)
print((time.process_time() - start) * 1e3)
"""
READ = """
import sys, time
from pathlib import Path
start = time.process_time()
for path in Path(sys.argv[1]).iterdir():
    if path.suffix not in (".gguf", ".onnx"):
        path.read_bytes()
print((time.process_time() - start) * 1e3)
"""
RESIDENT = """
import sys
from copersona.runtime import Interaction, Sampling, open_bundle
with open_bundle(sys.argv[1], threads=1) as session:
    history = [Interaction("a", f"I bought it {n} weeks ago, and I would buy it again. It is loud.") for n in range(9)]
    session.answer("Write a review.", session.know(tuple(history)), Sampling(max_tokens=16)).finish()
    resident, name = {}, ""
    for line in open("/proc/self/smaps", encoding="utf-8"):
        words = line.split()
        if "-" in words[0]:
            name = words[5].split("/")[-1].split(".")[0] if len(words) > 5 else "[anonymous]"
            name = "[model]" if words[-1].endswith(".gguf") else name
        elif words[0] == "Rss:":
            resident[name] = resident.get(name, 0) + int(words[1]) * 1024 / 1e6
    resident.pop("[model]")
    largest = sorted(resident.items(), key=lambda one: -one[1])[:10]
    print(", ".join(f"{name} {size:.0f}" for name, size in largest), "MB")
    print(sum(resident.values()))
"""


def rows(settings: Settings) -> Iterator[Row]:
    yield importing(settings)
    if settings.bundle is None:
        print("left out: opening and resident memory need --bundle")
    else:
        yield opening(settings, settings.bundle)
        yield first_load(settings, settings.bundle)
        if Path("/proc/self/smaps").exists():
            yield resident(settings, settings.bundle)
    yield installed()


def importing(settings: Settings) -> Row:
    """CPU of a whole process, beyond that of one that imports numpy."""
    command = {"mine": "import copersona.runtime", "theirs": "import numpy"}
    found = in_turn(settings.rounds(15), {name: lambda c=c: child_ms(c) for name, c in command.items()})
    compared = row("", found["mine"], found["theirs"], "")
    beyond = statistics.median(one - other for one, other in zip(found["mine"], found["theirs"], strict=True))
    return Row("import copersona.runtime, CPU ms beyond import numpy", beyond, compared.reference, compared.ratio,
               compared.low, compared.high, "value <= 30 ms")  # fmt: skip


def opening(settings: Settings, bundle: Path) -> Row:
    """A bundle whose hashes were checked before, with all imports it needs, against reading its small files."""
    measures = {name: lambda c=code: printed(c, bundle) for name, code in (("mine", OPEN), ("theirs", READ))}
    found = in_turn(settings.rounds(15), measures)
    what = "open and verify a known bundle without the model, CPU ms"
    return row(f"{what}, against a plain read", found["mine"], found["theirs"], "value <= 150 ms")


def first_load(settings: Settings, bundle: Path) -> Row:
    """What a bundle's first opening on a machine takes more than the later ones, against the same work here."""
    measures = {name: lambda c=code: printed(c, bundle) for name, code in (("mine", FIRST), ("theirs", HERE))}
    found = in_turn(settings.rounds(5), measures)
    return row("first load in a process of its own, CPU ms, against the same here", found["mine"], found["theirs"], "")


def resident(settings: Settings, bundle: Path) -> Row:
    """After an answer, all pages but those of the model's file."""
    model = next(bundle.glob("*.gguf")).stat().st_size / 1e6
    print("resident: " + run(RESIDENT, str(bundle)).splitlines()[-2])
    found = in_turn(settings.rounds(3), {"mine": lambda: printed(RESIDENT, bundle)})["mine"]
    return row("resident MB beyond the mapped model, against its file", found, [model] * len(found), "value <= 150 MB")


def installed() -> Row:
    """Every package that the runtime asks for, and what the largest are, against numpy alone."""
    sizes = {name: megabytes(name) for name in sorted(required("copersona") - {"copersona"})}
    total = sum(sizes.values())
    print("installed: " + ", ".join(f"{name} {size:.0f}" for name, size in Counter(sizes).most_common(12)) + " MB")
    return Row("installed MB of the runtime without torch, against numpy's", total, sizes["numpy"],
               *[total / sizes["numpy"]] * 3, "value <= 300 MB")  # fmt: skip


def child_ms(code: str) -> float:
    """CPU milliseconds of a fresh interpreter that runs this."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(code)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e3


def printed(code: str, bundle: Path) -> float:
    """The number that a fresh interpreter prints."""
    return float(run(code, str(bundle)).split()[-1])


def run(code: str, *arguments: str) -> str:
    """What a fresh interpreter prints, its modules compiled before, as those of an installation are."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(Path(tempfile.gettempdir()) / "copersona-benchmarks-pycache")
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


def required(name: str, seen: frozenset[str] = frozenset()) -> frozenset[str]:
    """The package and all it asks for on this system, extras aside."""
    from packaging.requirements import Requirement

    name = name.lower().replace("_", "-")
    if name in seen:
        return seen
    try:
        wanted = distribution(name).requires or []
    except PackageNotFoundError:
        return seen
    seen |= {name}
    for requirement in map(Requirement, wanted):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            seen = required(requirement.name, seen)
    return seen


def megabytes(name: str) -> float:
    """What a package's files take."""
    paths = (file.locate() for file in distribution(name).files or [])
    return sum(Path(str(path)).stat().st_size for path in paths if Path(str(path)).is_file()) / 1e6
