"""What people, models and files say is shown on a terminal and never obeyed; a pipe gets it as it is."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from copersona.runtime.bundle.verify import open_manifest, write_manifest
from copersona.runtime.cli.streams import say, say_error, say_json, say_json_list
from copersona.runtime.common.progress import note, track

from .sequences import HIDDEN, NAME, NEW_LINE, OBEYED, SEQUENCES

pty = pytest.importorskip("pty", reason="a terminal of our own needs a system with pseudo-terminals")
termios = pytest.importorskip("termios")

ALL = " ".join(text for text in SEQUENCES.values() if "\0" not in text) + " " + NEW_LINE
RAW = os.fsdecode(b"\x9b31m\xe2\x80\xae")  # bytes of a file's name that are no text, and half of them are
PERSON = f"zoe {NAME}"
DRIVER = """
import io, json, sys
from copersona.runtime.cli import main
from copersona.runtime.engine import engine

said = sys.argv[1]
real = engine.Engine.answer
def answer(*arguments, **more):
    for number, piece in enumerate(real(*arguments, **more)):
        yield piece._replace(text=said if number == 0 else piece.text)
engine.Engine.answer = answer
for command in json.loads(sys.argv[2]):
    if command[-1].startswith("<"):  # what it reads
        sys.stdin = io.StringIO(command.pop()[1:])
    try:
        main.main(command, prog_name="copersona")
    except SystemExit as error:
        sys.stderr.flush()
        print(f"<<{error.code}>>", flush=True)
"""
"""Runs commands one after the other, with a model that says what it is told to before anything else."""


def on_a_terminal(commands: Sequence[Sequence[str]], said: str, **environment: str) -> list[tuple[str, int]]:
    """All that each command writes to a terminal, standard error too, and what it ends with."""
    ours, theirs = pty.openpty()
    settings = termios.tcgetattr(theirs)
    settings[1] &= ~termios.OPOST  # so that each byte comes as it was written
    termios.tcsetattr(theirs, termios.TCSANOW, settings)
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, said, json.dumps(commands)], stdin=subprocess.DEVNULL, stdout=theirs,
        stderr=theirs, env={**os.environ, "PYTHONUTF8": "1", **environment},
    )  # fmt: skip
    os.close(theirs)
    try:
        whole = b"".join(_read(ours)).decode("utf-8")
    finally:
        os.close(ours)
        process.wait(60)
    parts = re.split(r"<<(\d+)>>\n", whole)
    assert parts[-1] == "", parts[-1]
    return [(text, int(code)) for text, code in zip(parts[:-1:2], parts[1::2], strict=True)]


def _read(descriptor: int) -> Iterator[bytes]:
    try:
        while chunk := os.read(descriptor, 65_536):
            yield chunk
    except OSError:  # how Linux says that the other side was closed
        return


def check(shown: str, *wanted: str) -> None:
    """Nothing of it would be obeyed or is there unseen, no line is made up, and it is the output that was meant."""
    assert not OBEYED & set(shown), shown
    assert not HIDDEN & set(shown), shown
    assert not [line for line in shown.splitlines() if line.startswith(NEW_LINE.partition("\n")[2])], shown
    for text in wanted:
        assert text in shown, shown


@pytest.fixture
def hostile(random_bundle: Path, tmp_path: Path) -> Path:
    """A bundle in a folder whose name holds sequences."""
    return Path(shutil.copytree(random_bundle, tmp_path / f"bundle {NAME}"))


@pytest.fixture(params=["settings", "facets", "peers"])
def spoilt(request: pytest.FixtureRequest, random_bundle: Path, tmp_path: Path) -> Path:
    """A bundle that holds every sequence in one of its parts, with hashes that are right."""
    bundle = Path(shutil.copytree(random_bundle, tmp_path / "spoilt"))
    manifest = open_manifest(bundle)
    settings = dict(manifest.settings)
    if request.param == "settings":
        settings |= {"base": f"base {ALL}", "encoder": f"encoder {ALL}"}
    elif request.param == "facets":
        facets = json.loads((bundle / "facets.json").read_text(encoding="utf-8"))
        for facet in facets["facets"]:
            facet["definition"] = f"said: {ALL}"
        (bundle / "facets.json").write_text(json.dumps(facets), encoding="utf-8")
    else:
        with closing(sqlite3.connect(bundle / "graph.sqlite")) as graph, graph:
            graph.create_function("spoilt", 1, lambda raw: json.dumps([
                {**facet, "summary": f"peers say {ALL}"} for facet in json.loads(raw)
            ]))  # fmt: skip
            graph.execute("UPDATE peers SET pseudonym = ? || row, profile = spoilt(profile)", (f"peer {NAME}",))
    (bundle / "manifest.json").unlink()
    write_manifest(bundle, {row.path: row.role for row in manifest.files}, manifest.shapes, settings)
    return bundle


def test_a_bundle_that_holds_them_is_refused_in_a_line_that_obeys_none(spoilt: Path, tmp_path: Path) -> None:
    bundle = str(spoilt)
    commands = [["bundle", "show", bundle], ["bundle", "verify", bundle], ["ask", bundle, "x"], ["doctor", bundle]]
    for shown, code in on_a_terminal(commands, "x", COPERSONA_HOME=str(tmp_path / "home"), TERM="dumb"):
        assert code == 1, shown
        check(shown, "FAIL bundle" if "FAIL" in shown else "error: ")


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """A person who wrote all of it, in every field; the second line is none."""
    row = {"person": PERSON, "input": f"asked: {ALL}", "title": f"titled: {ALL}", "item": f"item {ALL}"}
    lines = [json.dumps({**row, "output": f"Good guitar strings, {ALL} I play them every day.", "time": 0.0})]
    lines += [json.dumps({**row, "output": f"{text} They last, I love them.", "time": float(n)})
              for n, text in enumerate(SEQUENCES.values(), 1)]  # fmt: skip
    path = tmp_path / f"texts {NAME}.jsonl"
    path.write_text("\n".join([lines[0], json.dumps({"person": ALL, "output": "x", ALL: 1}), *lines[1:]]))
    return path


def test_promise_terminal_obeys_nothing(hostile: Path, texts: Path, tmp_path: Path) -> None:
    """Every command that shows a word of people, models or files, once, each word with every sequence in it."""
    bundle, home, out, none = str(hostile), tmp_path / "home", tmp_path / f"out {NAME}", f"/nowhere/{ALL}{RAW}"
    requests = tmp_path / "requests.jsonl"
    asked = [{"id": f"id {NAME}", "person": PERSON, "input": f"Write. {ALL}"}, {"id": "2", "person": ALL, "input": "x"}]
    requests.write_text("\n".join(map(json.dumps, asked)))
    quick = ["--max-tokens", "4", "--threads", "1"]
    review = f"Write a review. {ALL}"
    one = ALL.replace("\n", " ")
    some = "".join(f"Write. {one[start : start + 200]}\n" for start in range(0, len(one), 200))
    chatted = f"{some}/list\n/open 1\n/search write\n/open {one}\n/export\n/{one}\n/help\n"
    kept = tmp_path / "kept.json"
    message = {"role": "user", "text": f"said: {ALL}", "time": 1, "state": "whole", "persona": True, "bundle": "",
               "receipt": None}  # fmt: skip
    titled = {"id": "0" * 32, "title": "titled: " + ALL[:150], "created": 1, "changed": 2, "messages": [message]}
    kept.write_text(json.dumps({"format": "copersona-conversations", "version": 1, "conversations": [titled]}))
    rows: list[tuple[tuple[str, ...], int, str]] = [
        (("people", "import", bundle, str(texts)), 1, "error: "),
        (("people", "import", bundle, str(texts), "--skip-bad"), 0, "skipped: "),
        (("people", "import", bundle, str(texts), "--skip-bad", "--json"), 0, '"people": '),
        (("people", "import", bundle, str(texts), "--format", ALL), 1, "error: "),
        (("people", "import", bundle, str(texts), "--enrolled-as", none), 1, "error: "),
        (("people", "list"), 0, "zoe "),
        (("people", "list", "--json"), 0, '"zoe '),
        (("people", "show", bundle, PERSON), 0, "profiled by"),
        (("people", "show", bundle, PERSON, "--json"), 0, '"quotes": '),
        (("people", "show", bundle, f"no{ALL}{RAW}"), 1, "error: "),
        (("bundle", "show", bundle), 0, "population"),
        (("bundle", "show", bundle, "--json"), 0, '"population_id": '),
        (("bundle", "verify", bundle), 0, "whole"),
        (("bundle", "verify", none), 1, "error: /nowhere/\u241b[38;5;213mred"),
        (("bundle", "from", none, "--like", bundle, "--out", str(out)), 1, "error: "),
        (("bundle", "from", str(hostile / "model.gguf"), "--like", bundle, "--out", str(out)), 0, "nothing trained"),
        (("bundle", "assemble", none), 1, "error: "),
        (("bundle", "assemble", bundle, "--base", none), 1, "error: "),
        (("doctor", bundle), 0, "whole"),
        (("doctor", none, "--json"), 1, "/nowhere/\\u001b"),
        (("ask", bundle, review, "--person", PERSON, "--receipt", *quick), 0, "The model says: \u241b"),
        (("ask", bundle, review, "--person", PERSON, "--json", *quick), 0, "The model says: \\u001b"),
        (("ask", bundle, review, "--person", ALL), 1, "error: "),
        (("ask", bundle, "x", "--profile-endpoint", f"http://{ALL}/v1", "--profile-model", ALL), 1, "error: "),
        (("ask", bundle, "x", "--profile-gguf", none), 1, "error: "),
        (("generate", bundle, str(requests), f"{out}.jsonl", *quick), 1, "why"),
        (("generate", bundle, str(requests), f"{out}.jsonl", *quick), 1, "error: "),
        (("generate", bundle, none, f"{out}.jsonl"), 1, "error: "),
        (("generate", bundle, str(requests), f"{none}.jsonl"), 1, "error: "),
        (("demo", "--bundle", bundle, "--once", "--request", review, "--person", "Bex", *quick), 0, "The model says: "),
        (("demo", "--bundle", bundle, "--once", "--person", ALL), 1, "error: "),
        (("demo", "--bundle", none), 1, "error: "),
        (("chat", bundle, "--person", PERSON, *quick, f"<{chatted}"), 1, "going on with: "),
        (("chat", bundle, "--person", PERSON, "--continue", *quick, "</delete\n/open 1\n"), 1, "deleted"),
        (("chat", bundle, "--person", PERSON, "--keep-nothing", *quick, f"<{some}/export\n"), 0, "# Write. "),
        (("chat", bundle, "--person", ALL), 1, "error: "),
        (("chat", none, "--person", PERSON), 1, "error: "),
        (("chat", bundle, *quick, f"<{some}/person {one}\n/export {none}\n/{one}\n"), 1, "with nobody: "),
        (("people", "chats", "import", PERSON, str(kept)), 0, "1 new chats"),
        (("people", "chats", "import", PERSON, str(texts)), 1, "error: "),
        (("people", "chats", "list", PERSON), 0, "titled: "),
        (("people", "chats", "list", PERSON, "--json"), 0, '"title": '),
        (("people", "chats", "list", ALL), 1, "error: "),
        (("people", "chats", "search", PERSON, "said"), 0, "said: "),
        (("people", "chats", "search", PERSON, "said", "--json"), 0, '"piece": '),
        (("people", "chats", "export", PERSON), 0, '"title": '),
        (("people", "chats", "export", PERSON, "--markdown"), 0, "# titled: "),
        (("people", "chats", "export", PERSON, ALL), 1, "error: "),
        (("people", "chats", "delete", PERSON, ALL), 1, "error: "),
        (("people", "chats", "delete", PERSON, "0" * 32), 0, "deleted"),
        (("people", "forget", ALL), 1, "error: "),
        (("people", "forget", PERSON), 0, "forgotten"),
        (("export", "prepare", str(texts), "--out", f"{out}.kept"), 1, "error: "),
        (("export", "prepare", none, "--out", "x"), 2, "does not exist"),
        (("export", "invent", f"{out}.invented", "--people", "3"), 0, "people 3"),
        (("export", "invent", none), 1, "error: "),
        (("export", "unpack", none, "--out", "x"), 1, "error: "),
        ((ALL,), 2, "No such command"),
        ((f"--{ALL}",), 2, "No such option"),
        (("ask", bundle, "x", "--threads", ALL), 2, "Invalid value"),
        (("ask", bundle, "x", ALL), 2, "unexpected extra argument"),
    ]  # fmt: skip
    said = f"The model says: {ALL} "
    done = on_a_terminal([command for command, *_ in rows], said, COPERSONA_HOME=str(home), TERM="dumb")
    for (command, code, wanted), (shown, found) in zip(rows, done, strict=True):
        assert found == code, (command[:2], shown)
        answers = command[0] in ("ask", "demo", "chat") or command[1:3] == ("chats", "export")
        lines = answers and "error: all is lost" in shown and not wanted.startswith("error")  # they may have their own
        check(shown.replace("\nerror: all is lost", "") if lines else shown, wanted)


OWN = re.compile(r"\x1b\[(?:[0-9;]*m|2K|1A|\?25[lh])|\r")
"""What rich itself writes on a terminal: colours, and going back over lines of its own."""


def test_the_demo_in_panels_has_the_terminal_obey_its_own_codes_alone(hostile: Path, tmp_path: Path) -> None:
    asked = ["demo", "--bundle", str(hostile), "--once", "--request", f"Write. {ALL}", "--person", "Bex",
             "--max-tokens", "4", "--threads", "1"]  # fmt: skip
    home = str(tmp_path / "home")
    [(shown, code)] = on_a_terminal([asked], f"The model says: {ALL} ", COPERSONA_HOME=home, TERM="xterm-256color")
    assert code == 0
    assert "\x1b[38;5;213m" not in shown
    assert OWN.search(shown)
    check(OWN.sub("", shown).replace("error: all is lost", ""), "The model says", "\u241b")


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


def test_a_name_in_a_bar_of_progress_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of a person whose many texts are encoded."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    assert list(track(range(3), f"{NAME}{SEQUENCES['window title']}{NEW_LINE}: encoding texts")) == [0, 1, 2]
    note(f"a note of {ALL}")
    check(OWN.sub("", terminal.getvalue()), "a note of", "\u241b")


@pytest.mark.parametrize("name", SEQUENCES)
def test_every_sequence_is_shown_on_a_terminal_and_left_alone_in_a_pipe(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"a {SEQUENCES[name]} b"
    say(text)
    say_json({name: text})
    plain, body = capsys.readouterr().out.rsplit("\n", 2)[:2]
    assert plain == text
    assert json.loads(body) == {name: text}
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    say_json({name: text})
    shown = capsys.readouterr().out
    check(shown)
    assert json.loads(shown) == {name: text}
    say_json_list({name: text} for _ in range(2))
    shown = capsys.readouterr().out
    check(shown)
    assert json.loads(shown) == [{name: text}] * 2
    say(text)
    check(capsys.readouterr().out)


@pytest.mark.parametrize("terminal", [True, False])
def test_an_error_is_one_line_whatever_stands_in_it(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    say_error(f"{NEW_LINE}: no such file")
    assert capsys.readouterr().err == "error: end\u240aerror: all is lost: no such file\n"
