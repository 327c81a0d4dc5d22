"""`copersona chat` and `people chats`: turns through a pipe and at a terminal, kept as it says, and no otherwise."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from copersona.runtime.chat.ask import Message
from copersona.runtime.cli.chat import _stoppable
from copersona.runtime.cli.main import main
from copersona.runtime.engine.sampling import Sampling
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.people.conversations import KeptMessage
from copersona.runtime.people.store import PeopleStore
from copersona.runtime.session.conversing import converse
from copersona.runtime.session.session import open_bundle

from .conftest import fails, works

QUICK = ("--max-tokens", "6", "--threads", "1")


@pytest.fixture(autouse=True)
def people(home: Path) -> None:
    with PeopleStore(home / "people.sqlite") as store:
        for who in ("ana", "bo"):
            store.add(Interaction(who, f"{who} likes bright strings, no. {n}!", time=float(n)) for n in range(3))


def chat(bundle: Path, said: str, *arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["chat", str(bundle), *arguments, *QUICK], input=said)
    assert result.exit_code == code, result.output
    return result


def kept(home: Path, person: str = "ana") -> list[list[KeptMessage]]:
    """The messages of each of a person's chats, the last changed first."""
    with PeopleStore(home / "people.sqlite") as store:
        return [list(store.conversation(person, one.id)[1]) for one in store.conversations(person)]


def test_each_line_of_a_pipe_is_a_turn_answered_as_the_library_answers_it(tiny_bundle: Path, home: Path) -> None:
    said = chat(tiny_bundle, "My dog is called Rex.\n\n  \nWhat is he called?\n", "--person", "ana")
    (messages,) = kept(home)
    assert [(one.role, one.state) for one in messages] == [("user", "whole"), ("assistant", "whole")] * 2
    assert said.stdout == f"{messages[1].text}\n{messages[3].text}\n"
    with open_bundle(tiny_bundle, threads=1) as session, PeopleStore(home / "people.sqlite") as store:
        turns = [Message(one.role, one.text) for one in messages[:3]]
        turned = converse(session, turns, session.person(store, "ana"), Sampling(0.8, 0.95, 6, 0))
        wanted = turned.wanted
        pieces = session.engine.generate(wanted.soft, wanted.tokens, wanted.sampling, prefix=wanted.prefix)
        assert "".join(piece.text for piece in pieces) == messages[3].text
        assert messages[3].bundle == session.manifest.bundle_id
    receipt = json.loads(messages[3].receipt or "")
    assert (receipt["request"], receipt["person"]) == ("What is he called?", "ana")
    assert receipt["pieces"] > 0


def test_the_first_line_says_what_is_kept_and_nothing_else_is(tiny_bundle: Path, home: Path) -> None:
    first = chat(tiny_bundle, "", "--person", "ana").stderr.splitlines()[0]
    assert first.startswith(f"kept with ana in {home / 'people.sqlite'}; /delete erases this chat")
    said = chat(tiny_bundle, "A canary.\n", "--person", "ana", "--keep-nothing")
    assert said.stderr.splitlines()[0].startswith("nothing of this chat is kept")
    assert said.stdout != ""
    said = chat(tiny_bundle, "A canary.\n")
    assert said.stderr.splitlines()[0].startswith("with nobody: nothing of this chat is kept")
    assert kept(home) == []
    assert not [path for path in home.rglob("*") if path.is_file() and b"canary" in path.read_bytes()]


def test_the_last_chat_is_gone_on_with(tiny_bundle: Path, home: Path) -> None:
    chat(tiny_bundle, "one\n/new\ntwo\n", "--person", "ana")
    said = chat(tiny_bundle, "three\n", "--person", "ana", "--continue")
    assert "going on with: two (2 messages)" in said.stderr
    assert [[one.text for one in messages if one.role == "user"] for messages in kept(home)] == [
        ["two", "three"],
        ["one"],
    ]
    assert chat(tiny_bundle, "", "--person", "bo", "--continue").stdout == ""  # none yet: a new one
    assert "needs --person" in fails("chat", tiny_bundle, "--continue")


def test_chats_are_listed_opened_searched_exported_and_deleted(tiny_bundle: Path, home: Path, tmp_path: Path) -> None:
    chat(tiny_bundle, "a heron\n/new\na goose\n", "--person", "ana")
    lines = "/list\n/open 2\nmore\n/search HERON\n/delete 1\n/list\n"
    said = chat(tiny_bundle, lines, "--person", "ana").stderr.splitlines()
    assert [line.split()[-2:] for line in said[1:3]] == [["a", "goose"], ["a", "heron"]]
    assert said[-1].endswith("a goose")
    assert b"heron" not in (home / "people.sqlite").read_bytes()
    assert len(kept(home)) == 1
    out = tmp_path / "chat.json"
    lines = f"/export\n/export {out}\n/export {out}\n/delete\n/export\n"
    said = chat(tiny_bundle, lines, "--person", "ana", "--continue", code=1)
    assert said.stdout.startswith("# a goose\n")
    assert said.stderr.count("error: ") == 2  # it is there already; nothing was said
    assert out.stat().st_mode & 0o777 == 0o600
    assert kept(home) == []
    assert works("people", "chats", "import", "bo", out) == "bo: 1 new chats, 0 known already\n"
    assert kept(home, "bo")[0][0].text == "a goose"


def test_answers_as_nobody_of_another_person_and_what_is_kept_after_all(tiny_bundle: Path, home: Path) -> None:
    chat(tiny_bundle, "a\n/nobody\na\n/person\na\n/person bo\nb\n/keep nothing\nx\n/keep\n", "--person", "ana")
    assert [one.persona for one in kept(home)[0]] == [True, True, False, False, True, True]
    assert [[one.text for one in messages[::2]] for messages in kept(home, "bo")] == [["x"], ["b"]]
    refused = chat(tiny_bundle, "/person eve\n/list\n/keep\n/open 1\n/search a\n/what\n", code=1).stderr
    assert refused.count("error: ") == 6
    assert "nobody here is called 'eve'" in refused
    assert "/what is nothing that is known here" in refused


def test_a_turn_that_cannot_be_answered_is_one_line_and_no_part_of_the_chat(tiny_bundle: Path, home: Path) -> None:
    said = chat(tiny_bundle, f"{'word ' * 3_000}\nHello.\n//new\n", "--person", "ana", code=1)
    assert said.stderr.count("error: ") == 1
    assert "more than fit behind the persona" in said.stderr
    assert [one.text for one in kept(home)[0][::2]] == ["Hello.", "/new"]


def test_the_oldest_turns_leave_and_it_is_said(tiny_bundle: Path, home: Path) -> None:
    said = chat(tiny_bundle, "".join(f"{n} {'word ' * 60}\n" for n in range(12)), "--person", "ana")
    assert "oldest messages do not fit any more" in said.stderr
    assert len(kept(home)[0]) == 24


def test_who_and_what_is_not_there_is_refused_before_the_model_is_loaded(tiny_bundle: Path, tmp_path: Path) -> None:
    assert "nobody here is called 'eve'" in fails("chat", tiny_bundle, "--person", "eve")
    assert "expected a bundle" in fails("chat", tmp_path / "none", "--person", "ana")


def test_people_chats_do_the_same_without_a_model(tiny_bundle: Path, home: Path, tmp_path: Path) -> None:
    chat(tiny_bundle, "a heron\n/new\na goose\n", "--person", "ana")
    rows = json.loads(works("people", "chats", "list", "ana", "--json"))
    assert [row["title"] for row in rows] == ["a goose", "a heron"]
    assert works("people", "chats", "list", "ana", "--limit", "1", "--before", rows[0]["id"]).endswith("a heron\n")
    assert works("people", "chats", "search", "ana", "HERON", "a") == f"{rows[1]['id']}  a heron: a heron\n"
    assert json.loads(works("people", "chats", "search", "bo", "heron", "--json")) == []
    whole = works("people", "chats", "export", "ana")
    assert works("people", "chats", "export", "ana", rows[1]["id"], "--markdown").startswith("# a heron\n")
    assert json.loads(works("people", "chats", "delete", "ana", rows[0]["id"], "--json"))["pending"] == ""
    assert b"goose" not in (home / "people.sqlite").read_bytes()
    (tmp_path / "all.json").write_text(whole, encoding="utf-8")
    done = json.loads(works("people", "chats", "import", "ana", tmp_path / "all.json", "--json"))
    assert (done["new"], done["known"]) == (1, 1)
    assert works("people", "chats", "export", "ana") == whole
    for wrong in (("delete", "bo", rows[0]["id"]), ("export", "bo", rows[0]["id"]), ("list", "eve"),
                  ("import", "ana", tmp_path / "none"), ("list", "ana", "--before", "x")):  # fmt: skip
        fails("people", "chats", *wrong)


# -- at a terminal ----------------------------------------------------------------------------------------------------

DRIVER = """
import sys, time
from copersona.runtime.cli import main
from copersona.runtime.engine import engine

real = engine.Engine.answer
def answer(*arguments, **more):
    piece = next(iter(real(*arguments, **more)))
    for number in range(400):
        time.sleep(0.02)
        yield piece._replace(text=f"w{number} ")
engine.Engine.answer = answer
main.main(sys.argv[1:], prog_name="copersona")
"""
"""The command with a model that talks for eight seconds."""


class Typist:
    """A process at a terminal of its own."""

    def __init__(self, arguments: list[str], home: Path) -> None:
        pty = pytest.importorskip("pty", reason="a terminal of our own needs a system with pseudo-terminals")
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            signal.signal(
                signal.SIGINT, signal.SIG_DFL
            )  # what runs in the background ignores it, and so do its children
            environment = {**os.environ, "COPERSONA_HOME": str(home), "HOME": str(home), "TERM": "dumb"}
            os.execve(sys.executable, [sys.executable, "-c", DRIVER, *arguments], environment)
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self.terminal, text.encode())

    def until(self, text: str) -> str:
        """All until a text, which is taken away."""
        end = time.monotonic() + 60
        while text not in self.seen:
            assert time.monotonic() < end, self.seen
            if not select.select([self.terminal], [], [], 1.0)[0]:
                continue
            try:
                self.seen += os.read(self.terminal, 65_536).decode()
            except OSError:
                raise AssertionError(self.seen) from None
        before, _, self.seen = self.seen.partition(text)
        return before

    def end(self) -> int:
        with contextlib.suppress(OSError):  # how Linux says that the other side was closed
            while os.read(self.terminal, 65_536):
                pass
        os.close(self.terminal)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_ctrl_c_stops_the_answer_and_not_the_chat(tiny_bundle: Path, home: Path) -> None:
    before = {path.name for path in home.iterdir()}
    typist = Typist(["chat", str(tiny_bundle), "--person", "ana", *QUICK], home)
    typist.until("ana> ")
    typist.type("Tell me all.\r")
    typist.until("w3 ")
    typist.type("\x03")
    said = typist.until("stopped; Ctrl-D or /quit ends the chat")
    assert "w399" not in said
    typist.until("ana> ")
    typist.type("half a li")
    typist.until("half a li")
    time.sleep(0.3)  # Python's readline misses a signal that comes while it handles a key, until the next key
    typist.type("\x03")
    typist.until("ends the chat")
    typist.until("ana> ")
    typist.type("/list\r")
    assert "2 messages  Tell me all." in typist.until("ana> ")
    typist.type("\x04")
    assert typist.end() == 0
    (messages,) = kept(home)
    assert [(one.text[:9], one.state) for one in messages] == [("Tell me a", "whole"), ("w0 w1 w2 ", "stopped")]
    made = {path.name for path in home.iterdir()} - before
    assert made <= {"people.prefixes", "checked.json", "loads"}  # and no history of what was typed


def test_a_second_ctrl_c_in_one_answer_ends_the_command() -> None:
    before = signal.getsignal(signal.SIGINT)
    with _stoppable() as stopped:
        assert not stopped()
        signal.raise_signal(signal.SIGINT)
        assert stopped()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
