"""`people seal`, and what commands do with a sealed store: ask at the terminal, read a descriptor, or say why not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import types
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from copersona.runtime.cli import passphrase as asked
from copersona.runtime.cli.main import main
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.people import sealed
from copersona.runtime.people.sealed import is_sealed
from copersona.runtime.people.store import PeopleStore

pty = pytest.importorskip("pty", reason="a terminal of our own needs a system with pseudo-terminals")
pytest.importorskip("sqlcipher3")
pytest.importorskip("cryptography")

PASS, NEXT = "correct horse battery", "staple and more"
RUN = """
import os, sys
if os.isatty(0):
    os.open(os.ttyname(0), os.O_RDWR)  # whoever leads a session and opens a terminal has it as its own
from copersona.runtime.people import sealed
sealed.COST = 10
from copersona.runtime.cli.main import main
main()
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plain store in the user's home."""
    monkeypatch.setattr(sealed, "COST", 10)
    monkeypatch.setenv("COPERSONA_HOME", str(tmp_path / "home"))
    with PeopleStore() as store:
        store.add([Interaction("ann", "one"), Interaction("ben", "two")])
    return store.path


def called(*arguments: str, fds: tuple[str, ...] = (), stdin: str = "") -> subprocess.CompletedProcess[str]:
    """A command in a process without a terminal; `FD0`, `FD1`... in its arguments are descriptors with these texts."""
    readers = []
    for text in fds:
        reader, writer = os.pipe()
        os.write(writer, text.encode())
        os.close(writer)
        readers.append(reader)
    names = {f"FD{n}": str(reader) for n, reader in enumerate(readers)}
    call = [sys.executable, "-c", RUN, *(names.get(argument, argument) for argument in arguments)]
    try:
        return subprocess.run(
            call, pass_fds=readers, input=stdin, capture_output=True, text=True, start_new_session=True, timeout=60,
            check=False,
        )  # fmt: skip
    finally:
        for reader in readers:
            os.close(reader)


def typed(*arguments: str, answers: tuple[str, ...]) -> tuple[int, str]:
    """A command at a terminal, where these lines are typed, each when the one before was asked for; what is seen."""
    terminal, theirs = pty.openpty()
    call = [sys.executable, "-c", RUN, *arguments]
    process = subprocess.Popen(call, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    seen, left, until = b"", list(answers), time.monotonic() + 60
    while time.monotonic() < until:
        try:
            piece = os.read(terminal, 4_096)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        seen += piece
        if left and seen.rstrip(b" ").endswith(b":"):
            time.sleep(0.05)  # it switches the echo off first
            os.write(terminal, f"{left.pop(0)}\n".encode())
            seen += b"\n"
    os.close(terminal)
    return process.wait(60), seen.decode()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def test_at_a_terminal_it_asks_twice_says_what_is_lost_and_shows_nothing(path: Path) -> None:
    code, seen = typed("people", "seal", answers=(PASS, PASS))
    assert code == 0, seen
    assert is_sealed(path)
    assert "cannot be recovered" in seen
    assert f"{path}: sealed" in seen
    code, seen_again = typed("people", "list", answers=(PASS,))
    assert code == 0, seen_again
    assert "ann" in seen_again
    assert PASS not in seen + seen_again
    code, seen = typed("people", "list", answers=("wrong one",))
    assert code == 1
    assert "error: " in seen
    assert "the passphrase is wrong" in seen
    assert "Traceback" not in seen


def test_two_that_differ_change_nothing(path: Path) -> None:
    code, seen = typed("people", "seal", answers=(PASS, NEXT))
    assert code == 1
    assert "the two passphrases differ; nothing was changed" in seen
    assert not is_sealed(path)


def test_changed_at_a_terminal_the_present_one_is_asked_first(path: Path) -> None:
    assert typed("people", "seal", answers=(PASS, PASS))[0] == 0
    code, seen = typed("people", "seal", "--change", answers=("wrong one", NEXT, NEXT))
    assert code == 1
    assert "new passphrase" not in seen
    code, seen = typed("people", "seal", "--change", answers=(PASS, NEXT, NEXT))
    assert code == 0, seen
    assert seen.index("passphrase of") < seen.index("new passphrase of")
    assert typed("people", "unseal", answers=(NEXT,))[0] == 0
    assert not is_sealed(path)
    assert "2 people" in run("people", "list").stderr


def test_by_descriptors_no_terminal_is_needed(path: Path) -> None:
    done = called("people", "seal", "--new-passphrase-fd", "FD0", fds=(f"{PASS}\n",))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{path}: sealed\n", "")
    done = called("--passphrase-fd", "FD0", "people", "list", "--json", fds=(PASS,))
    assert [row["person"] for row in json.loads(done.stdout)] == ["ann", "ben"]
    change = ("--passphrase-fd", "FD0", "people", "seal", "--change", "--new-passphrase-fd", "FD1")
    done = called(*change, fds=(f"{PASS}\r\n", NEXT))
    assert done.stdout == f"{path}: sealed under the new passphrase\n"
    done = called("--passphrase-fd", "FD0", "people", "forget", "ann", fds=(PASS,))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "the passphrase is wrong" in done.stderr
    done = called("--passphrase-fd", "FD0", "people", "forget", "ann", fds=(NEXT,))
    assert done.stdout == "ann: 1 interactions forgotten\n"
    done = called("--passphrase-fd", "0", "people", "unseal", stdin=f"{NEXT}\nmore")
    assert done.stdout == f"{path}: not sealed any more\n"
    assert [row.name for row in PeopleStore().people()] == ["ben"]


def test_without_a_terminal_and_without_a_passphrase_it_is_one_line(path: Path) -> None:
    assert called("people", "seal", "--new-passphrase-fd", "FD0", fds=(PASS,)).returncode == 0
    for command in (["people", "list"], ["people", "forget", "ann"], ["people", "seal", "--change"]):
        done = called(*command, stdin="correct horse battery\n")
        assert done.returncode == 1
        assert done.stdout == ""
        assert done.stderr.count("\n") == 1
        assert "no terminal" in done.stderr
    done = called("--passphrase-fd", "97", "people", "list")
    assert done.stderr == "error: file descriptor 97: no passphrase can be read there (Bad file descriptor)\n"
    done = called("--passphrase-fd", "FD0", "people", "list", fds=("",))
    assert "the passphrase has 0 bytes" in done.stderr
    done = called("--passphrase-fd", "FD0", "people", "list", fds=("x" * 20_000,))
    assert "expected 1 to 1,024" in done.stderr


def test_what_is_sealed_already_or_not_at_all_is_said(path: Path) -> None:
    for command in (["unseal"], ["seal", "--change"]):
        done = run("people", *command)
        assert done.exit_code == 1
        assert "not sealed" in done.stderr
    assert called("people", "seal", "--new-passphrase-fd", "FD0", fds=("short",)).stderr.count("at least 8") == 1
    assert called("people", "seal", "--new-passphrase-fd", "FD0", fds=(PASS,)).returncode == 0
    done = called("people", "seal", "--new-passphrase-fd", "FD0", fds=(PASS,))
    assert "sealed already" in done.stderr
    assert done.returncode == 1


def test_a_home_without_people_can_be_sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COPERSONA_HOME", str(tmp_path / "new"))
    done = called("people", "seal", "--new-passphrase-fd", "FD0", fds=(PASS,))
    assert done.returncode == 0, done.stderr
    assert is_sealed(tmp_path / "new" / "people.sqlite")


class Keyring(types.ModuleType):
    """A keyring in memory."""

    def __init__(self) -> None:
        super().__init__("keyring")
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, name: str) -> str | None:
        return self.kept.get((service, name))

    def set_password(self, service: str, name: str, password: str) -> None:
        self.kept[service, name] = password

    def delete_password(self, service: str, name: str) -> None:
        del self.kept[service, name]


def test_the_keyring_is_used_if_asked_for_and_only_then(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keyring = Keyring()
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    answers = iter([PASS])
    monkeypatch.setattr("copersona.runtime.cli.seal.asked_twice", lambda _: next(answers))
    assert run("--keyring", "people", "seal").exit_code == 0
    assert keyring.kept == {("copersona", str(path)): PASS}
    assert "2 people" in run("--keyring", "people", "list").stderr
    monkeypatch.setattr(asked, "_has_terminal", lambda: False)
    assert "no terminal" in run("people", "list").stderr
    answers = iter([NEXT])
    assert run("--keyring", "people", "seal", "--change").exit_code == 0
    assert keyring.kept == {("copersona", str(path)): NEXT}
    assert run("--keyring", "people", "unseal").exit_code == 0
    assert keyring.kept == {}
    assert not is_sealed(path)


def test_a_keyring_that_is_not_there_or_has_nothing_is_one_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert called("people", "seal", "--new-passphrase-fd", "FD0", fds=(PASS,)).returncode == 0
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert "not installed; run: pip install keyring" in run("--keyring", "people", "list").stderr
    keyring = Keyring()
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    assert "the keyring has no passphrase for this store" in run("--keyring", "people", "list").stderr
    keyring.get_password = lambda *_: (_ for _ in ()).throw(RuntimeError("locked\nand more"))  # type: ignore[method-assign]
    done = run("--keyring", "people", "list")
    assert done.stderr == "error: the system's keyring cannot be used (locked)\n"


def test_doctor_asks_nobody_and_looks_into_it_when_it_can(path: Path) -> None:
    def found(*options: str, fds: tuple[str, ...] = ()) -> dict[str, object]:
        done = called(*options, "doctor", "--json", fds=fds)
        return next(row for row in json.loads(done.stdout) if row["what"] == "people store")

    assert found()["found"] == f"{path}, 2 people"
    assert called("people", "seal", "--new-passphrase-fd", "FD0", fds=(PASS,)).returncode == 0
    assert found() == {
        "what": "people store", "ok": True,
        "found": f"{path}, sealed; looked into with --passphrase-fd or --keyring",
    }  # fmt: skip
    assert found("--passphrase-fd", "FD0", fds=(PASS,))["found"] == f"{path}, sealed, 2 people"
    assert found("--passphrase-fd", "FD0", fds=("wrong one",))["ok"] is False


def test_no_option_takes_a_passphrase_itself() -> None:
    def options(command: click.Command, place: str) -> list[tuple[str, click.Parameter]]:
        own = [(place, parameter) for parameter in command.params]
        if isinstance(command, click.Group):
            for name, below in command.commands.items():
                own += options(below, f"{place} {name}")
        return own

    found = [(place, one) for place, one in options(main, "copersona") if "passphrase" in (one.name or "")]
    assert {place for place, _ in found} == {"copersona", "copersona people seal"}
    assert all(isinstance(one.type, click.IntRange) and one.envvar is None for _, one in found)
