"""`copersona chat`: a conversation at the terminal, or one turn a line through a pipe."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from copersona.runtime.cli.commands import (
    ProfileBy,
    foreseen,
    guard_option,
    open_session,
    profile_options,
    sampling_options,
    say_unserved_person,
)
from copersona.runtime.cli.context_options import context_options
from copersona.runtime.cli.passphrase import open_store
from copersona.runtime.cli.request import check_request
from copersona.runtime.cli.streams import say, say_error
from copersona.runtime.common.errors import CoPersonaError, PersonError
from copersona.runtime.common.terminal import in_line, printable

if TYPE_CHECKING:
    from copersona.runtime.cli.chat_lines import ChatLines
    from copersona.runtime.prompt.settings import GuardMode
    from copersona.runtime.session.chatting import Chats


@click.command()
@click.argument("folder", metavar="[BUNDLE | MODEL.gguf]", type=click.Path(path_type=Path), required=False)
@click.option("--person", help="Whose chat it is: a name in the people store. Without it nobody's, which is not kept.")
@click.option("--continue", "go_on", is_flag=True, help="Go on with the person's chat that was last changed.")
@click.option("--keep-nothing", is_flag=True, help="Keep nothing of this chat on the disk.")
@guard_option
@sampling_options
@profile_options
@context_options(default="as trained")
@foreseen
def chat(
    folder: Path | None,
    person: str | None,
    go_on: bool,
    keep_nothing: bool,
    guard: GuardMode,
    threads: int | None,
    temperature: float,
    top_p: float,
    max_tokens: int,
    seed: int,
    profile_by: ProfileBy,
    context: dict[str, Any],
) -> None:
    """Talk with the model as a person would be answered, turn by turn, streaming; without BUNDLE with the demo's.

    Chats are kept in the people store with the person, are requests and never count as what the person wrote, and go
    when the person is forgotten. Ctrl-C stops an answer, Ctrl-D or /quit ends the chat; /help lists what else there is.
    Through a pipe each line is a turn.

    \b
    copersona chat BUNDLE --person ana
    copersona chat BUNDLE --person ana --continue
    """
    from copersona.runtime.demo.data import demo_bundle
    from copersona.runtime.engine.sampling import Sampling
    from copersona.runtime.serve.served_bundle import served_bundle
    from copersona.runtime.session.chatting import Chats

    if go_on and person is None:
        raise PersonError("--continue needs --person: nobody's chats are not kept")
    sampling = Sampling(temperature, top_p, max_tokens, seed)
    chosen = served_bundle(folder, lambda: demo_bundle(None))
    with open_store() as store, open_session(chosen, threads, profile_by, context, guard=guard) as session:
        name = None if person is None else store.find(person)
        if not _talk(Chats(session, store, sampling, name, keep=not keep_nothing), go_on=go_on):
            raise SystemExit(1)


def _talk(chats: Chats, *, go_on: bool) -> bool:
    """What is said before the first turn, and all turns; whether they went well."""
    from copersona.runtime.cli.chat_lines import ChatLines

    chats.store.end_left_turns()
    lines = ChatLines(chats)
    lines.say_what_is_kept()
    if go_on:
        lines.open_latest()
    known = chats.known()
    if known is not None and known.name is not None:
        say_unserved_person(chats.session, known, known.name)
    return _run(chats, lines)


def _run(chats: Chats, lines: ChatLines) -> bool:
    """Turn by turn; whether all of them went well, which counts only where nobody sees it at a terminal."""
    well, typed = True, sys.stdin.isatty()
    for line in _typed(lambda: _prompt(chats)) if typed else _piped():
        try:
            if not line.strip():
                continue
            if line.startswith("/") and not line.startswith("//"):
                if not lines.run(line):
                    break
                continue
            _answer(chats, check_request(line.removeprefix("/") if line.startswith("//") else line))
        except CoPersonaError as error:
            say_error(error)
            well = False
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                raise
            say_error(f"{error.filename or 'file'}: {error.strerror or error}")
            well = False
    return well or typed


def _answer(chats: Chats, said: str) -> None:
    """One answer to standard output; Ctrl-C stops it."""
    before = chats.left_out
    with _stoppable() as stopped, contextlib.closing(chats.answer(said)) as pieces:
        for piece in pieces:
            say(piece, nl=False)
            sys.stdout.flush()
            if stopped():
                break
        say()
    if stopped():
        say("stopped; Ctrl-D or /quit ends the chat", err=True)
    if chats.left_out > before:
        say(f"note: the {chats.left_out:,} oldest messages do not fit any more and were left out", err=True)


@contextlib.contextmanager
def _stoppable() -> Iterator[Callable[[], bool]]:
    """Ctrl-C sets what is given, between two tokens and not in the middle of one; the second one ends the command."""
    count = 0

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        if count > 1:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield lambda: count > 0
    finally:
        signal.signal(signal.SIGINT, before)


def _prompt(chats: Chats) -> str:
    who = "nobody" if chats.person is None or not chats.persona else chats.person
    return f"{in_line(who)}> "


def _typed(prompt: Callable[[], str]) -> Iterator[str]:
    """Lines from a terminal, edited by readline where there is one; it writes no file of them."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - `input` uses it once it is there
    while True:
        try:
            shown = prompt()
            if not sys.stdout.isatty():  # answers alone go there
                say(shown, err=True, nl=False)
                shown = ""
            yield input(printable(shown))
        except EOFError:
            say(err=True)
            return
        except KeyboardInterrupt:
            say("\nCtrl-D or /quit ends the chat", err=True)


def _piped() -> Iterator[str]:
    for line in sys.stdin:
        yield line.removesuffix("\n")
