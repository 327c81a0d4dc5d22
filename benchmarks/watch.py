"""Run every command for 20 seconds under a watch: what leaves the machine, whose names are looked up, what is written.

    python benchmarks/watch.py                                                      the commands of the runtime
    python benchmarks/watch.py --base DIR --encoder DIR                             an export too, of 24 invented people

Each command runs in an empty home of its own, and stays for as long when it is done: what a library does in the
background of a process, it has the time to do. Ends with 1 when anything was seen. `syscalls.py` says how it is seen.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from syscalls import Seen, watched

from copersona.runtime.assemble.assemble import whole_bundle
from copersona.runtime.history.importers import read_history
from copersona.runtime.profile.facets import read_schema

DEMO = Path(__file__).resolve().parent.parent / "assets" / "demo"
STAY = """
import sys, time
end = time.monotonic() + float(sys.argv[1])
from copersona.runtime.cli.main import main
code = 0
try:
    main(sys.argv[2:])
except SystemExit as done:
    code = done.code
sys.stdout.flush()
time.sleep(max(end - time.monotonic(), 0))
sys.exit(code)
"""
SEAL = """
import os, sys
def read_from(passphrase):
    reader, writer = os.pipe()
    os.write(writer, passphrase.encode())
    os.close(writer)
    return str(reader)
sys.argv = [read_from("correct horse battery") if argument == "FD" else argument for argument in sys.argv]
"""  # before STAY
TYPED = """
import io, sys
sys.stdin = io.StringIO("Write a review.\\nShorter, please.\\n/list\\n")
"""  # before STAY
LAST = """
import sys
from copersona.runtime.people.store import PeopleStore
with PeopleStore() as store:
    sys.argv.append(store.conversations(sys.argv[-1])[0].id)
"""  # before STAY
SERVER = """
import os, signal, sys, threading
from copersona.runtime.cli.main import main
threading.Timer(max(float(sys.argv[1]), 5.0), os.kill, (os.getpid(), signal.SIGTERM)).start()
main(sys.argv[2:])
"""
LIBRARY = """
import sys, time
end = time.monotonic() + float(sys.argv[1])
from copersona import runtime
with runtime.open_bundle(sys.argv[2]) as session, runtime.PeopleStore() as people:
    people.add(runtime.read_history(sys.argv[3]))
    for person in people.people():
        session.answer("Write a review.", session.person(people, person.name), runtime.Sampling(max_tokens=8)).finish()
    time.sleep(max(end - time.monotonic(), 0))
"""
QUICK = ("--max-tokens", "8", "--threads", "1")
SMALL = ("--facets", "3", "--epochs", "1", "--soft-tokens", "4", "--budget", "256", "--profile-tokens", "64",
         "--peer-tokens", "64")  # fmt: skip
STEPS = ("discover", "profile", "graph", "train", "convert", "bundle")


@dataclass(frozen=True)
class Way:
    """A way in: what is called, what it may write beside the store, and whether its input stays open.

    An `endpoint` (host:port) that the command was given may be connected to. An export is not `strict`: a socket that
    is made and never used is told and no fault. Its libraries make such to see what the machine has (urllib3: whether
    it has IPv6). The server `listens`, which is no fault of it.
    """

    name: str
    arguments: Sequence[object]
    outputs: Sequence[Path] = ()
    code: str = STAY
    held: bool = False
    listens: bool = False
    strict: bool = True
    endpoint: str | None = None


@dataclass(frozen=True)
class Home:
    """The folders of one process: all it may write to is `store`, and `scratch`, which is to be empty in the end."""

    folder: Path

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def scratch(self) -> Path:
        return self.folder / "scratch"

    def environment(self) -> dict[str, str]:
        """That of someone who has just signed in: no cache, no setting that would keep a library quiet."""
        quiet = ("ORT_", "HF_", "XDG_", "TRANSFORMERS_", "DO_NOT_TRACK", "COPERSONA_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(quiet)}
        for path in (self.folder / "user", self.store, self.scratch):
            path.mkdir(parents=True, exist_ok=True)
        return {**kept, "HOME": str(self.folder / "user"), "TMPDIR": str(self.scratch), "PYTHONDONTWRITEBYTECODE": "1",
                "COPERSONA_HOME": str(self.store)}  # fmt: skip

    def left_behind(self) -> list[Path]:
        """Files of the user's folders that were empty."""
        return [path for name in ("user", "scratch") for path in (self.folder / name).rglob("*")]


def run_watched(way: Way, home: Home, seconds: float) -> tuple[Seen, list[str]]:
    """What one way in asked for, and what of it is a fault, in words."""
    command = [sys.executable, "-c", way.code, str(seconds), *map(str, way.arguments)]
    seen = watched(command, environment=home.environment(), hold=seconds if way.held else 0.0, timeout=3600)
    left = seen.left(way.endpoint) if way.strict else [*seen.connections, *seen.lookups]
    faults = [f"leaves: {one}" for one in left if not (way.listens and one.endswith(": waits for connections"))]
    faults += [f"writes: {path}" for path in seen.outside([home.store, home.scratch, *way.outputs])]
    faults += [f"left behind: {path}" for path in home.left_behind()]
    faults += [] if seen.code == 0 else [f"ended with {seen.code}: {seen.output[-400:]}"]
    return seen, faults


def own_ways(bundle: Path, work: Path) -> Iterator[Way]:
    """What people change of what is known of them."""
    digest = next(one.digest for one in read_history(DEMO / "people.jsonl") if one.person == "Bex")
    facet = read_schema(bundle / "facets.json").names[0]
    yield Way("people texts", ("people", "texts", "Bex"))
    yield Way("people correct", ("people", "correct", bundle, "Bex", facet, "As short as I can"))
    yield Way("people pin", ("people", "pin", "Bex", digest))
    yield Way("people leave-out", ("people", "leave-out", bundle, "Bex", "--text", digest))
    yield Way("people undo", ("people", "undo", "Bex", "3"))
    yield Way("people revisions", ("people", "revisions", "Bex"))
    yield Way("people export", ("people", "export", "Bex", "--out", work / "bex.json"), [work])
    yield Way("people forget --text", ("people", "forget", "Bex", "--text", digest))
    yield Way("people forget --facet", ("people", "forget", "Bex", "--facet", facet))
    yield Way("people traces", ("people", "traces", "As short as I can"))
    yield Way("people forget, to restore", ("people", "forget", "Bex"))
    yield Way("people restore", ("people", "restore", work / "bex.json"))


def runtime_ways(bundle: Path, work: Path) -> Iterator[Way]:
    """The commands of the runtime and the library, in an order in which each finds what it needs."""
    people, requests, answers = DEMO / "people.jsonl", work / "requests.jsonl", work / "answers.jsonl"
    requests.write_text(json.dumps({"id": "1", "person": "Bex", "input": "Write a review."}) + "\n")
    yield Way("people import", ("people", "import", bundle, people))
    yield Way("people list", ("people", "list", bundle))
    yield Way("people show", ("people", "show", bundle, "Bex"))
    dense = ("--matched", "2", "--matcher", "dense", "--recent", "1")
    yield Way("ask", ("ask", bundle, "Write a review.", "--person", "Bex", *dense, *QUICK))
    yield Way("chat", ("chat", bundle, "--person", "Bex", *QUICK), code=TYPED + STAY)
    chats, kept = ("people", "chats"), work / "chats.json"
    kept.write_text(json.dumps({"format": "copersona-conversations", "version": 1, "conversations": []}))
    yield Way("people chats list", (*chats, "list", "Bex"))
    yield Way("people chats search", (*chats, "search", "Bex", "write"))
    yield Way("people chats export", (*chats, "export", "Bex"))
    yield Way("people chats import", (*chats, "import", "Bex", kept))
    yield Way("people chats delete", (*chats, "delete", "Bex"), code=LAST + STAY)
    yield Way("generate", ("generate", bundle, requests, answers, *QUICK), [work])
    text = ("persona", "export", bundle, "--person", "Bex", "--as", "text", "--out", work / "bex-text")
    yield Way("persona export", text, [work])
    yield from own_ways(bundle, work)
    yield Way("people forget", ("people", "forget", "Bex"))
    yield Way("people seal", ("people", "seal", "--new-passphrase-fd", "FD"), code=SEAL + STAY)
    yield Way("people unseal", ("--passphrase-fd", "FD", "people", "unseal"), code=SEAL + STAY)
    yield Way("bundle show", ("bundle", "show", bundle))
    free = ("bundle", "from", bundle / "model.gguf", "--like", bundle, "--out", work / "free")
    yield Way("bundle from", (*free, "--context-length", "1024"), [work])
    key, asked = work / "acme.key", ("--passphrase-fd", "FD", "bundle")
    yield Way("bundle key", (*asked, "key", key), [work], code=SEAL + STAY)
    yield Way("bundle sign", (*asked, "sign", work / "free", "--key", key), [work], code=SEAL + STAY)
    yield Way("bundle verify", ("bundle", "verify", work / "free", "--signed-by", f"{key}.pub"))
    yield Way("doctor", ("doctor", bundle))
    yield Way("serve", ("serve", bundle, "--port", "0", "--threads", "1"), code=SERVER, strict=False, listens=True)
    yield Way("demo", ("demo", "--bundle", bundle, "--person", "Bex", *QUICK), held=True)
    yield Way("library", (bundle, people), code=LIBRARY)


def asked_elsewhere(bundle: Path, address: str) -> Way:
    """Someone profiled by a model at an address: it alone is connected to. They are in the store."""
    model = ("--profile-endpoint", f"http://{address}/v1", "--profile-model", "none")
    return Way("people show of a model at an address", ("people", "show", bundle, "Bex", *model), endpoint=address)


class NoModel(BaseHTTPRequestHandler):
    """An address of a language model that answers everyone in the same way, and with nothing of use."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        raw = json.dumps({"choices": [{"message": {"role": "assistant", "content": "{}"}}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: object) -> None:
        """Nothing on standard error."""


@contextlib.contextmanager
def no_model() -> Iterator[str]:
    """The address (host:port) of one, on this machine, while the block runs."""
    with ThreadingHTTPServer(("127.0.0.1", 0), NoModel) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def export_ways(work: Path, base: Path, encoder: Path) -> Iterator[Way]:
    """An export of invented people from nothing, and what is done with it."""
    people, run = work / "people.jsonl", work / "run"
    yield Way("export invent", ("export", "invent", people, "--people", "24"), [work], strict=False)
    loose = [f"--{name}=1" for name in ("min-review", "min-users-per-item", "min-reviews-per-user", "min-profile")]
    prepare = ("export", "prepare", people, "--out", work / "prepared.jsonl", *loose, "--min-profiles-per-item=1")
    yield Way("export prepare", prepare, [work], strict=False)
    models = ("--base", base, "--encoder", encoder)
    yield Way("export run", ("export", "run", people, *models, "--out", run, *SMALL), [work], strict=False)
    for step in STEPS:
        yield Way(f"export {step}", ("export", step, run), [work], strict=False)
    yield Way("export compare", ("export", "compare", run, run), [work], strict=False)
    yield Way("export measure", ("export", "measure", run, "--people", "16"), [work], strict=False)
    facts = work / "facts.json"
    facts.write_text(json.dumps([{"question": f"What is {n} and {n}?", "answers": [str(2 * n)]} for n in range(9)]))
    guard = ("export", "guard", run, "--questions", facts, "--people", "3")
    yield Way("export guard", guard, [work], strict=False)
    yield Way("export unpack", ("export", "unpack", run / "bundle", "--out", work / "unpacked"), [work], strict=False)
    gguf, thin = run / "model.gguf", work / "thin"
    packed = ("--base", gguf, "--encoder", encoder, "--out", thin, *SMALL, "--thin")
    yield Way("export run --thin", ("export", "run", people, *packed), [work], strict=False)
    whole = ("bundle", "assemble", thin / "bundle", "--base", gguf, "--out", work / "whole")
    yield Way("bundle assemble", whole, [work], strict=False)
    few = ("--only", "methods", "--limit", "3", "--texts", "2", "--max-tokens", "4")
    yield Way(
        "evaluate", ("evaluate", run / "bundle", "--run", run, "--out", work / "report", *few), [work], strict=False
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=DEMO / "bundle")
    for name in ("--base", "--encoder"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only these, and what they need goes before them")
    asked = parser.parse_args()
    faulty = 0
    with tempfile.TemporaryDirectory() as folder, no_model() as address:
        work, home = Path(folder) / "work", Home(Path(folder).resolve() / "home")
        work.mkdir()
        bundle = whole_bundle(asked.bundle.resolve())
        ways = [*runtime_ways(bundle, work.resolve()), asked_elsewhere(bundle, address)]
        if asked.base and asked.encoder:
            ways += export_ways(work.resolve(), asked.base.resolve(), asked.encoder.resolve())
        for way in ways:
            if asked.only and way.name not in asked.only:
                continue
            seen, faults = run_watched(way, home, asked.seconds)
            faulty += bool(faults)
            print(f"{way.name}: {len(seen.lookups)} look-ups, {len(seen.sockets)} internet sockets, "
                  f"{len(seen.written)} files opened to write, {len(faults)} faults", flush=True)  # fmt: skip
            for fault in dict.fromkeys(faults):
                print(f"  {fault}")
    sys.exit(1 if faulty else 0)


if __name__ == "__main__":
    main()
