"""`copersona people texts, correct, pin, leave-out, undo, revisions`: what people change of what is known of them."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from copersona.runtime.cli.commands import AS_JSON, BUNDLE, foreseen
from copersona.runtime.cli.passphrase import open_store
from copersona.runtime.cli.streams import say, say_json
from copersona.runtime.common.terminal import in_line, one_line

if TYPE_CHECKING:
    from copersona.runtime.people.wishes import Revision, Target

SHOWN, SHOWN_TEXT = 50, 80  # texts of a list on a terminal, and characters of each

SEEN = click.option(
    "--seen", type=click.IntRange(min=0), metavar="N",
    help="The last revision that you saw (`people revisions`): refused if the same was revised since.",
)  # fmt: skip


@click.command("texts")
@click.argument("person")
@click.argument("words", nargs=-1)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help=f"So many; {SHOWN} on a terminal, else all.")
@click.option("--before", metavar="PLACE", help="Those behind this place, which the list says at its end.")
@AS_JSON
@foreseen
def people_texts(person: str, words: tuple[str, ...], limit: int | None, before: str | None, as_json: bool) -> None:
    """What PERSON wrote, the latest first; with WORDS, the texts in which all of them stand.

    Each begins with its digest, by which `pin`, `leave-out` and `forget --text` name it, and with its marks.
    """
    limit = SHOWN if limit is None and not as_json and sys.stdout.isatty() else limit
    with open_store() as store:
        rows = store.own_texts(person, " ".join(words), before=before, limit=None if limit is None else limit + 1)
        wishes = store.wishes(person)[1]
    shown = rows[:limit]
    if as_json:
        say_json([
            {"digest": r.digest, "time": r.time, "title": r.title, "text": r.text, "adopted": r.adopted,
             "pinned": r.digest in wishes.pinned, "left_out": r.digest in wishes.left_texts, "place": r.place}
            for r in shown
        ])  # fmt: skip
        return
    for row in shown:
        marks = {
            "pinned": row.digest in wishes.pinned,
            "left out": row.digest in wishes.left_texts,
            "was an answer": row.adopted,
        }
        said = "".join(f"[{mark}] " for mark, holds in marks.items() if holds)
        day = "          " if row.time is None else time.strftime("%Y-%m-%d", time.localtime(row.time))
        say(f"{row.digest[:12]}  {day}  {said}{one_line(row.text, SHOWN_TEXT)}")
    if len(rows) > len(shown):
        say(f"for the next, --before {shown[-1].place}", err=True)


@click.command("correct")
@BUNDLE
@click.argument("person")
@click.argument("facet")
@click.argument("words")
@SEEN
@AS_JSON
@foreseen
def people_correct(folder: Path, person: str, facet: str, words: str, seen: int | None, as_json: bool) -> None:
    """Say a FACET of BUNDLE in PERSON's own WORDS: one line, up to 300 characters.

    From then on these words stand in the prompt, and the person's place on this facet among others is theirs, whatever
    the texts say. `people show` lists the facets; `people undo` takes it back.
    """
    name = _facet(folder, facet)
    with open_store() as store:
        made = store.correct(person, name, words, seen)
    _say_made(person, made, as_json)


@click.command("pin")
@click.argument("person")
@click.argument("text")
@SEEN
@AS_JSON
@foreseen
def people_pin(person: str, text: str, seen: int | None, as_json: bool) -> None:
    """Have a TEXT of PERSON come first in every prompt, before facets and other texts.

    TEXT is a digest as `people texts` lists it. Of several, the last pinned comes first; what does not fit is left out.
    """
    with open_store() as store:
        made = store.pin(person, text, seen)
    _say_made(person, made, as_json)


@click.command("leave-out")
@BUNDLE
@click.argument("person")
@click.option("--facet", metavar="NAME", help="A facet: nothing is known of it and nothing borrowed for it.")
@click.option("--text", metavar="DIGEST", help="A text: it is neither profiled nor shown; `people texts` lists them.")
@click.option("--quote", metavar="QUOTE", help="A quote: it is shown no more and none is chosen that holds it.")
@SEEN
@AS_JSON
@foreseen
def people_leave_out(
    folder: Path, person: str, facet: str | None, text: str | None, quote: str | None, seen: int | None, as_json: bool
) -> None:
    """Leave a facet of BUNDLE, a text or a quote of PERSON out of all that answers are made from.

    It stays in the store, and `people undo` brings it back; `people forget` removes it. The text in which a quote
    stands is still shown to the model: leave out the text for that.
    """
    from copersona.runtime.people.wishes import Target

    given = [("facet", facet), ("digest", text), ("quote", quote)]
    targets = [Target(about, value) for about, value in given if value is not None]  # type: ignore[arg-type]
    if len(targets) != 1:
        raise click.UsageError("say what to leave out: one of --facet, --text, --quote")
    target = targets[0]
    if target.about == "facet":
        target = Target("facet", _facet(folder, target.name))
    with open_store() as store:
        made = store.leave_out(person, target, seen)
    _say_made(person, made, as_json)


@click.command("undo")
@click.argument("person")
@click.argument("number", type=click.IntRange(min=1))
@SEEN
@AS_JSON
@foreseen
def people_undo(person: str, number: int, seen: int | None, as_json: bool) -> None:
    """Take back revision NUMBER of PERSON: what held of the same facet, text or quote before it holds again.

    An undo is a revision too, and can be taken back as well. `people revisions` lists the numbers.
    """
    with open_store() as store:
        made = store.undo(person, number, seen)
    _say_made(person, made, as_json)


@click.command("revisions")
@click.argument("person")
@AS_JSON
@foreseen
def people_revisions(person: str, as_json: bool) -> None:
    """All that PERSON corrected, pinned, left out and took back, by number; nothing of it is ever changed."""
    from copersona.runtime.people.wishes import undone

    with open_store() as store:
        rows = store.revisions(person)
    back = undone(rows)
    if as_json:
        say_json([_row(one) | {"undone": one.number in back} for one in rows])
        return
    for one in rows:
        moment = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.time))
        say(f"{one.number:>5}  {moment}  {_said(one)}{' (undone)' if one.number in back else ''}")


def _facet(folder: Path, name: str) -> str:
    """The name of a facet of the bundle. Raises BundleError, UnknownFacet."""
    from copersona.runtime.bundle.verify import open_manifest
    from copersona.runtime.people.revisions import known_facet
    from copersona.runtime.profile.facets import read_schema

    return known_facet(name, read_schema(open_manifest(folder).path(folder, "facets")).names)


def _say_made(person: str, one: Revision, as_json: bool) -> None:
    if as_json:
        say_json({"person": person} | _row(one))
    else:
        say(f"{in_line(person)}: revision {one.number}: {_said(one)}")


def _said(one: Revision) -> str:
    """A revision in words."""
    if one.kind == "undo":
        return f"revision {one.undoes} undone, of {_shown(one.target)}"
    what = {"correct": "corrected", "pin": "pinned", "leave_out": "left out"}[one.kind]
    return f"{_shown(one.target)} {what}{': ' if one.words else ''}{one_line(one.words, 300)}"


def _shown(target: Target) -> str:
    if target.about == "digest":
        return f"text {target.name[:12]}"
    return f"{target.about} {one_line(target.name, 60)!r}"


def _row(one: Revision) -> dict[str, Any]:
    return {
        "number": one.number, "time": one.time, "kind": one.kind, one.target.about: one.target.name,
        "words": one.words or None, "undoes": one.undoes,
    }  # fmt: skip
