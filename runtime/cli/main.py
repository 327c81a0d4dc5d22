"""The `copersona` command: ask, chat, generate, serve, people, bundle, doctor; `export` joins where it is installed.

Answers go to stdout, everything else to stderr. Exit code 0 only when the work was done; 1 with one line for an error
that was foreseen, 2 for a wrong call.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from copersona.runtime.cli.bundle import bundle
from copersona.runtime.cli.chat import chat
from copersona.runtime.cli.commands import (
    AS_JSON,
    BUNDLE,
    Commands,
    ProfileBy,
    foreseen,
    guard_option,
    known_person,
    open_session,
    profile_options,
    recall_option,
    sampling_options,
)
from copersona.runtime.cli.context_options import context_options
from copersona.runtime.cli.demo import demo
from copersona.runtime.cli.passphrase import Source, asking, passphrase_options
from copersona.runtime.cli.people import people
from copersona.runtime.cli.persona import persona
from copersona.runtime.cli.request import read_request, say_cut, too_long
from copersona.runtime.cli.serve import serve
from copersona.runtime.cli.streams import say, say_json
from copersona.runtime.common.errors import HistoryError
from copersona.runtime.common.terminal import in_line
from copersona.runtime.prompt.settings import GuardMode, RecallMode


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="copersona")
@passphrase_options
@click.pass_context
def main(context: click.Context, passphrase_fd: int | None, keyring: bool) -> None:
    """Personalize a language model on this machine: what people wrote, completed by what similar people wrote.

    \b
    copersona people import BUNDLE history.jsonl      keep what a person wrote, here and nowhere else
    copersona ask BUNDLE --person ana "request"       answer as that person would
    copersona chat BUNDLE --person ana                the same in a conversation
    copersona export run reviews.jsonl ...            make a bundle of your own (needs the export extra)
    """
    context.obj = Source(passphrase_fd, keyring)


main.add_command(bundle)
main.add_command(chat)
main.add_command(demo)
main.add_command(people)
main.add_command(persona)
main.add_command(serve)


@main.command()
@BUNDLE
@click.argument("request")
@click.option(
    "-e", "--escapes", is_flag=True, help="Read \\n in REQUEST as a line end; without it REQUEST is taken as typed."
)
@click.option("--person", help="Who is asking: a name in the people store. Without it, nobody.")
@click.option("--no-persona", is_flag=True, help="Answer as nobody, to compare.")
@click.option(
    "--disk-cache",
    type=click.IntRange(0),
    metavar="MB",
    help="Keep up to this much of people's prompts as the model's state, to start quickly; 0: none.  [default: 512]",
)
@recall_option("always")
@guard_option
@click.option("--receipt", is_flag=True, help="After the answer, print on stderr what it was made from.")
@sampling_options
@profile_options
@context_options(default="as trained")
@AS_JSON
@foreseen
def ask(
    folder: Path,
    request: str,
    escapes: bool,
    person: str | None,
    no_persona: bool,
    disk_cache: int | None,
    recall: RecallMode,
    guard: GuardMode,
    receipt: bool,
    threads: int | None,
    temperature: float,
    top_p: float,
    max_tokens: int,
    seed: int,
    profile_by: ProfileBy,
    context: dict[str, Any],
    as_json: bool,
) -> None:
    """Answer REQUEST as a person would, streaming; - reads it from stdin.

    \b
    copersona ask BUNDLE --person ana -e "Write a review.\\nRating: 4 of 5\\nTitle: good strings"
    """
    from copersona.runtime.engine.engine import Sampling

    request = read_request(request, escapes=escapes)
    with open_session(folder, threads, profile_by, context, disk=disk_cache, guard=guard) as session:
        known = None if no_persona or person is None else known_person(session, person)
        answer = session.answer(request, known, Sampling(temperature, top_p, max_tokens, seed), mode=recall)
        say_cut(answer.request_cut, session.context.request_tokens)
        for piece in answer:
            say("" if as_json else piece, nl=False)
        record = answer.receipt
    if as_json:
        say_json({"person": record.person, "output": answer.text, "receipt": json.loads(record.to_json())})
        return
    say()
    if receipt:
        say(record.to_json(indent=2), err=True)


@main.command()
@BUNDLE
@click.argument("requests", type=click.Path(path_type=Path))
@click.argument("answers", type=click.Path(path_type=Path))
@click.option("--no-persona", is_flag=True, help="Answer everything as nobody.")
@click.option("--resume", is_flag=True, help="Go on with ANSWERS where an earlier call stopped or was killed.")
@click.option("--batch", default=8, show_default=True, type=click.IntRange(1, 64), help="Requests answered at once.")
@guard_option
@sampling_options
@profile_options
@context_options(default="as trained")
@foreseen
def generate(
    folder: Path,
    requests: Path,
    answers: Path,
    no_persona: bool,
    resume: bool,
    batch: int,
    guard: GuardMode,
    threads: int | None,
    temperature: float,
    top_p: float,
    max_tokens: int,
    seed: int,
    profile_by: ProfileBy,
    context: dict[str, Any],
) -> None:
    """Answer the lines of REQUESTS into ANSWERS, one JSON object a line.

    A request is {"id", "person", "input"}; an answer repeats it and adds "output" and "receipt". Each answer is kept
    when it is finished; after a stop or a kill, the same call with --resume makes only those that are missing. Lines
    that cannot be answered go to ANSWERS.rejects.jsonl with the reason; then the call ends with 1.
    """
    from copersona.runtime.batch.batch import generate_file
    from copersona.runtime.batch.rejects import rejects_path
    from copersona.runtime.engine.engine import Sampling

    sampling = Sampling(temperature, top_p, max_tokens, seed)
    with open_session(folder, threads, profile_by, context, sequences=batch, guard=guard) as session:
        done = generate_file(
            session, requests, answers, sampling, personas=not no_persona, resume=resume, passphrase=asking()
        )
    kept = f", {done.before} were there" if done.before else ""
    say(f"{done.answered} answers in {in_line(answers)}{kept}", err=True)
    if done.cut:
        said = too_long(0, session.context.request_tokens)
        say(f"note: of {done.cut:,} of them the request is {said}; receipts say how much", err=True)
    if done.rejected:
        raise HistoryError(f"{requests}: not answered: {done.rejected} of the lines; {rejects_path(answers)} says why")


@main.command()
@click.argument("folder", metavar="[BUNDLE]", type=click.Path(path_type=Path), required=False)
@AS_JSON
@foreseen
def doctor(folder: Path | None, as_json: bool) -> None:
    """Check this machine: packages, SQLite, llama.cpp, the people store, and BUNDLE if one is given.

    Ends with 1 when something is missing, and says what to do about it.
    """
    from copersona.runtime.cli.doctor import examine

    findings = examine(folder)
    if as_json:
        say_json([{"what": f.what, "ok": f.ok, "found": f.found} for f in findings])
    else:
        for finding in findings:
            say(f"{'ok  ' if finding.ok else 'FAIL'} {finding.what}: {in_line(finding.found)}")
    if not all(finding.ok for finding in findings):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
