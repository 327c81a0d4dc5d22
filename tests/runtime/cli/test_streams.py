"""Whatever the encoding of a pipe and whatever is typed: no traceback, JSON stays JSON, and Ctrl-C is 130."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from copersona.runtime.cli.main import main

from .conftest import call

QUICK = ("--max-tokens", "3", "--threads", "1")
NAME = "Zoë 🎸"
TEXT = "Я люблю these 🎸 strings, “really”: 漢字, naïve café. They last."
ENCODINGS = ("cp1252", "ascii", "latin-1", "shift_jis", "utf-8", "utf-8:strict", "koi8-r")


def run(*arguments: object, encoding: str, home: Path) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "COPERSONA_HOME": str(home), "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "copersona.runtime", *(a if isinstance(a, bytes) else str(a) for a in arguments)]
    return subprocess.run(command, capture_output=True, env=environment, check=False, timeout=300)


@pytest.fixture
def zoe(random_bundle: Path, tmp_path: Path, home: Path) -> Path:
    history = tmp_path / "h.jsonl"
    history.write_text(json.dumps({"person": NAME, "output": TEXT, "title": "漢字"}))
    assert call("people", "import", random_bundle, history).exit_code == 0
    return random_bundle


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_json_means_the_same_through_a_pipe_of_any_encoding(encoding: str, zoe: Path, home: Path) -> None:
    done = run("ask", zoe, "--person", NAME, "漢 “é” 🎸", "--json", *QUICK, encoding=encoding, home=home)
    assert done.returncode == 0, done.stderr
    body = json.loads(done.stdout.decode(encoding.partition(":")[0]))
    assert body["person"] == NAME
    assert body["receipt"]["request"] == "漢 “é” 🎸"
    assert body["receipt"]["retrieved"][0]["request"].endswith("漢字")


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8:strict"])
def test_no_command_ends_with_a_trace_for_what_a_stream_cannot_say(encoding: str, zoe: Path, home: Path) -> None:
    for arguments in (
        ("people", "show", zoe, NAME), ("people", "list"), ("people", "show", zoe, "Žoe 🎸"), ("nothing 🎸",),
        ("ask", zoe, "half \udcff"), ("ask", zoe, "x", "--person", "half \udcff"), ("bundle", "show", "half \udcff 🎸"),
        ("ask", zoe, "漢 🎸", "--receipt", *QUICK), ("people", "import", zoe, "none \udcff"),
    ):  # fmt: skip
        encoded = [a if isinstance(a, Path) else os.fsencode(a) for a in arguments]
        done = run(*encoded, encoding=encoding, home=home)
        assert b"Traceback" not in done.stderr, done.stderr
        assert done.returncode in (0, 1, 2)
        assert done.stdout or done.stderr
        (done.stdout + done.stderr).decode(encoding.partition(":")[0])


def test_a_stream_is_changed_only_in_what_it_cannot_say() -> None:
    done = CliRunner(charset="cp1252").invoke(main, ["people", "show", "/nowhere/é漢🎸", "x"])
    assert done.exit_code == 1
    assert "/nowhere/é\\u6f22\\ud83c\\udfb8" in done.stderr_bytes.decode("cp1252")


# -- Ctrl-C -----------------------------------------------------------------------------------------------------------

COMMANDS = {
    "ask": ("ask", "BUNDLE", "Write."), "people show": ("people", "show", "BUNDLE", "x"),
    "doctor": ("doctor", "BUNDLE"), "bundle verify": ("bundle", "verify", "BUNDLE"),
    "bundle show": ("bundle", "show", "BUNDLE"),
    "demo": ("demo", "--bundle", "BUNDLE", "--once"), "generate": ("generate", "BUNDLE", "a", "b"),
}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_is_stopped_ends_with_130(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("copersona.runtime.session.session.open_bundle", stopped)
    monkeypatch.setattr("copersona.runtime.bundle.verify.verify", stopped)
    monkeypatch.setattr("copersona.runtime.bundle.verify.open_manifest", stopped)
    done = call(*COMMANDS[command])
    assert done.exit_code == 130
    assert done.stderr == "\nstopped\n"


def test_ctrl_c_while_a_model_writes_ends_with_130_and_no_trace(random_bundle: Path, home: Path) -> None:
    command = [sys.executable, "-m", "copersona.runtime", "ask", str(random_bundle), "Write.", "--max-tokens", "100000"]
    environment = {**os.environ, "COPERSONA_HOME": str(home), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    process.stdout.read(1)  # the first of the answer
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said.replace(b"\r", b"")) in ((130, b"\nstopped\n"), (0, b""))
