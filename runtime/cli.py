"""The `copersona` command: ask, generate, people, bundle, doctor; `export` joins when its extra is installed.

Answers go to stdout, everything else to stderr. Exit code 0 only when the work was done; 1 with one line for an error
that was foreseen, 2 for a wrong call.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click

from copersona.runtime.errors import CoPersonaError

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


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="copersona")
def main() -> None:
    """Personalize a language model on this machine: what people wrote, completed by what similar people wrote.

    \b
    copersona people import BUNDLE history.jsonl      keep what a person wrote, here and nowhere else
    copersona ask BUNDLE --person ana "request"       answer as that person would
    copersona export run reviews.jsonl ...            make a bundle of your own (needs the export extra)
    """


@main.group()
def bundle() -> None:
    """Check a bundle, or see what is in it."""


@bundle.command("verify")
@BUNDLE
@AS_JSON
@foreseen
def bundle_verify(folder: Path, as_json: bool) -> None:
    """Read every file of BUNDLE and check it against the manifest and the other parts.

    Ends with 0 only when the bundle is whole.
    """
    from copersona.runtime.session import open_bundle

    with open_bundle(folder, full=True) as session:
        session.personalizer  # noqa: B018 - loading it checks names, shapes and values
        manifest = session.manifest
    if as_json:
        click.echo(json.dumps({"bundle": manifest.bundle_id, "files": len(manifest.files), "whole": True}))
    else:
        click.echo(f"{folder}: whole, {len(manifest.files)} files, bundle {manifest.bundle_id[:12]}")


@bundle.command("show")
@BUNDLE
@AS_JSON
@foreseen
def bundle_show(folder: Path, as_json: bool) -> None:
    """What BUNDLE holds: facets, peers, sizes, and what was checked when it was packed."""
    from dataclasses import asdict

    from copersona.runtime.session import open_bundle

    with open_bundle(folder) as session:
        manifest, schema = session.manifest, session.schema
        if as_json:
            body = {**asdict(manifest), "facets": [asdict(f) for f in schema.facets]}
            click.echo(json.dumps(body, ensure_ascii=False))
            return
        shapes = manifest.shapes
        click.echo(f"bundle {manifest.bundle_id[:12]}, made {manifest.created}")
        click.echo(f"model {manifest.settings.get('base')}, encoder {manifest.settings.get('encoder')}")
        click.echo(
            f"{shapes.peers:,} peers, {shapes.facets} facets, {shapes.soft_tokens} soft tokens of {shapes.hidden}"
        )
        for facet in schema.facets:
            click.echo(f"  {facet.name}: {facet.definition} ({' | '.join(facet.values)})")
        for row in manifest.files:
            click.echo(f"  {row.path:<28}{row.bytes / 1e6:>10.2f} MB  {row.role}")
        for name, value in manifest.settings.get("parity", {}).items():
            click.echo(f"  checked: {name} = {value:g}")


@main.group()
def people() -> None:
    """The people on this machine: import what they wrote, list, show, forget.

    They live in one file under the user's data folder, or under COPERSONA_HOME; nothing of it ever leaves the machine.
    """


@people.command("import")
@BUNDLE
@click.argument("history", type=click.Path(path_type=Path))
@click.option("--format", "format_", default="jsonl", show_default=True, help="jsonl (our own) or amazon2014.")
@click.option(
    "--enrolled-as",
    type=click.Path(path_type=Path),
    help="JSON file {person: pseudonym} of people who took part in training (pseudonyms.json of the run folder).",
)
@click.option("--skip-bad", is_flag=True, help="Leave out lines that cannot be read, and say which.")
@AS_JSON
@foreseen
def people_import(
    folder: Path, history: Path, format_: str, enrolled_as: Path | None, skip_bad: bool, as_json: bool
) -> None:
    """Keep the interactions of HISTORY, all or none; importing a file twice changes nothing.

    BUNDLE gives words to items that have no title.
    """
    from copersona.runtime.importers import load_history
    from copersona.runtime.people import PeopleStore
    from copersona.runtime.session import open_bundle

    loaded = load_history([history], format_, skip_bad=skip_bad)
    names = read_enrolment(enrolled_as) if enrolled_as else {}
    with open_bundle(folder) as session, PeopleStore() as store:
        present = {one.person for one in loaded.interactions}
        enrolled = {person: peer for person, peer in names.items() if person in present}
        rows = session.attach_items(loaded.interactions, enrolled=frozenset(enrolled))
        added = store.add(rows)
        store.enrol(session.manifest.bundle_id, enrolled)
    for line in loaded.bad:
        click.echo(f"skipped: {line}", err=True)
    if as_json:
        body = {"people": added.people, "new": added.new, "known": added.known, "enrolled": len(enrolled)}
        click.echo(json.dumps({**body, "empty": loaded.skipped_empty, "bad": len(loaded.bad)}))
        return
    click.echo(
        f"{added.people} people: {added.new} new interactions, {added.known} known already, "
        f"{loaded.skipped_empty} without text left out, {len(loaded.bad)} bad lines, {len(enrolled)} enrolled"
    )


def read_enrolment(path: Path) -> dict[str, str]:
    """The map of people to pseudonyms. Raises HistoryError."""
    from copersona.runtime.errors import HistoryError

    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise HistoryError(f"{path}: expected a JSON object of person to pseudonym ({error})") from None
    if not isinstance(body, dict) or not all(isinstance(v, str) for v in body.values()):
        raise HistoryError(f"{path}: expected a JSON object of person to pseudonym")
    return body


@people.command("list")
@BUNDLE
@AS_JSON
@foreseen
def people_list(folder: Path, as_json: bool) -> None:
    """Everyone in the store, with how much they wrote and their pseudonym in BUNDLE if they are enrolled."""
    from copersona.runtime.bundle import open_manifest
    from copersona.runtime.people import PeopleStore

    bundle_id = open_manifest(folder).bundle_id
    with PeopleStore() as store:
        rows = [(row, store.peer_of(bundle_id, row.name)) for row in store.people()]
    if as_json:
        click.echo(json.dumps([{"person": r.name, "interactions": r.interactions, "peer": p} for r, p in rows]))
        return
    for row, peer in rows:
        click.echo(f"{row.name:<32}{row.interactions:>6}  {peer or ''}")
    click.echo(f"{len(rows)} people", err=True)


@people.command("show")
@BUNDLE
@click.argument("person")
@AS_JSON
@foreseen
def people_show(folder: Path, person: str, as_json: bool) -> None:
    """A person's facets: how well supported, what they say, how much is their own, from whom the rest would come."""
    with _session(folder) as session:
        known = _known(session, person)
        gates = session.personalizer.gates()
        names = session.graph.pseudonyms
        rows = []
        for m, facet in enumerate(known.persona.profile.facets):
            lent = [b for b in known.persona.placement.borrowed if b.facet == m]
            rows.append(
                {
                    "facet": facet.facet,
                    "reliability": facet.reliability.label,
                    "support": round(facet.support, 3),
                    "summary": facet.summary,
                    "quotes": facet.quotes,
                    "gate": round(float(gates[int(facet.reliability)]), 3),
                    "peers": [{"peer": names[b.peer], "similarity": round(b.similarity, 3)} for b in lent],
                }
            )
    if as_json:
        click.echo(
            json.dumps({"person": person, "interactions": len(known.history), "facets": rows}, ensure_ascii=False)
        )
        return
    click.echo(f"{person}: {len(known.history)} interactions")
    for row in rows:
        click.echo(f"  {row['facet']} [{row['reliability']}, own {row['gate']:.2f}] {row['summary']}")
        for quote in facet_quotes(row):
            click.echo(f'      "{quote}"')
        for peer in row["peers"]:
            click.echo(f"      near {peer['peer']} ({peer['similarity']:.2f})")


def facet_quotes(row: dict[str, Any]) -> list[str]:
    """Quotes of one row on one line each."""
    return [" ".join(str(quote).split()) for quote in row["quotes"]]


@people.command("forget")
@BUNDLE
@click.argument("person")
@AS_JSON
@foreseen
def people_forget(folder: Path, person: str, as_json: bool) -> None:
    """Delete everything about PERSON from this machine's store: history, enrolments, and the bytes they stood in."""
    from copersona.runtime.bundle import open_manifest
    from copersona.runtime.people import PeopleStore

    open_manifest(folder)
    with PeopleStore() as store:
        gone = store.forget(person)
    if as_json:
        click.echo(json.dumps({"person": person, "interactions": gone.interactions, "compacted": gone.compacted}))
    else:
        click.echo(f"{person}: {gone.interactions} interactions forgotten")


def _sampling_options(function: Callable[P, T]) -> Callable[P, T]:
    for option in (
        click.option("--seed", default=0, show_default=True, help="Same seed, same answer."),
        click.option("--max-tokens", default=256, show_default=True, help="Longest answer."),
        click.option("--top-p", default=0.95, show_default=True, help="Nucleus sampling."),
        click.option("--temperature", default=0.8, show_default=True, help="0 takes the likeliest token each time."),
        click.option("--threads", type=click.IntRange(1), help="Processor threads; default: all cores."),
    ):
        function = option(function)
    return function


@main.command()
@BUNDLE
@click.argument("request")
@click.option("--person", help="Who is asking: a name in the people store. Without it, nobody.")
@click.option("--no-persona", is_flag=True, help="Answer as nobody, to compare.")
@click.option("--receipt", is_flag=True, help="After the answer, print on stderr what it was made from.")
@_sampling_options
@AS_JSON
@foreseen
def ask(
    folder: Path,
    request: str,
    person: str | None,
    no_persona: bool,
    receipt: bool,
    threads: int | None,
    temperature: float,
    top_p: float,
    max_tokens: int,
    seed: int,
    as_json: bool,
) -> None:
    """Answer REQUEST as a person would, streaming.

    \b
    copersona ask BUNDLE --person ana "Write a review.\\nRating: 4 of 5\\nTitle: good strings"
    """
    from copersona.runtime.engine import Sampling

    sampling = Sampling(temperature, top_p, max_tokens, seed)
    with _session(folder, threads) as session:
        known = None if no_persona or person is None else _known(session, person)
        answer = session.answer(request.replace("\\n", "\n"), known, sampling, person=None if known is None else person)
        for piece in answer:
            if not as_json:
                click.echo(piece, nl=False)
        record = answer.receipt
    if as_json:
        body = {"person": record.person, "output": answer.text, "receipt": json.loads(record.to_json())}
        click.echo(json.dumps(body, ensure_ascii=False))
        return
    click.echo()
    if receipt:
        click.echo(record.to_json(indent=2), err=True)


@main.command()
@BUNDLE
@click.argument("requests", type=click.Path(path_type=Path))
@click.argument("answers", type=click.Path(path_type=Path))
@click.option("--no-persona", is_flag=True, help="Answer everything as nobody.")
@_sampling_options
@foreseen
def generate(
    folder: Path,
    requests: Path,
    answers: Path,
    no_persona: bool,
    threads: int | None,
    temperature: float,
    top_p: float,
    max_tokens: int,
    seed: int,
) -> None:
    """Answer the lines of REQUESTS into ANSWERS, one JSON object a line.

    A request is {"id", "person", "input"}; an answer repeats it and adds "output" and "receipt". ANSWERS is written
    whole at the end; an existing file is not overwritten.
    """
    from copersona.runtime.batch import generate_file
    from copersona.runtime.engine import Sampling

    sampling = Sampling(temperature, top_p, max_tokens, seed)
    with _session(folder, threads) as session:
        count = generate_file(session, requests, answers, sampling, personas=not no_persona)
    click.echo(f"{count} answers in {answers}", err=True)


@main.command()
@click.argument("folder", metavar="[BUNDLE]", type=click.Path(path_type=Path), required=False)
@AS_JSON
@foreseen
def doctor(folder: Path | None, as_json: bool) -> None:
    """Check this machine: packages, SQLite, llama.cpp, the people store, and BUNDLE if one is given.

    Ends with 1 when something is missing, and says what to do about it.
    """
    from copersona.runtime.doctor import examine

    findings = examine(folder)
    if as_json:
        click.echo(json.dumps([{"what": f.what, "ok": f.ok, "found": f.found} for f in findings], ensure_ascii=False))
    else:
        for finding in findings:
            click.echo(f"{'ok  ' if finding.ok else 'FAIL'} {finding.what}: {finding.found}")
    if not all(finding.ok for finding in findings):
        raise SystemExit(1)


def _session(folder: Path, threads: int | None = None) -> Any:
    from copersona.runtime.session import open_bundle

    return open_bundle(folder, threads=threads)


def _known(session: Any, person: str) -> Any:
    """The persona of a person of the store."""
    from copersona.runtime.people import PeopleStore

    with PeopleStore() as store:
        history = store.history(person)
        peer = store.peer_of(session.manifest.bundle_id, person)
    return session.know(history, pseudonym=peer)


if __name__ == "__main__":
    main()
