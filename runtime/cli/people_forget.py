"""`copersona people forget, traces, export, restore`: people and parts of them removed, looked for, taken elsewhere."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from copersona.runtime.cli.commands import AS_JSON, foreseen
from copersona.runtime.cli.passphrase import open_store
from copersona.runtime.cli.streams import say, say_json
from copersona.runtime.common.terminal import in_line

if TYPE_CHECKING:
    from copersona.runtime.people.erasing import Forgotten

CHECK = "copersona people traces"


@click.command("forget")
@click.argument("person")
@click.option("--text", metavar="DIGEST", help="One text of theirs alone, as `people texts` lists it.")
@click.option("--facet", metavar="NAME", help="What was said of one facet alone; it is left out from then on.")
@AS_JSON
@foreseen
def people_forget(person: str, text: str | None, facet: str | None, as_json: bool) -> None:
    """Delete everything about PERSON from this machine's store: history, chats, revisions, what was made of them, the
    bytes they stood in. With --text or --facet, that alone.

    No bundle is needed: what was made of the person for any bundle goes with them. Files that `generate` wrote are
    yours: those that are still where it wrote them are named. A text that was forgotten comes back if you import it
    again; receipts of kept chats that quoted it are cleaned.
    """
    if text is not None and facet is not None:
        raise click.UsageError("forget one of --text and --facet at once")
    with open_store() as store:
        if text is not None:
            gone = store.forget_text(person, text)
        elif facet is not None:
            gone = store.forget_facet(person, facet)
        else:
            gone = store.forget(person)
    check = CHECK if text or facet else f"{CHECK} {shlex.quote(person)}"
    if as_json:
        body = {"person": person, "interactions": gone.interactions, "compacted": gone.compacted}
        counts = {name: getattr(gone, name) for name in ("chats", "revisions", "vectors", "receipts", "elsewhere")}
        more = {"pending": gone.pending, "left": gone.left, "outputs": [str(path) for path in gone.outputs]}
        say_json({**body, **counts, **more, "check": check})
        return
    if facet is not None:
        say(f"{in_line(person)}: facet {in_line(facet)!r} forgotten and left out{_more(gone)}")
    else:
        texts = f"{gone.interactions} interactions" if text is None else "1 text"
        say(f"{in_line(person)}: {texts} forgotten{_more(gone)}")
    _say_what_is_left(gone)
    say(f"to check: {in_line(check)}", err=True)


def _more(gone: Forgotten) -> str:
    """What else went."""
    counts = ((gone.chats, "chats"), (gone.revisions, "revisions"), (gone.vectors, "vectors"))
    said = [f"{count} {what}" for count, what in counts if count]
    said += [f"{gone.receipts} receipts of kept chats cleaned"] if gone.receipts else []
    return f"; with it {', '.join(said)}" if said else ""


def _say_what_is_left(gone: Forgotten) -> None:
    if gone.pending:
        said = f"the file is to be rewritten ({in_line(gone.pending)}); the next command that opens it does"
        say(f"pending: {said}", err=True)
    if gone.elsewhere:
        say(f"left: the same words stand in {gone.elsewhere} other texts or chat messages of theirs", err=True)
    for line in gone.left:
        say(f"left alone: {in_line(line)}", err=True)
    for path in gone.outputs:
        say(f"yours to delete, written by generate: {str(path)!r}", err=True)


@click.command("traces")
@click.argument("words", required=False)
@AS_JSON
@foreseen
def people_traces(words: str | None, as_json: bool) -> None:
    """Say where WORDS stand in all that is kept of people: in the store's tables, and in the bytes of its files.

    Without WORDS they are read from standard input, so that they stay out of the shell's history; what ends the last
    line is no part of them. It is how to check that a text, a facet's words or a name are gone.
    """
    from copersona.runtime.people.traces import in_files, in_tables

    if words is None:
        if sys.stdin.isatty():
            say("the words to look for; end with Ctrl-D", err=True)
        words = sys.stdin.read().rstrip("\r\n")
    if not words.strip():
        raise click.UsageError("there are no words to look for")
    with open_store() as store:
        found, path = list(in_tables(store, words)), store.path
    found += in_files(path, words)
    if as_json:
        say_json([one._asdict() for one in found])
        return
    for one in found:
        say(f"{in_line(one.place)}: {one.times}")
    if not found:
        say("no trace of it")


@click.command("export")
@click.argument("person")
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="FILE", help="Where to; 0600, replaced.")
@AS_JSON
@foreseen
def people_export(person: str, out: Path, as_json: bool) -> None:
    """Write PERSON to one JSON file without loss: texts, revisions, chats, pseudonyms. `people restore` reads it.

    The file is plain text, also of a sealed store. What was made of the person is made again where it is restored.
    """
    from copersona.runtime.common.files import write_whole
    from copersona.runtime.people.person_files import person_json

    with open_store() as store:
        whole = store.whole(person)
    write_whole(out, (piece.encode("utf-8") for piece in person_json(whole)), 0o600)
    counts = len(whole.texts), len(whole.revisions), len(whole.conversations)
    _say_counts(whole.name, counts, as_json, f"written to {out}")


@click.command("restore")
@click.argument("file", type=click.Path(path_type=Path))
@AS_JSON
@foreseen
def people_restore(file: Path, as_json: bool) -> None:
    """Keep the person of FILE, which `people export` wrote, all or nothing; refused where the name is taken."""
    from copersona.runtime.people.person_files import read_person_file

    whole = read_person_file(file)
    with open_store() as store:
        store.restore(whole)
    counts = len(whole.texts), len(whole.revisions), len(whole.conversations)
    _say_counts(whole.name, counts, as_json, "restored")


def _say_counts(person: str, counts: tuple[int, int, int], as_json: bool, done: str) -> None:
    texts, revisions, chats = counts
    if as_json:
        say_json({"person": person, "texts": texts, "revisions": revisions, "conversations": chats})
    else:
        say(f"{in_line(person)}: {texts} texts, {revisions} revisions, {chats} chats {in_line(done)}")
