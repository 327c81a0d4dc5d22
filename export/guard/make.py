"""`copersona export guard` as a whole: ask, judge, read the layers, calibrate, write the guard, report."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from copersona.export.common.figures import Figures
from copersona.export.common.files import write_text
from copersona.export.common.vectors import VectorFile
from copersona.export.evaluation.report.document import Block, Heading, markdown
from copersona.export.guard.answers import Replies
from copersona.export.guard.asking import Asking, Outcome
from copersona.export.guard.cases import Facts
from copersona.export.guard.counted import helped, obstacles, tallies
from copersona.export.guard.personal import Personal
from copersona.export.guard.questions import read_questions
from copersona.export.guard.report import set_blocks
from copersona.export.guard.source import Options, Source
from copersona.runtime.bundle.verify import open_manifest
from copersona.runtime.common.progress import note, track
from copersona.runtime.session.session import Session, open_bundle

TOGETHER = 8  # answers at once
REPORT = "report.md"


def make_guard(target: Path, options: Options) -> Figures:
    """Make the guard of a run's bundle, or of a bundle with histories; what it came to.

    Raises:
        ExportError: a run or a bundle that cannot be used, or questions that cannot be read.
    """
    source, questions = Source.of(target, options), read_questions(options.questions)
    blocks: list[Block] = [Heading(f"A guard for the bundle {open_manifest(source.bundle).bundle_id[:12]}", 1)]
    with (
        open_bundle(source.bundle, threads=options.threads, sequences=TOGETHER) as session,
        Replies(source.folder / "replies.jsonl") as replies,
        closing(VectorFile(source.folder / "vectors.sqlite", session.bundle.encoder_hash, session.encoder.encode)) as near,
    ):
        people = source.people(session)
        facts, personal, asking = Facts(questions, near), Personal(people), Asking(session, replies)
        outcomes: list[Outcome] = []
        for person in track(people, "asking with and without personas"):
            outcomes += asking.outcomes(person, facts, personal)
        why = obstacles(outcomes)
        blocks += set_blocks(outcomes, why)
    report = source.folder / REPORT
    write_text(report, markdown(blocks))
    note(f"report: {report}")
    return {"evaluable": not why, "why not": why, "cases": len(outcomes)}
