"""`copersona demo`: one request, answered as several invented people and as nobody, and why; then yours."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from copersona.runtime.cli.commands import AS_JSON, THREADS, foreseen, open_session
from copersona.runtime.cli.streams import say, say_json
from copersona.runtime.common.errors import CoPersonaError
from copersona.runtime.common.terminal import in_line, printable

if TYPE_CHECKING:
    from copersona.runtime.demo.data import Demo
    from copersona.runtime.demo.screen import Screen
    from copersona.runtime.engine.engine import Sampling

HELP = (
    "  any text            ask it of everyone who is chosen (\\n is a line end)",
    "  /review WORDS       ask for a review of something, such as: /review bass strings",
    "  /as NAME            answer as one person; /as everyone, /as nobody, /as you",
    "  /add TEXT           let the chosen person (or you) have written this, and see their persona move",
    "  /latest N           know people by their latest N texts only, and see what peers lend; /latest all",
    "  /people  /help  /quit (or Ctrl-D)",
)


@click.command()
@click.option("--bundle", "folder", type=click.Path(path_type=Path), metavar="DIR", help="Another bundle.")
@click.option("--request", help="What to ask; \\n is a line end.")
@click.option("--person", "names", multiple=True, metavar="NAME", help="Only this person, beside nobody; repeatable.")
@click.option("--latest", type=click.IntRange(1), metavar="N", help="Know everyone by their latest N texts only.")
@click.option("--once", is_flag=True, help="Answer once and leave.")
@click.option("--seed", default=0, show_default=True, help="Same seed, same answers.")
@click.option("--max-tokens", default=96, show_default=True, help="Longest answer.")
@THREADS
@AS_JSON
@foreseen
def demo(
    folder: Path | None,
    request: str | None,
    names: tuple[str, ...],
    latest: int | None,
    once: bool,
    seed: int,
    max_tokens: int,
    threads: int | None,
    as_json: bool,
) -> None:
    """See what a persona does: one request, answered as invented people and as nobody, with why.

    Then ask what you like, as whom you like, and add a text of your own. The people are invented; they and what you
    add live in a scratch folder that is gone when you leave. Your own people are not touched.
    """
    from copersona.runtime.demo.data import REQUEST, Demo, demo_bundle
    from copersona.runtime.demo.screen import make_screen
    from copersona.runtime.engine.engine import Sampling

    sampling = Sampling(max_tokens=max_tokens, seed=seed)
    request = REQUEST if request is None else lines_of(request)
    with _leaving(), open_session(demo_bundle(folder), threads) as session, Demo(session, latest=latest) as shown:
        chosen: list[str | None] = [*map(shown.find, names)] if names else [*shown.people]
        chosen.append(None)
        if as_json:
            print_json(shown, request, chosen, sampling)
            return
        stage = Stage(shown, make_screen(), sampling, chosen)
        stage.open(request)
        if not once:
            stage.talk()


def lines_of(text: str) -> str:
    """A request as typed: `\\n` is a line end."""
    return text.replace("\\n", "\n")


def print_json(demo: Demo, request: str, chosen: list[str | None], sampling: Sampling) -> None:
    """All answers as one JSON object."""
    answers = []
    for person in chosen:
        answer = demo.answer(request, person, sampling).finish()
        answers.append({"person": person, "answer": answer.text, "receipt": json.loads(answer.receipt.to_json())})
    say_json({"request": request, "answers": answers})


class Stage:
    """The demo as a conversation: who is chosen, what was asked last."""

    def __init__(self, demo: Demo, screen: Screen, sampling: Sampling, chosen: list[str | None]) -> None:
        self._demo, self._screen, self._sampling = demo, screen, sampling
        self._chosen = self._everyone = chosen
        self._commands: dict[str, Callable[[str], None]] = {
            "/as": self._as,
            "/add": self._add,
            "/review": self._review,
            "/latest": self._latest,
            "/people": lambda _: self._people(),
            "/help": lambda _: self._screen.say(*HELP),
        }

    def open(self, request: str) -> None:
        """The first request, to everyone. KeyboardInterrupt passes."""
        from copersona.runtime.demo.screen import LEGEND

        self._people()
        self._ask(request)
        self._screen.say("", *LEGEND)

    def talk(self) -> None:
        """Requests and commands from standard input until its end, /quit, or Ctrl-C at the prompt."""
        self._screen.say("", "Now you:", *HELP)
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401 - line editing at the prompt
        while (line := self._read()) is not None:
            try:
                self._do(line)
            except KeyboardInterrupt:
                self._screen.say("", "stopped; Ctrl-C again leaves")
            except CoPersonaError as error:
                self._screen.say(f"error: {in_line(error)}")
        self._screen.say("", "Bye. What you added goes with the scratch store.")

    def _read(self) -> str | None:
        try:
            line = input(f"{printable(in_line(self._who()))}> ").strip()
        except (EOFError, KeyboardInterrupt):
            return None
        if not sys.stdin.isatty():
            self._screen.say(line)
        return None if line in ("/quit", "/exit", "/q") else line

    def _who(self) -> str:
        if self._chosen is self._everyone:
            return "everyone"
        return self._chosen[0] or "nobody"

    def _do(self, line: str) -> None:
        command, _, rest = line.partition(" ")
        if command in self._commands:
            self._commands[command](rest.strip())
        elif line.startswith("/"):
            self._screen.say(f"{command} is no command", *HELP)
        elif line:
            self._ask(lines_of(line))

    def _ask(self, request: str) -> None:
        self._screen.request(request)
        for person in self._chosen:
            answer = self._demo.answer(request, person, self._sampling)
            if answer.request_cut and person == self._chosen[0]:
                self._screen.say(f"  {answer.request_cut:,} tokens of its middle do not fit and are left out")
            self._screen.stream(person, iter(answer))
            self._screen.shown(self._demo.shown(answer))

    def _people(self) -> None:
        from copersona.runtime.demo.screen import counted

        for person in self._demo.people:
            note = "invented" if person in self._demo.invented else "at the keyboard"
            history = self._demo.history(person)
            words = sum(len(one.output.split()) for one in history)
            self._screen.say(f"{in_line(person)} ({note}): {counted(len(history))}, {words} words")
        self._screen.say("nobody: no text, the learned state of no persona")

    def _as(self, name: str) -> None:
        if name.casefold() in ("everyone", "all", ""):
            self._chosen = self._everyone
        elif name.casefold() == "nobody":
            self._chosen = [None]
        else:
            self._chosen = [self._demo.find(name)]

    def _add(self, text: str) -> None:
        from copersona.runtime.demo.data import YOU

        person = YOU if self._chosen is self._everyone else self._chosen[0] or YOU
        self._screen.move(self._demo.add(person, lines_of(text)))
        if person not in self._everyone:
            self._everyone.insert(-1, person)

    def _review(self, words: str) -> None:
        from copersona.runtime.history.interactions import render_input

        self._ask(render_input(item=words or None))

    def _latest(self, number: str) -> None:
        if number.isdecimal() and int(number) > 0:
            self._demo.latest = int(number)
        elif number in ("all", ""):
            self._demo.latest = None
        else:
            self._screen.say(f"{number}: expected a number from 1, or all")
            return
        self._people()


@contextlib.contextmanager
def _leaving() -> Iterator[None]:
    """Ctrl-C ends with 130 and without a trace; a kill or a closed terminal takes the scratch store along."""

    def leave(number: int, _: object) -> NoReturn:
        raise SystemExit(128 + number)

    before = {}
    for name in ("SIGTERM", "SIGHUP"):
        if (number := getattr(signal, name, None)) is not None:
            with contextlib.suppress(ValueError):  # not in the main thread
                before[number] = signal.signal(number, leave)
    try:
        yield
    except KeyboardInterrupt:
        say("\nstopped", err=True)
        sys.exit(130)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
