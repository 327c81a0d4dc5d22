"""`copersona people`: the people of this machine."""

from __future__ import annotations

import shlex
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from copersona.runtime.cli.commands import (
    AS_JSON,
    BUNDLE,
    ProfileBy,
    foreseen,
    open_session,
    profile_options,
    say_unserved_person,
)
from copersona.runtime.cli.passphrase import open_store
from copersona.runtime.cli.people_chats import people_chats
from copersona.runtime.cli.people_forget import people_export, people_forget, people_restore, people_traces
from copersona.runtime.cli.people_import import people_import
from copersona.runtime.cli.people_own import (
    people_correct,
    people_leave_out,
    people_pin,
    people_revisions,
    people_texts,
    people_undo,
)
from copersona.runtime.cli.seal import people_seal, people_unseal
from copersona.runtime.cli.streams import say, say_json, say_json_list
from copersona.runtime.common.terminal import in_line

if TYPE_CHECKING:
    from copersona.runtime.people.known import Known
    from copersona.runtime.session.session import Session

SHOWN = 50  # people of a list on a terminal


@click.group()
def people() -> None:
    """The people on this machine: import what they wrote, list, show, correct, leave out, forget.

    They live in one file under the user's data folder, or under COPERSONA_HOME; nothing of it leaves the machine
    unless you have people profiled by a model at an address elsewhere.
    """


for command in (
    people_chats, people_import, people_seal, people_unseal, people_texts, people_correct, people_pin, people_leave_out,
    people_undo, people_revisions, people_forget, people_traces, people_export, people_restore,
):  # fmt: skip
    people.add_command(command)


@people.command("list")
@click.argument("folder", metavar="[BUNDLE]", type=click.Path(path_type=Path), required=False)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help=f"So many; {SHOWN} on a terminal, else all.")
@click.option("--all", "everyone", is_flag=True, help="Everyone, on a terminal too.")
@click.option("--after", default="", metavar="NAME", help="Those whose names come after NAME, which need not be there.")
@AS_JSON
@foreseen
def people_list(folder: Path | None, limit: int | None, everyone: bool, after: str, as_json: bool) -> None:
    """Who is in the store, by name, with how much they wrote and, where they are enrolled, their pseudonym in BUNDLE.

    The pseudonym holds in every bundle of the same population.
    """
    from copersona.runtime.bundle.verify import open_manifest

    manifest = None if folder is None else open_manifest(folder)
    if everyone or (limit is None and not as_json and sys.stdout.isatty()):
        limit = None if everyone else SHOWN
    with open_store() as store:
        if manifest is not None:
            store.carry_over(manifest.bundle_id, manifest.population_id)
        rows = store.listed(after=after, population="" if manifest is None else manifest.population_id)
        if as_json:
            shown_rows = islice(rows, limit)
            say_json_list({"person": r.name, "interactions": r.interactions, "peer": r.peer} for r in shown_rows)
            return
        shown = 0
        for row in islice(rows, limit):
            say(f"{in_line(row.name):<32}{row.interactions:>6}  {row.peer or ''}")
            shown, after = shown + 1, row.name
        people, more = store.count(), next(rows, None) is not None
    of = f"{shown:,} of " if shown < people else ""
    say(f"{of}{people:,} people{f'; for the next, --after {shlex.quote(after)}' if more else ''}", err=True)


@people.command("show")
@BUNDLE
@click.argument("person")
@profile_options
@AS_JSON
@foreseen
def people_show(folder: Path, person: str, as_json: bool, profile_by: ProfileBy) -> None:
    """A person's facets: how well supported, what they say, how much is their own, from whom the rest would come."""
    from copersona.runtime.people.prefix_files import KeptStates

    with open_session(folder, profile_by=profile_by) as session, open_store() as store:
        known, adopted = session.person(store, person), store.adopted(person)
        say_unserved_person(session, known, person)
        states = KeptStates(0, 0) if known.files is None else known.files.kept(person)
        profiler, written = known.persona.profile.by or "statistics", known.earlier + len(known.history)
        rows = _facet_rows(session, known)
    if as_json:
        body = {"person": person, "interactions": written, "profiler": profiler, "adopted": adopted}
        marks = {"pinned": known.wishes.pinned, "left_out": known.wishes.left_texts, "revision": known.revision}
        say_json(body | marks | {"states": states._asdict(), "facets": rows})
        return
    marked = (len(known.pinned), "pinned"), (len(known.wishes.left_texts), "left out"), (adopted, "were answers")
    marks_ = "".join(f", {count} {mark}" for count, mark in marked if count)
    say(f"{in_line(person)}: {written} interactions{marks_}, profiled by {profiler}")
    if states.states:
        say(f"  for a quick start, on disk: {states.states} states of prompts, {states.bytes / 1e6:.1f} MB")
    for row in rows:
        own = "" if row["gate"] is None else f", own {row['gate']:.2f}"
        own += ", in their own words" if row["corrected"] else ""
        said = "left out" if row["left_out"] else f"{row['reliability']}{own}"
        say(f"  {in_line(row['facet'])} [{said}] {'' if row['left_out'] else in_line(row['summary'])}".rstrip())
        for quote in row["quotes"]:
            say(f'      "{" ".join(quote.split())}"')
        for peer in row["peers"]:
            say(f"      near {in_line(peer['peer'])} ({peer['similarity']:.2f})")


def _facet_rows(session: Session, known: Known) -> list[dict[str, Any]]:
    """A person's facets as `people show --json` prints them."""
    from copersona.runtime.profile.facets import PERSON

    names = session.graph.pseudonyms
    rows: list[dict[str, Any]] = []
    for m, facet in enumerate(known.persona.profile.facets):
        lent = [b for b in known.persona.placement.borrowed if b.facet == m]
        rows.append(
            {
                "facet": facet.facet,
                "reliability": facet.reliability.label,
                "support": round(facet.support, 3),
                "summary": facet.summary,
                "quotes": facet.quotes,
                "corrected": facet.source == PERSON,
                "left_out": m in known.persona.left_out,
                "gate": session.bundle.gate(facet.reliability),
                "peers": [{"peer": names[b.peer], "similarity": round(b.similarity, 3)} for b in lent],
            }
        )
    return rows
