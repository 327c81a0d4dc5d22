"""Changes to a bundle with all hashes made right, and whether `bundle verify` and an answer agree about each.

    python benchmarks/fuzz.py BUNDLE --mutations 1000 [--seed 0] [--kinds graph encoder]

Each change runs in a process of its own, bounded in time and memory: the bundle is verified as `copersona bundle
verify` does, and then opened and asked for two tokens. Good are two refusals with an error of ours, or two successes.
Prints a line for each change that ends otherwise, and how many there were of each class; ends with 1 where one is bad.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

from mutations import IN_C, KINDS, copy_of, mutate

from copersona.runtime.bundle.verify import verify
from copersona.runtime.common.errors import CoPersonaError
from copersona.runtime.session.session import open_bundle
from copersona.runtime.session.trial import try_out

__all__ = ["GOOD", "IN_C", "KINDS", "agreed", "ended", "one"]
GOOD = ("both refuse", "both succeed")
SECONDS = 60
MEMORY = 8 << 30  # bytes of address space, of which models that are mapped and thread stacks take much


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--mutations", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=tuple(KINDS), default=tuple(KINDS))
    parser.add_argument("--child", action="store_true", help="change and ask in this process, one line of JSON each")
    asked = parser.parse_args()
    seeds = range(asked.seed, asked.seed + asked.mutations)
    with tempfile.TemporaryDirectory() as folder:
        if asked.child:
            os.environ["COPERSONA_HOME"] = str(Path(folder) / "home")
            for seed in seeds:
                print(json.dumps(one(asked.bundle, Path(folder) / "bundle", seed, tuple(asked.kinds))), flush=True)
            return
        counts: Counter[str] = Counter()
        for seed in seeds:
            kind, said = apart(asked.bundle, folder, seed, asked.kinds)
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
        return {"said": said, "verify": ended(folder, verifying=True), "ask": ended(folder, verifying=False)}


def agreed(found: dict[str, str]) -> str:
    """The class of what `one` found."""
    ends = [found[name].partition(":")[0] for name in ("verify", "ask")]
    if ends == ["fine", "fine"]:
        return "both succeed"
    if ends == ["refused", "refused"]:
        return "both refuse"
    return "traceback" if "fault" in ends else "they disagree"


def ended(folder: Path, *, verifying: bool) -> str:
    try:
        if verifying:
            verify(folder, full=True)
        with open_bundle(folder, full=verifying) as session:
            if verifying and session.manifest.trained:
                session.personalizer  # noqa: B018 - loading it checks it
            try_out(session)
        return "fine"
    except CoPersonaError as error:
        return f"refused: {error}" if "\n" not in str(error) else f"fault: more than a line: {error}"
    except Exception as error:
        return f"fault: {type(error).__name__}: {error}"


def apart(bundle: Path, folder: str, seed: int, kinds: tuple[str, ...]) -> tuple[str, str]:
    """`one` in a process of its own: its class, and what is known of it."""
    command = [sys.executable, __file__, str(bundle), "--child", "--mutations", "1", "--seed", str(seed), "--kinds"]
    try:
        done = subprocess.run(
            [*command, *kinds], capture_output=True, timeout=SECONDS, preexec_fn=_bound, check=False,
            env={**os.environ, "TMPDIR": folder},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return "hangs", f"longer than {SECONDS} seconds"
    if done.returncode:
        return "crashes", f"status {done.returncode}, {done.stderr.decode('utf-8', 'replace')[-300:]!r}"
    found = json.loads(done.stdout)
    return agreed(found), json.dumps(found)


def _bound() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


if __name__ == "__main__":
    main()
