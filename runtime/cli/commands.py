"""What all commands share: the root group, one-line errors, common arguments, opening a bundle and a person."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click

from copersona.runtime.cli.passphrase import open_store
from copersona.runtime.cli.streams import say, say_error, speak_plainly
from copersona.runtime.cli.unserved import say_unserved
from copersona.runtime.common.errors import CoPersonaError, ModelError
from copersona.runtime.common.terminal import in_line, printable
from copersona.runtime.common.threads import MAX_THREADS
from copersona.runtime.prompt.settings import GUARD_MODES, RECALL_MODES, GuardMode, RecallMode

if TYPE_CHECKING:
    from copersona.runtime.people.known import Known
    from copersona.runtime.profile.model_profiler import ModelProfiler
    from copersona.runtime.session.session import Session

P = ParamSpec("P")
T = TypeVar("T")


class Commands(click.Group):
    """The root group: installed packages add commands through the entry point group `copersona.commands`.

    No text that a stream cannot say ends a command with a trace, a wrong call repeats nothing that a terminal would act
    on, and Ctrl-C ends every command with 130.
    """

    def main(self, *args: Any, **kwargs: Any) -> Any:
        speak_plainly()
        return super().main(*args, **kwargs)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with _shown():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _shown():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            say("\nstopped", err=True)
            raise SystemExit(STOPPED) from None

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *(e.name for e in entry_points(group="copersona.commands"))})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        for entry in entry_points(group="copersona.commands", name=cmd_name):
            command: click.Command = entry.load()
            return command
        return None


@contextlib.contextmanager
def _shown() -> Iterator[None]:
    """What click says of a wrong call goes to a terminal by click's own ways, with what was typed in it."""
    try:
        yield
    except click.ClickException as error:
        said = in_line(error.message)
        vars(error)["message"] = printable(said) if sys.stderr.isatty() else said  # click itself prints it
        raise


def foreseen(function: Callable[P, T]) -> Callable[P, T]:
    """Turn foreseen errors into one line on stderr and exit code 1, and a cut pipe into silence."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except CoPersonaError as error:
            say_error(error)
            raise SystemExit(1) from None
        except BrokenPipeError:
            sys.stderr.close()
            raise SystemExit(1) from None
        except OSError as error:
            say_error(f"{error.filename or 'file'}: {error.strerror or error}")
            raise SystemExit(1) from None

    return run


STOPPED = 130  # exit code of a command that Ctrl-C ended, as shells have it

BUNDLE = click.argument("folder", metavar="BUNDLE", type=click.Path(path_type=Path))
THREADS = click.option(
    "--threads",
    type=click.IntRange(1, MAX_THREADS),
    help="Processor threads; default: COPERSONA_THREADS, or the cores that this process may use.",
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


@dataclass(frozen=True, slots=True)
class ProfileBy:
    """The model that the owner wants people profiled by; nothing given is statistics."""

    endpoint: str | None = None
    model: str | None = None
    key_env: str | None = None
    gguf: Path | None = None


def profile_options(function: Callable[..., T]) -> Callable[..., T]:
    """The options of a ProfileBy, handed to the command as `profile_by`."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> T:
        names = ("endpoint", "model", "key_env", "gguf")
        by = ProfileBy(**{name: kwargs.pop(f"profile_{name}") for name in names})
        return function(*args, **kwargs, profile_by=by)

    for option in (
        click.option("--profile-gguf", type=click.Path(path_type=Path), metavar="FILE",
                     help="Profile by a model for chats in a GGUF, on this machine."),
        click.option("--profile-key-env", metavar="VAR", help="Environment variable that holds the endpoint's key."),
        click.option("--profile-model", metavar="NAME", help="Name of the model at the endpoint."),
        click.option("--profile-endpoint", metavar="URL",
                     help="Profile by a model at an OpenAI-compatible address: it RECEIVES the person's texts."),
    ):  # fmt: skip
        run = option(run)
    return run


def recall_option(default: RecallMode) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """When a person is recalled for a request to them."""
    return click.option(
        "--recall",
        type=click.Choice(RECALL_MODES),
        default=default,
        show_default=True,
        help="When the person's texts and facets are used: always, for requests that have to do with how or about what "
        "they write, or never.",
    )


def guard_option(function: Callable[P, T]) -> Callable[P, T]:
    """What the bundle's guard does about answers as a person."""
    return click.option(
        "--guard",
        type=click.Choice(GUARD_MODES),
        default="off",
        show_default=True,
        help="What is done where a persona is about to make an answer wrong: S steers towards facts, H takes the "
        "persona's shift away, M does either, regenerate answers as nobody. The bundle must have a guard.",
    )(function)


def sampling_options(function: Callable[P, T]) -> Callable[P, T]:
    """The options of a Sampling."""

    for option in (
        click.option("--seed", default=0, show_default=True, help="Same seed, same answer."),
        click.option("--max-tokens", default=256, show_default=True, help="Longest answer, in tokens."),
        click.option("--top-p", default=0.95, show_default=True, help="Nucleus sampling."),
        click.option("--temperature", default=0.8, show_default=True, help="0 takes the likeliest token each time."),
        THREADS,
    ):  # fmt: skip
        function = option(function)
    return function


def open_session(
    folder: Path,
    threads: int | None = None,
    profile_by: ProfileBy | None = None,
    context: Mapping[str, Any] | None = None,
    *,
    sequences: int = 1,
    disk: int | None = None,
    guard: GuardMode = "off",
) -> Session:
    """The opened bundle, with changes of its context settings; answers `sequences` requests at once, and keeps up to
    `disk` MB of what prompts begin with (None: the default). `guard` is how answers are guarded."""
    from copersona.runtime.session.prefix_cache import MB, CacheLimits
    from copersona.runtime.session.session import open_bundle

    return open_bundle(
        folder,
        threads=threads,
        context=context,
        profiler=_profiler(profile_by or ProfileBy()),
        sequences=sequences,
        cache=CacheLimits() if disk is None else CacheLimits(disk=disk * MB),
        guard=guard,
    )


def _profiler(by: ProfileBy) -> ModelProfiler | None:
    if by == ProfileBy():
        return None
    if bool(by.endpoint) == bool(by.gguf) or bool(by.endpoint) != bool(by.model):
        raise ModelError("profiles by a model need --profile-endpoint URL --profile-model NAME, or --profile-gguf FILE")
    from copersona.runtime.chat.ledger import Ledger, Memory
    from copersona.runtime.chat.local_model import LocalModel
    from copersona.runtime.profile.model_profiler import ModelProfiler

    if by.gguf is not None:
        return ModelProfiler(Ledger(LocalModel(by.gguf), Memory()))
    from copersona.runtime.chat.endpoint import Endpoint  # here: only who asks someone needs HTTP

    return ModelProfiler(Ledger(Endpoint(by.endpoint or "", by.model or "", key_env=by.key_env), Memory()))


def known_person(session: Session, person: str) -> Known:
    """The persona of a person of the store."""
    with open_store() as store:
        known = session.person(store, person)
    say_unserved_person(session, known, person)
    return known


def say_unserved_person(session: Session, known: Known, person: str) -> None:
    """The lines of `say_unserved` for one person, who is profiled by statistics."""
    if not known.persona.profile.by:
        script, code = session.personas.unserved(known.history), session.personas.foreign(known.history)
        say_unserved(session, {person: script} if script else {}, {person: code} if code else {})
