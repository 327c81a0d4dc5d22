"""`copersona people chats`: kept chats without a model: listed, searched, exported, imported, deleted."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import click

from copersona.runtime.cli.commands import AS_JSON, foreseen
from copersona.runtime.cli.passphrase import open_store
from copersona.runtime.cli.streams import say, say_json
from copersona.runtime.common.terminal import in_line, one_line

SHOWN = 50  # of a list on a terminal

LIMIT = click.option("--limit", type=click.IntRange(min=1), metavar="N", help=f"So many; {SHOWN} on a terminal.")


@click.group("chats")
def people_chats() -> None:
    """What people asked in `copersona chat` and in clients of `copersona serve` that name a conversation.

    Chats are requests: they never count as what a person wrote, and go with the person.
    """


@people_chats.command("list")
@click.argument("person")
@LIMIT
@click.option("--before", metavar="ID", help="Those that come after this one in the list.")
@AS_JSON
@foreseen
def chats_list(person: str, limit: int | None, before: str | None, as_json: bool) -> None:
    """A person's chats, the one that was last changed first."""
    with open_store() as store:
        found = store.conversations(person, before=before, limit=_limit(limit, as_json))
    if as_json:
        say_json([asdict(one) for one in found])
        return
    for one in found:
        day = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.changed))
        say(f"{one.id}  {day}  {one.messages:>5}  {in_line(one.title)}")


@people_chats.command("search")
@click.argument("person")
@click.argument("words", nargs=-1, required=True)
@LIMIT
@AS_JSON
@foreseen
def chats_search(person: str, words: tuple[str, ...], limit: int | None, as_json: bool) -> None:
    """Messages of a person's chats in which all WORDS stand, in any case, the latest first."""
    with open_store() as store:
        found = store.search_conversations(person, " ".join(words), limit=_limit(limit, as_json))
    if as_json:
        say_json([asdict(one) for one in found])
        return
    for one in found:
        say(f"{one.conversation}  {in_line(one.title)}: {one_line(one.piece)}")


@people_chats.command("export")
@click.argument("person")
@click.argument("id_", metavar="[ID]", required=False)
@click.option("--markdown", is_flag=True, help="For people to read, instead of JSON that `import` reads.")
@foreseen
def chats_export(person: str, id_: str | None, markdown: bool) -> None:
    """Print all chats of a person, or one of them: as JSON without loss, or as Markdown."""
    from copersona.runtime.people.conversation_files import Whole, export_json, export_markdown

    with open_store() as store:
        found: Iterable[Whole] = (store.conversation(person, one.id) for one in store.conversations(person))
        if id_ is not None:
            found = [store.conversation(person, id_)]
        for piece in (export_markdown if markdown else export_json)(found):
            say(piece, nl=False)


@people_chats.command("import")
@click.argument("person")
@click.argument("file", type=click.Path(path_type=Path))
@AS_JSON
@foreseen
def chats_import(person: str, file: Path, as_json: bool) -> None:
    """Keep the chats of FILE, which `export` wrote, with a person, all or none; those that are there stay so."""
    from copersona.runtime.people.conversation_files import read_export_file

    with open_store() as store:
        new, known = store.import_conversations(person, read_export_file(file, person))
    if as_json:
        say_json({"person": person, "new": new, "known": known})
    else:
        say(f"{in_line(person)}: {new} new chats, {known} known already")


@people_chats.command("delete")
@click.argument("person")
@click.argument("id_", metavar="ID")
@AS_JSON
@foreseen
def chats_delete(person: str, id_: str, as_json: bool) -> None:
    """Delete one chat of a person, so that no byte of it stays in the store."""
    with open_store() as store:
        pending = store.delete_conversation(person, id_)
    if as_json:
        say_json({"person": person, "id": id_, "pending": pending})
        return
    say(f"{in_line(id_)}: deleted")
    if pending:
        say(f"pending: the file is to be rewritten ({in_line(pending)}); the next command that opens it does", err=True)


def _limit(given: int | None, as_json: bool) -> int | None:
    return SHOWN if given is None and not as_json and sys.stdout.isatty() else given
