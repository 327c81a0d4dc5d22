"""What people, models and files say is shown on a terminal and never obeyed; a pipe gets it as it is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from copersona.runtime.bundle.verify import open_manifest, write_manifest
from copersona.runtime.cli.streams import say
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.people.store import PeopleStore

pty = pytest.importorskip("pty", reason="a terminal of our own needs a system with pseudo-terminals")

SEQUENCES = {
    "window title": "\x1b]0;owned\x07",
    "colour": "\x1b[31mred",
    "clear": "\x1b[2J",
    "clipboard": "\x1b]52;c;aGk=\x07",
    "link": "\x1b]8;;http://x.invalid\x1b\\text\x1b]8;;\x1b\\",
    "8-bit CSI": "\x9b31m",
    "8-bit OSC": "\x9d0;owned\x9c",
    "backspaces": "safe\x08\x08\x08\x08evil",
    "carriage return": "safe\revil",
    "bell": "\x07",
    "right to left": "\u202egnp.exe",
    "isolate": "\u2066hidden\u2069",
    "zero width": "ad\u200bmin",
    "tag characters": "a\U000e0041\U000e0042",
    "line separator": "one\u2028two",
    "delete": "a\x7fb",
}
OBEYED = {chr(c) for c in [*range(0x20), *range(0x7F, 0xA0)]} - set("\r\n\t")
MOVED = set("\u202e\u2066\u2069\u200b\u2028\U000e0041\U000e0042")


def on_a_terminal(*arguments: str, **environment: str) -> str:
    """All that a command writes to a terminal, standard error too."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "copersona.runtime", *arguments]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env={**os.environ, **environment}
    )
    os.close(theirs)
    try:
        return b"".join(_read(ours)).decode("utf-8", "surrogateescape")
    finally:
        os.close(ours)
        process.wait(60)


def _read(descriptor: int) -> Iterator[bytes]:
    try:
        while chunk := os.read(descriptor, 65_536):
            yield chunk
    except OSError:  # how Linux says that the other side was closed
        return


def check(shown: str, *wanted: str) -> None:
    """Nothing of it would be obeyed, and it is the output that was meant."""
    assert not OBEYED & set(shown), shown
    assert not MOVED & set(shown), shown
    for text in wanted:
        assert text in shown, shown


@pytest.fixture
def hostile(tiny_bundle: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A bundle whose facets, and a home whose person and texts, hold every sequence."""
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    facets = json.loads((bundle / "facets.json").read_text(encoding="utf-8"))
    for facet in facets["facets"]:
        facet["definition"] = "said: " + " ".join(SEQUENCES.values())
    (bundle / "facets.json").write_text(json.dumps(facets), encoding="utf-8")
    manifest = open_manifest(bundle)
    (bundle / "manifest.json").unlink()
    roles = {row.path: row.role for row in manifest.files}
    settings = {**manifest.settings, "base": "base " + SEQUENCES["window title"]}
    write_manifest(bundle, roles, manifest.shapes, settings)
    with PeopleStore(tmp_path / "home" / "people.sqlite") as store:
        texts = [f"Good guitar strings, {text} I play them every day." for text in SEQUENCES.values()]
        store.add(Interaction("ann", text, time=float(i)) for i, text in enumerate(texts))
    return bundle, tmp_path / "home"


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (("bundle", "show", "BUNDLE"), ("said: ", "\u241b]0;owned\u2407")),
        (("bundle", "verify", "BUNDLE"), ("whole",)),
        (("people", "show", "BUNDLE", "ann"), ("ann: ",)),
        (("people", "list"), ("ann",)),
        (("people", "show", "BUNDLE", "no\x1b]0;owned\x07body"), ("error: ",)),
        (("doctor", "BUNDLE"), ("ok",)),
        (("ask", "BUNDLE", "Write a review.", "--person", "ann", "--receipt", "--max-tokens", "8"), ("person",)),
        (("bundle", "verify", "/nowhere/\x1b[2J\u202ename"), ("error: ", "\u241b[2J")),
    ],
    ids=lambda value: value[0] + " " + value[1][:12] if isinstance(value, tuple) and len(value) > 1 else "",
)
def test_no_command_has_the_terminal_obey(
    hostile: tuple[Path, Path], arguments: tuple[str, ...], wanted: tuple[str, ...]
) -> None:
    bundle, home = hostile
    asked = [str(bundle) if one == "BUNDLE" else one for one in arguments]
    check(on_a_terminal(*asked, COPERSONA_HOME=str(home)), *wanted)


@pytest.mark.parametrize("name", SEQUENCES)
def test_every_sequence_is_shown_on_a_terminal_and_left_alone_in_a_pipe(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = SEQUENCES[name]
    say(text)
    assert capsys.readouterr().out == f"{text}\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    say(text)
    check(capsys.readouterr().out)
