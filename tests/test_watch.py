"""Nothing leaves: ways in under a watch for 20 seconds, and the watch itself, which misses nothing that it is for."""

from __future__ import annotations

import importlib
import os
import platform
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest

from copersona.runtime.cli.main import main
from copersona.runtime.history.importers import read_history
from copersona.runtime.people.store import PeopleStore

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
SECONDS = 20.0  # onnxruntime's telemetry, which is why this is here, looks its host up after ten
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"), reason="the watch is Linux's"
)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(BENCHMARKS)
    yield importlib.import_module("watch")
    for name in ("watch", "syscalls"):
        del sys.modules[name]


def run(watch: ModuleType, code: str, home: Path, *outputs: Path) -> tuple[Any, list[str]]:
    """A process of that code, and the faults that the watch finds in it."""
    found: tuple[Any, list[str]] = watch.run_watched(watch.Way("x", (), outputs, code), watch.Home(home), 0.0)
    return found


def test_promise_nothing_leaves(watch: ModuleType, demo_bundle: Path, tmp_path: Path) -> None:
    """A command, the library and the demo, side by side: no name looked up, no internet socket, no file but the
    store's; each has encoded texts and asked the model."""
    work = tmp_path / "work"
    work.mkdir()
    ways = {way.name: way for way in watch.runtime_ways(demo_bundle, work)}
    chosen = [ways["ask"], ways["library"], ways["demo"]]
    homes = [watch.Home(tmp_path / way.name) for way in chosen]
    with PeopleStore(homes[0].store / "people.sqlite") as store:
        store.add(read_history(watch.DEMO / "people.jsonl"))
    with ThreadPoolExecutor(len(chosen)) as pool:
        done = list(pool.map(lambda way, home: watch.run_watched(way, home, SECONDS), chosen, homes))
    for way, (seen, faults) in zip(chosen, done, strict=True):
        assert faults == [], way.name
        assert (seen.sockets, seen.lookups, seen.connections) == ([], [], [])
        assert seen.written, way.name  # the watch was there: the store was opened


def test_the_watch_knows_every_command(watch: ModuleType, tmp_path: Path) -> None:
    ways = [
        *watch.runtime_ways(watch.DEMO / "bundle", tmp_path),
        *watch.export_ways(tmp_path, tmp_path, tmp_path),
    ]
    assert {way.name for way in ways} >= set(commands(main))


def commands(group: click.Group, before: str = "") -> Iterator[str]:
    context = click.Context(group)
    for name in group.list_commands(context):
        if (command := group.get_command(context, name)) is not None:
            yield from commands(command, f"{before}{name} ") if isinstance(command, click.Group) else [before + name]


# -- the watch itself -----------------------------------------------------------------------------------------------

C_LOOKUP = """
import ctypes
found = ctypes.c_void_p()
ctypes.CDLL(None).getaddrinfo(b"nobody.invalid", None, None, ctypes.byref(found))
"""
FORKS = "import os\nif os.fork() == 0:\n if os.fork() == 0: exec(code)\n else: os.wait()\nelse: os.wait()"
LOOKUPS = {
    "Python": "import socket\ntry: socket.getaddrinfo('nobody.invalid', 80)\nexcept OSError: pass",
    "a C library": C_LOOKUP,
    "a thread": f"import threading\nt = threading.Thread(target=exec, args=[{C_LOOKUP!r}])\nt.start(); t.join()",
    "another program": "import subprocess; subprocess.run(['getent', 'hosts', 'nobody.invalid'])",
    "a child's child": f"code = {C_LOOKUP!r}\n{FORKS}",
}
SOCKETS = {
    "a datagram": "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))",
    "a message": "import socket; socket.socket(2, 2).sendmsg([b'x'], [], 0, ('127.0.0.1', 9))",
    "a connection": "import socket; socket.socket(socket.AF_INET6).connect_ex(('::1', 9))",
    "one that listens": "import socket; socket.create_server(('127.0.0.1', 0)).close()",
    "one that does nothing": "import socket; socket.socket(socket.AF_INET).close()",
}
WRITES = {
    "the cache": "p = __import__('pathlib').Path.home() / '.cache'; p.mkdir(); (p / 'id').write_text('x')",
    "what is gone again": "import os; p = os.path.expanduser('~/x'); open(p, 'w').close(); os.unlink(p)",
    "through a link": "import os; h = os.path.expanduser('~'); os.symlink(h, f'{h}/l'); open(f'{h}/l/x', 'w').close()",
    "by another program": "import subprocess; subprocess.run(['sh', '-c', 'echo x >~/x'])",
    "an empty folder": "import os; os.mkdir(os.path.expanduser('~/x'))",
}


@pytest.mark.parametrize("case", LOOKUPS)
def test_a_look_up_is_caught(case: str, watch: ModuleType, tmp_path: Path) -> None:
    seen, faults = run(watch, LOOKUPS[case], tmp_path)
    assert seen.lookups
    assert any(fault.startswith("leaves: ") for fault in faults)


@pytest.mark.parametrize("case", SOCKETS)
def test_a_socket_of_the_internet_is_caught(case: str, watch: ModuleType, tmp_path: Path) -> None:
    seen, faults = run(watch, SOCKETS[case], tmp_path)
    assert len(seen.sockets) == 1
    assert bool(seen.connections) == (case != "one that does nothing")
    assert any(fault.startswith("leaves: ") for fault in faults)
    assert seen.lookups == []


@pytest.mark.parametrize("case", WRITES)
def test_a_file_outside_the_store_is_caught(case: str, watch: ModuleType, tmp_path: Path) -> None:
    seen, faults = run(watch, WRITES[case], tmp_path)
    assert [path for path in seen.written if path.is_relative_to(tmp_path / "user")]
    assert any(fault.startswith("writes: ") for fault in faults)
    assert seen.left() == []


def test_what_is_named_may_be_written_and_what_stays_on_the_machine_is_no_fault(
    watch: ModuleType, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    code = f"""
import os, socket, tempfile
open({str(out / "answers")!r}, "w").close()
open(os.environ["COPERSONA_HOME"] + "/people", "w").close()
tempfile.TemporaryFile().close()
open("/dev/null", "w").close()
socket.socketpair()
socket.socket(socket.AF_UNIX).connect_ex("/nowhere")
"""
    seen, faults = run(watch, code, tmp_path / "home", out)
    assert faults == []
    assert len(seen.written) >= 2


def test_an_endpoint_that_the_user_named_is_none_of_what_leaves(
    watch: ModuleType, tmp_path: Path, chat_server: Any
) -> None:
    host = chat_server.url.removeprefix("http://").removesuffix("/v1")
    code = f"import urllib.request as r\ntry: r.urlopen({chat_server.url!r})\nexcept OSError: pass"
    seen, _ = run(watch, code, tmp_path)
    assert seen.left() != []
    assert seen.left(host) == []
    assert seen.left("127.0.0.1:9") != []


def test_a_command_that_fails_or_hangs_is_told(watch: ModuleType, tmp_path: Path) -> None:
    seen, faults = run(watch, "import sys; print('why'); sys.exit(3)", tmp_path)
    assert seen.code == 3
    assert faults == ["ended with 3: why\n"]
    assert run(watch, "import os; os.kill(os.getpid(), 9)", tmp_path)[0].code == -9
    waits = "import sys, time; t = time.monotonic(); sys.stdin.read(); print(time.monotonic() - t)"
    held = watch.Way("x", (), (), waits, held=True)
    assert float(watch.run_watched(held, watch.Home(tmp_path), 1.0)[0].output) > 0.5
    assert os.listdir(tmp_path / "scratch") == []
