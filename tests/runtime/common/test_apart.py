"""A process of its own for what others made: it has what it needs and nothing else, and ends as a value."""

from __future__ import annotations

import platform
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from copersona.runtime.common.apart import Ended, run_apart

LINUX = sys.platform == "linux" and platform.machine() in ("x86_64", "aarch64")
MB = 1 << 20
Run = Callable[..., Ended]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run code in a process of its own, after it has bound itself."""
    monkeypatch.syspath_prepend(tmp_path / "code")
    (tmp_path / "code").mkdir()

    def done(code: str, seconds: float = 20.0, memory: int = 512 * MB, **body: object) -> Ended:
        before = "from copersona.runtime.common.apart import asked\nbody = asked()\n"
        (tmp_path / "code" / "elsewhere.py").write_text(before + code)
        return run_apart("elsewhere", body, seconds=seconds, memory=memory)

    return done


def test_what_is_asked_arrives_and_what_is_written_comes_back(run: Run) -> None:
    said = "\ud800 a name that is no text, \n and 好"
    assert run("print(body['said'] == " + ascii(said) + ", end='')", said=said) == Ended(b"True", 0, "")


ENDS = {
    "an exception": ("raise ValueError('a\\nb')", "fails (b)"),
    "a signal": ("import os; print('so far', flush=True); os.kill(os.getpid(), 11)", "ends the process by SIGSEGV"),
    "an abort that says why": (
        "import os, sys; print('no such thing', file=sys.stderr, flush=True); os.abort()",
        "ends the process by SIGABRT (no such thing)",
    ),
    "more memory than is allowed": ("b = bytearray(1 << 33)", "fails (MemoryError)"),
    "endless computing": ("while True: pass", "does not end"),
    "an endless wait": ("import time; time.sleep(1000)", "does not end"),
}


@pytest.mark.parametrize("case", ENDS)
def test_however_it_ends_it_is_said_in_words(case: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("copersona.runtime.common.apart.PATIENCE", 2)
    monkeypatch.setattr("copersona.runtime.common.apart.GRACE", 1)
    code, said = ENDS[case]
    ended = run(code, seconds=1.0)
    assert ended.how == said
    assert ended.out in (b"", b"so far\n")
    assert ended.code != 0


def test_it_does_not_know_this_process_s_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COPERSONA_TEST_KEY", "secret")
    assert b"secret" not in run("import os; print(os.environ)").out


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limits")
def test_it_leaves_no_core_and_writes_no_file(run: Run, tmp_path: Path) -> None:
    code = "import resource; print(resource.getrlimit(resource.RLIMIT_CORE)); open(body['at'], 'wb', 0).write(b'x')"
    ended = run(code, at=str(tmp_path / "file"))
    assert ended.out == b"(0, 0)\n"
    assert "File too large" in ended.last


@pytest.mark.skipif(not LINUX, reason="sockets are refused on Linux alone")
@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK"])
def test_it_has_no_network_in_any_of_its_threads(family: str, run: Run) -> None:
    ask = f"import socket, threading\ndef ask(): socket.socket(socket.{family})\n"
    assert "Operation not permitted" in run(f"{ask}ask()").last
    thread = run(f"{ask}t = threading.Thread(target=ask); t.start(); t.join()")
    assert "Operation not permitted" in thread.last


def test_no_folder_that_a_command_runs_in_is_imported_from(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('obeyed')")
    monkeypatch.chdir(tmp_path)
    assert run("print('not obeyed')").out == b"not obeyed\n"


def test_signals_have_names() -> None:
    assert Ended(b"", -signal.SIGKILL, "").how == "ends the process by SIGKILL"
    assert Ended(b"", -999, "").how == "ends the process by status -999"
