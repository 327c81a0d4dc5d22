"""What all commands share: the root group, one-line errors, common arguments, opening a bundle and a person."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click

from copersona.runtime.errors import CoPersonaError

if TYPE_CHECKING:
    from copersona.runtime.session import Known, Session

P = ParamSpec("P")
T = TypeVar("T")


class Commands(click.Group):
    """The root group: installed packages add commands through the entry point group `copersona.commands`."""

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


def foreseen(function: Callable[P, T]) -> Callable[P, T]:
    """Turn foreseen errors into one line on stderr and exit code 1, and a cut pipe into silence."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except CoPersonaError as error:
            click.echo(f"error: {error}", err=True)
            raise SystemExit(1) from None
        except BrokenPipeError:
            sys.stderr.close()
            raise SystemExit(1) from None
        except OSError as error:
            click.echo(f"error: {error.filename or 'file'}: {error.strerror or error}", err=True)
            raise SystemExit(1) from None

    return run


BUNDLE = click.argument("folder", metavar="BUNDLE", type=click.Path(path_type=Path))
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def open_session(folder: Path, threads: int | None = None, context: Mapping[str, Any] | None = None) -> Session:
    """The opened bundle, with changes of its context settings."""
    from copersona.runtime.session import open_bundle

    return open_bundle(folder, threads=threads, context=context)


def known_person(session: Session, person: str, *, answering: bool = False) -> Known:
    """The persona of a person of the store; `answering` as them, also what their prompts will need."""
    from copersona.runtime.people import PeopleStore

    with PeopleStore() as store:
        history = store.history(person)
        known = session.know(history, pseudonym=store.peer_of(session.manifest.bundle_id, person))
        if answering:
            session.recall(store, known)
    return known
