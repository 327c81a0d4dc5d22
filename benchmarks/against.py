"""What a change left as it was: this working tree against an earlier revision, in one run.

    python benchmarks/against.py REVISION [--base DIR] [--encoder DIR] [--rounds 20]

Installs both side by side in a scratch folder, with the dependencies of this environment, and compares the demo's
answers, the CPU time of importing, of opening the demo's bundle and of a first token, and, with --base and --encoder,
the files of a bundle exported from 40 invented people.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rows import HEAD, compare

ROOT = Path(__file__).resolve().parent.parent
MUST = "ratio <= 1.05"
OPENED = "import time, sys, copersona.runtime as r; bundle = sys.argv[1]; start = time.process_time(); "
TIMED = {
    "import copersona.runtime, CPU ms": "import time; start = time.process_time(); import copersona.runtime; ",
    "open the demo's bundle, CPU ms": OPENED + "session = r.open_bundle(bundle, threads=1); ",
    "open and first token as nobody, CPU ms": OPENED + "session = r.open_bundle(bundle, threads=1); "
    "session.answer('Hi', None, r.Sampling(max_tokens=1)).finish(); ",
}
SMALL = ("--limit-people", "40", "--epochs", "1", "--budget", "256", "--profile-tokens", "64", "--peer-tokens", "64")


class Installed:
    """One version of the project in a folder of its own, run in processes of their own."""

    def __init__(self, source: Path, folder: Path) -> None:
        self.folder, self._site = folder, folder / "site"
        pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation")
        shutil.rmtree(source / "build", ignore_errors=True)  # setuptools installs what an earlier build left there
        subprocess.run([*pip, "--target", self._site, source], check=True, stderr=subprocess.DEVNULL)
        shutil.rmtree(source / "build", ignore_errors=True)

    def run(self, *arguments: str | Path) -> str:
        """Standard output of Python with these arguments, this version first on its path."""
        environment = {**os.environ, "PYTHONPATH": str(self._site), "COPERSONA_HOME": str(self.folder / "home")}
        command = [sys.executable, *map(str, arguments)]
        done = subprocess.run(command, env=environment, cwd=self.folder, check=True, stdout=subprocess.PIPE, text=True)
        return done.stdout

    def milliseconds(self, code: str, bundle: Path) -> float:
        """What the code took, in a process of its own."""
        return float(self.run("-c", code + "print((time.process_time() - start) * 1e3)", bundle))

    def demo(self, bundle: Path) -> str:
        """The demo's answers, with why."""
        return self.run("-m", "copersona.runtime", "demo", "--once", "--json", "--bundle", bundle)

    def export(self, base: Path, encoder: Path) -> dict[str, str]:
        """Hashes of the files of a small export's bundle."""
        people, out = ROOT / "assets" / "invented" / "people.jsonl", self.folder / "run"
        options = ("--base", base.resolve(), "--encoder", encoder.resolve(), "--out", out, *SMALL)
        self.run("-m", "copersona.runtime", "export", "run", people, *options)
        return {path.name: file_hash(path) for path in sorted((out / "bundle").iterdir())}


def file_hash(path: Path) -> str:
    """Of a file of a bundle; of the manifest, without when it was made and its own hash."""
    content = path.read_bytes()
    if path.name == "manifest.json":
        body = {name: value for name, value in json.loads(content).items() if name not in ("created", "sha256")}
        content = json.dumps(body).encode("utf-8")
    return hashlib.sha256(content).hexdigest()


def snapshot(revision: str, folder: Path) -> Path:
    """The files of a revision."""
    folder.mkdir()
    archive = subprocess.run(["git", "-C", ROOT, "archive", revision], check=True, stdout=subprocess.PIPE).stdout
    subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
    return folder


def told(what: str, same: bool) -> bool:
    print(f"{what}: {'the same' if same else 'DIFFERENT'}", flush=True)
    return same


def against(now: Installed, before: Installed, asked: argparse.Namespace) -> bool:
    """Print what is the same; whether all of it is."""
    bundle = ROOT / "assets" / "demo" / "bundle"
    fine = [told("answers of the demo", now.demo(bundle) == before.demo(bundle))]
    if asked.base and asked.encoder:
        new, old = (version.export(asked.base, asked.encoder) for version in (now, before))
        fine += [told(f"exported {name}", new.get(name) == old.get(name)) for name in sorted({*new, *old})]
    print(HEAD)
    for name, code in TIMED.items():
        ours, theirs = (partial(version.milliseconds, code, bundle) for version in (now, before))
        row = compare(name, asked.rounds, ours, theirs, MUST)
        print(row.line(), flush=True)
        fine.append(bool(row.met))
    return all(fine)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision")
    parser.add_argument("--base", type=Path, help="a base model's folder; with --encoder, a small export is compared")
    parser.add_argument("--encoder", type=Path)
    parser.add_argument("--rounds", type=int, default=20)
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="copersona-against-") as scratch:
        place = Path(scratch)
        before = snapshot(asked.revision, place / "source")
        return 0 if against(Installed(ROOT, place / "now"), Installed(before, place / "before"), asked) else 1


if __name__ == "__main__":
    sys.exit(main())
