"""`copersona serve`: a persona behind the API that every tool speaks, on this machine."""

from __future__ import annotations

import sys
import webbrowser
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from copersona.runtime.cli.commands import (
    THREADS,
    ProfileBy,
    foreseen,
    guard_option,
    open_session,
    profile_options,
    recall_option,
)
from copersona.runtime.cli.context_options import context_options
from copersona.runtime.cli.passphrase import open_store
from copersona.runtime.cli.streams import say
from copersona.runtime.common.errors import ModelError

if TYPE_CHECKING:
    from copersona.runtime.prompt.settings import GuardMode, RecallMode
    from copersona.runtime.serve.listen import Address
    from copersona.runtime.session.session import Session


@click.command()
@click.argument("folder", metavar="[BUNDLE | MODEL.gguf]", type=click.Path(path_type=Path), required=False)
@click.option("--port", default=8321, show_default=True, type=click.IntRange(0, 65535), help="0: any that is free.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--listen-beyond-this-machine",
    "beyond",
    is_flag=True,
    help="Allow a --host that other machines reach. Texts and token then travel unencrypted.",
)
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="HOST",
    help="What this machine is called by others, with a --host beyond it; repeatable.",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A file with the token, for you alone (0600); default: one of its own, made at the first start.",
)
@click.option(
    "--like",
    type=click.Path(path_type=Path),
    metavar="BUNDLE",
    help="Whose population a GGUF gets.  [default: the demo's]",
)
@click.option("--open", "opens", is_flag=True, help="Open the page in your browser when all is loaded.")
@recall_option("relevant")
@guard_option
@click.option("--batch", default=4, show_default=True, type=click.IntRange(1, 64), help="Answers made at once.")
@click.option("--queue", default=32, show_default=True, type=click.IntRange(1, 1024), help="Requests that may wait.")
@THREADS
@profile_options
@context_options(default="as trained")
@foreseen
def serve(
    folder: Path | None,
    port: int,
    host: str,
    beyond: bool,
    names: tuple[str, ...],
    token_file: Path | None,
    like: Path | None,
    opens: bool,
    recall: RecallMode,
    guard: GuardMode,
    batch: int,
    queue: int,
    threads: int | None,
    profile_by: ProfileBy,
    context: dict[str, Any],
) -> None:
    """Answer as the people of this device: on a page, and behind the API of OpenAI; on this machine alone.

    Without BUNDLE the demo's is served; of MODEL.gguf a bundle without training is made once.

    \b
    copersona serve --open               the page, in your browser
    copersona serve                      then, in a client: the URL and the token that it prints
    model copersona:ana                  answer as ana; copersona-plain: as nobody
    """  # fmt: skip
    if missing := [name for name in ("starlette", "uvicorn") if find_spec(name) is None]:
        raise ModelError(f"{' and '.join(missing)} are not installed; run: pip install 'copersona[serve]'")
    from copersona.runtime.serve.listen import Address

    address = Address(host, port, beyond, names)

    def open_served() -> Session:
        from copersona.runtime.demo.data import demo_bundle
        from copersona.runtime.serve.served_bundle import served_bundle

        chosen = served_bundle(folder, lambda: demo_bundle(None if folder is None else like))
        return open_session(chosen, threads, profile_by, context, sequences=batch, guard=guard)

    run(open_served, address, token_file, queue, recall, opens=opens)


def run(
    open_served: Callable[[], Session],
    address: Address,
    token_file: Path | None,
    queue: int,
    recall: RecallMode = "relevant",
    *,
    opens: bool = False,
) -> None:
    """Serve until a signal says to stop, and say where and with which token."""
    from copersona.runtime.serve.key import read_token, token_path
    from copersona.runtime.serve.listen import Serving
    from copersona.runtime.serve.worker import Worker

    path = token_path() if token_file is None else token_file
    token = read_token(path, make=token_file is None)

    def ready() -> None:
        say("ready", err=True)
        if opens:
            open_page(page)

    with open_store(busy_seconds=2.0) as store:  # here: a sealed one asks for its passphrase
        serving = Serving(Worker(open_served, lambda: store, most_waiting=queue), address, token, ready, recall=recall)
        host = "127.0.0.1" if address.host == "localhost" else address.host
        site = f"http://{f'[{host}]' if ':' in host else host}:{serving.port}"
        page = f"{site}/#token={quote(token, safe='')}"
        say(f"{site}/v1  loading; Ctrl-C stops", err=True)
        secret = f"token: {token}\npage: {page}" if sys.stderr.isatty() else f"token: in {path}"  # not into a log
        say(secret, err=True)
        serving.run()
    say("stopped", err=True)


def open_page(address: str) -> None:
    """Open the page in the browser. Its address holds the token, so it goes by a file that only this user can read,
    for every user of this machine sees what a browser is started with."""
    from copersona.runtime.common.files import write_whole
    from copersona.runtime.common.places import create_private, data_home

    path = data_home() / "open-page.html"
    create_private(path)
    write_whole(path, [f'<!doctype html><meta http-equiv="refresh" content="0; url={address}">\n'.encode()], 0o600)
    if not webbrowser.open(path.as_uri()):
        say(f"no browser could be started; open {path}", err=True)
