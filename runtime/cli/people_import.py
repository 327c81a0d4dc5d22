"""`copersona people import`: histories in the formats of data sets, and people's own exports from other programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Generator
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from copersona.runtime.cli.commands import AS_JSON, BUNDLE, foreseen
from copersona.runtime.cli.passphrase import open_store
from copersona.runtime.cli.streams import say, say_json
from copersona.runtime.cli.unserved import say_unserved
from copersona.runtime.common.terminal import in_line

if TYPE_CHECKING:
    from copersona.runtime.history.interactions import Interaction
    from copersona.runtime.history.reading import Reading
    from copersona.runtime.history.tally import Tally
    from copersona.runtime.importing.export import Export
    from copersona.runtime.importing.wish import Wish
    from copersona.runtime.people.store import Added, PeopleStore
    from copersona.runtime.profile.foreign import ForeignTally
    from copersona.runtime.profile.served import UnservedTally
    from copersona.runtime.session.session import Session

NOTHING_KEPT = "nothing was kept: this was a dry run"
FIRST = 3  # texts that a dry run shows
SHOWN_TEXT = 100  # characters of each


@click.command("import")
@BUNDLE
@click.argument("history", metavar="PATH", type=click.Path(path_type=Path))
@click.option(
    "--format", "format_", default="auto", show_default=True,
    help="auto tells an export of another program and takes any other file as jsonl. Data sets: jsonl (our own), "
    "amazon2014, amazon2023, dpl, lamp, longlamp. Exports: docs/importers.md.",
)  # fmt: skip
@click.option(
    "--me", multiple=True, metavar="NAME", help="A name or address of yours in the export; as often as needed."
)
@click.option("--person", metavar="NAME", help="The person to keep, where an export does not name them.")
@click.option(
    "--dry-run", is_flag=True, help="Keep nothing: say how many texts, the first ones and their span of time."
)
@click.option("--prompts", is_flag=True, help="Take long prose that was typed to an assistant too, as weak evidence.")
@click.option("--keep-junk", is_flag=True, help="Take one-word replies, notices, lyrics and near-duplicates too.")
@click.option("--dates", type=click.Choice(["day-first", "month-first"]), help="The order of dates such as 3/4/2023.")
@click.option("--zone", metavar="NAME", help="Time zone of times that name none (Europe/Berlin); UTC if not given.")
@click.option("--without", multiple=True, metavar="FOLDER", help="A folder of the export with nothing of your own.")
@click.option(
    "--enrolled-as",
    type=click.Path(path_type=Path),
    help="JSON file {person: pseudonym} of people who took part in training (pseudonyms.json of the run folder).",
)
@click.option("--metadata", type=click.Path(path_type=Path), help="Item titles, as in `export run` (amazon2014).")
@click.option("--skip-bad", is_flag=True, help="Leave out lines that cannot be read, and say which (the first 1,000).")
@AS_JSON
@foreseen
def people_import(
    folder: Path, history: Path, format_: str, enrolled_as: Path | None, dry_run: bool, as_json: bool, **told: Any
) -> None:  # fmt: skip
    """Keep what people wrote in PATH, all or none; importing it twice changes nothing.

    PATH is a history, or a file, folder or zip that another program exported: of it, only what you wrote yourself is
    kept, and each other record is counted by the reason why it gives no text. BUNDLE gives words to items that have no
    title.
    """
    from copersona.runtime.importing.wish import Wish

    names, wish = read_enrolment(enrolled_as) if enrolled_as else {}, Wish(format_, **told)
    if wish.is_export(history):
        _import_export(folder, history, wish, names, as_json, dry_run)
    else:
        _import_history(folder, history, wish, names, as_json, dry_run)


def _import_history(
    folder: Path, path: Path, wish: Wish, names: dict[str, str], as_json: bool, dry_run: bool
) -> None:  # fmt: skip
    reading = wish.history(path, shown=True)
    if dry_run:
        _say_read(reading, as_json)
        return
    added = _add(folder, iter(reading), names)
    _say_what_was_bad(reading)
    _say_what_was_odd(reading.tally)
    if as_json:
        say_json({**_counts(added, reading.tally), "empty": reading.skipped_empty, "bad": reading.bad_records})
        return
    named = f" ({added.named} of them with their item's name from now on)" if added.named else ""
    say(
        f"{added.people} people: {added.new} new interactions, {added.repeated} known already{named}, "
        f"{reading.skipped_empty} without text left out, {reading.bad_records} bad lines, {added.enrolled} enrolled"
    )


def _say_read(reading: Reading, as_json: bool) -> None:
    """What a history holds, of which nothing is kept."""
    first, people = list[str](), Counter[str]()
    for one in reading:
        people[one.person] += 1
        first += [one.output] if len(first) < FIRST else []
    _say_what_was_bad(reading)
    if as_json:
        counts = {"people": len(people), "texts": people.total(), "empty": reading.skipped_empty}
        say_json({"dry_run": True, **counts, "bad": reading.bad_records, "first": first})
        return
    say(
        f"{people.total():,} texts of {len(people):,} people, {reading.skipped_empty} without text left out, "
        f"{reading.bad_records} bad lines"
    )
    for text in first:
        say(f"  first: {_cut(text)}")
    say(NOTHING_KEPT)


def _import_export(
    folder: Path, path: Path, wish: Wish, names: dict[str, str], as_json: bool, dry_run: bool
) -> None:  # fmt: skip
    from copersona.runtime.common.errors import HistoryError

    with wish.export(path) as export:
        recognised = f"recognised as {export.format.name} ({export.format.title})"
        say(f"{in_line(path)}: {recognised}; {in_line(export.person)} is kept", err=True)
        if dry_run:
            first = _dry_run(export)
            _say_found(export, as_json, {"dry_run": True, "first": [one.output for one in first]})
            return
        added = _add(folder, _shown(export), names)
    _say_what_was_odd(export.tally)
    if not export.found.taken:
        raise HistoryError(f"{path}: nothing of it is evidence; {export.found.reasons()}")
    _say_found(export, as_json, _counts(added, export.tally))


def _add(folder: Path, interactions: Generator[Interaction, None, None], names: dict[str, str]) -> Added:
    """Keep them, and say of whom neither facets nor encoder can speak."""
    from copersona.runtime.profile.foreign import ForeignTally
    from copersona.runtime.profile.served import UnservedTally
    from copersona.runtime.session.session import open_bundle

    with open_bundle(folder) as session, open_store() as store:
        scripts, languages = UnservedTally(session.schema.scripts), ForeignTally(session.bundle.languages)
        with closing(interactions):  # so that a progress bar ends before an error is said
            passing = map(languages.passing, map(scripts.passing, interactions))
            added = session.add(store, passing, enrolled=names)
        _say_unserved(session, store, scripts, languages)
    return added


def _shown(export: Export) -> Generator[Interaction, None, None]:
    """The export's interactions, while stderr shows how much of it is read."""
    from copersona.runtime.common.progress import meter
    from copersona.runtime.history.importers import SHOWN

    if export.size < SHOWN:
        yield from export
        return
    with meter(f"{export.source.path.name}: reading bytes", export.size) as tell:
        export.tell = tell
        yield from export
        tell(export.size, f"{export.found.taken:,} texts")


def _dry_run(export: Export) -> list[Interaction]:
    interactions = _shown(export)
    first = list(islice(interactions, FIRST))
    for _ in interactions:
        pass
    return first


def _say_found(export: Export, as_json: bool, more: dict[str, Any]) -> None:
    found, format_ = export.found, export.format
    if as_json:
        body = {"format": format_.name, "person": export.person, "texts": found.taken, "weak": found.typed}
        times = {"first_time": found.first, "last_time": found.last}
        say_json({**body, **times, "left_out": dict(found.left.most_common()), **more})
        return
    weak = f", {found.typed:,} of them typed to an assistant and weak evidence at most" if found.typed else ""
    span = ""
    if found.first is not None and found.last is not None:
        span = f", from {_day(found.first)} to {_day(found.last)}"
    say(f"{found.taken:,} texts of {in_line(export.person)}{span}{weak}")
    for text in more.get("first", ()):
        say(f"  first: {_cut(text)}")
    for reason, count in found.left.most_common():
        example = found.examples.get(reason, "")
        say(f"  left out: {count:>7,}  {in_line(reason)}{f' ({_cut(example)})' if example.strip() else ''}")
    if export.source.outside:
        say(f"  passed over: {export.source.outside:,} links, and names that lead outside")
    if "new" in more:
        say(f"{more['new']:,} new, {more['known']:,} known already, {more['enrolled']} enrolled")
    else:
        say(NOTHING_KEPT)


def _counts(added: Added, tally: Tally) -> dict[str, int]:
    body = {"people": added.people, "new": added.new, "known": added.repeated, "named": added.named}
    return body | {"enrolled": added.enrolled, "marks": tally.marks, "hidden": tally.hidden}


def _cut(text: str) -> str:
    line = in_line(" ".join(text.split()))
    return line if len(line) <= SHOWN_TEXT else f"{line[:SHOWN_TEXT]}…"


def _day(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).date().isoformat()


def _say_unserved(session: Session, store: PeopleStore, scripts: UnservedTally, languages: ForeignTally) -> None:
    def texts(name: str) -> int:
        return store.written(name).interactions

    among = f"of the first {languages.most:,} people, " if languages.passed_over else ""
    say_unserved(session, scripts.found(texts), languages.found(texts), among)


def _say_what_was_bad(reading: Reading) -> None:
    """On stderr, a line for each record that was left out."""
    for line in reading.bad:
        say(f"skipped: {in_line(line)}", err=True)
    if reading.bad_records > len(reading.bad):
        say(f"skipped: {reading.bad_records - len(reading.bad):,} more", err=True)


def _say_what_was_odd(tally: Tally) -> None:
    """On stderr, a line for each kind of text that no one wrote by hand."""
    if marks := tally.marks:
        say(f"note: of {marks:,} texts, marks behind the thirtieth on one letter are left out", err=True)
    if hidden := tally.hidden:
        what = "characters that show nothing (tags, text direction); they are kept, and no model reads them"
        say(f"note: {hidden:,} texts hold {what}", err=True)


def read_enrolment(path: Path) -> dict[str, str]:
    """The map of people to pseudonyms. Raises HistoryError."""
    from copersona.runtime.common.errors import HistoryError

    if path.exists() and not path.is_file():
        raise HistoryError(f"{path}: a folder, a pipe or a device; expected a file")
    try:
        body = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, UnicodeDecodeError) as error:
        raise HistoryError(f"{path}: expected a JSON object of person to pseudonym ({error})") from None
    if not isinstance(body, dict) or not all(isinstance(v, str) for v in body.values()):
        raise HistoryError(f"{path}: expected a JSON object of person to pseudonym")
    return body
