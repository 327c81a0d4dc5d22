"""Changes to a bundle with all hashes made right, and whether `bundle verify` and an answer agree about each.

    python benchmarks/fuzz.py BUNDLE --mutations 1000 [--seed 0] [--kinds graph encoder]

Changes run in a process of their own, bounded in time and memory, another one after each that ends it: the bundle is
verified as `copersona bundle verify` does, which loads it in one more process, and then opened here and asked for two
tokens. Good are two refusals with an error of ours, or two successes. Prints a line for each change that ends
otherwise, and how many there were of each class; ends with 1 where one is bad.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import select
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mutations import IN_C, KINDS, copy_of, mutate

from copersona.runtime.common.errors import CoPersonaError
from copersona.runtime.session.session import open_bundle
from copersona.runtime.session.trial import try_out

__all__ = ["GOOD", "IN_C", "KINDS", "agreed", "ended", "one"]
GOOD = ("both refuse", "both succeed")
SECONDS = 60
MOST_RESIDENT = 2 << 20  # KiB, of this process or of one that it started
MEMORY = 8 << 30  # bytes of address space, of which models that are mapped and thread stacks take much


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--mutations", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=tuple(KINDS), default=tuple(KINDS))
    parser.add_argument("--child", action="store_true", help="change and ask in this process, one line of JSON each")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="after which a change hangs")
    asked = parser.parse_args()
    seeds = range(asked.seed, asked.seed + asked.mutations)
    with tempfile.TemporaryDirectory() as folder:
        if asked.child:
            os.environ["COPERSONA_HOME"] = str(Path(folder) / "home")
            for seed in seeds:
                print(json.dumps(one(asked.bundle, Path(folder) / "bundle", seed, tuple(asked.kinds))), flush=True)
            return
        counts: Counter[str] = Counter()
        for seed, kind, said in apart(asked, folder, seeds):
            counts[kind] += 1
            if kind not in GOOD:
                print(f"seed {seed}: {kind}: {said}", flush=True)
    print(", ".join(f"{count} {kind}" for kind, count in counts.most_common()))
    sys.exit(any(kind not in GOOD for kind in counts))


def one(bundle: Path, folder: Path, seed: int, kinds: tuple[str, ...]) -> dict[str, str]:
    """Change a copy in `folder`, verify it, ask it: what was changed, and how each ended."""
    said = mutate(copy_of(bundle, folder), seed, kinds)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # numbers that go out of bounds
        found = {"said": said, "verify": ended(folder, verifying=True), "ask": ended(folder, verifying=False)}
    most = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return found if most < MOST_RESIDENT else {**found, "resident": f"{most >> 10:,} MB"}


def agreed(found: dict[str, str]) -> str:
    """The class of what `one` found."""
    if "resident" in found:
        return "takes too much memory"
    ends = [found[name].partition(":")[0] for name in ("verify", "ask")]
    if ends == ["fine", "fine"]:
        return "both succeed"
    if ends == ["refused", "refused"]:
        return "both refuse"
    return "traceback" if "fault" in ends else "they disagree"


def ended(folder: Path, *, verifying: bool) -> str:
    try:
        with open_bundle(folder, full=verifying) as session:
            if not verifying:
                try_out(session)
        return "fine"
    except CoPersonaError as error:
        return f"refused: {error}" if "\n" not in str(error) else f"fault: more than a line: {error}"
    except Exception as error:
        return f"fault: {type(error).__name__}: {error}"


def apart(asked: argparse.Namespace, folder: str, seeds: range) -> Iterator[tuple[int, str, str]]:
    """`one` of each seed, in a process of their own until one ends it: the seed, its class, and what is known of it."""
    while seeds:
        command = [sys.executable, __file__, str(asked.bundle), "--child", "--kinds", *asked.kinds]
        command += ["--seed", str(seeds[0]), "--mutations", str(len(seeds))]
        with (
            tempfile.TemporaryFile() as complaints,
            subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=complaints, preexec_fn=_bound, bufsize=0,
                env={**os.environ, "TMPDIR": folder},
            ) as process,
        ):  # fmt: skip
            assert process.stdout is not None
            while seeds:
                ready, _, _ = select.select([process.stdout], [], [], asked.seconds)
                line = process.stdout.readline() if ready else b""
                if not line:
                    break
                found = json.loads(line)
                yield seeds[0], agreed(found), json.dumps(found)
                seeds = seeds[1:]
            process.kill()
            if seeds and not ready:
                yield seeds[0], "hangs", f"longer than {asked.seconds:g} seconds"
            elif seeds:
                complaints.seek(0)
                yield seeds[0], "crashes", f"status {process.wait()}, {complaints.read()[-300:]!r}"
            seeds = seeds[1:]


def _bound() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


if __name__ == "__main__":
    main()
