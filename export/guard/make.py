"""`copersona export guard` as a whole: ask, judge, read the layers, calibrate, write the guard, report."""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path

from copersona.export.common.figures import Figures
from copersona.export.common.files import write_text
from copersona.export.common.vectors import VectorFile
from copersona.export.evaluation.report.document import Block, Heading, markdown
from copersona.export.guard.answers import Replies
from copersona.export.guard.asking import Asking, Outcome
from copersona.export.guard.calibrate import Calibration, Work, calibrate, labels_of, told_apart
from copersona.export.guard.cases import Facts
from copersona.export.guard.counted import obstacles
from copersona.export.guard.drawn import draw_layers
from copersona.export.guard.evaluate import MOST_STEERED, Risks, Steering, evaluate
from copersona.export.guard.people import GROUPS, LEAST, Person
from copersona.export.guard.personal import Personal
from copersona.export.guard.questions import read_questions
from copersona.export.guard.reading import Reader, States
from copersona.export.guard.report import calibration_blocks, mode_blocks, set_blocks
from copersona.export.guard.source import Options, Source
from copersona.runtime.bundle.guard import Guard, GuardFigures, add_guard
from copersona.runtime.common.errors import ExportError
from copersona.runtime.common.progress import note, track
from copersona.runtime.session.session import Session, open_bundle

TOGETHER = 8  # answers at once
KNOWN, UNKNOWN = 8, 1  # facts of a person: that nobody answers rightly, and others
REPORT, LAYERS = "report.md", "layers.png"


def make_guard(target: Path, options: Options) -> Figures:
    """Make the guard of a run's bundle, or of a bundle with histories; what it came to.

    Raises:
        ExportError: a run or a bundle that cannot be used, or questions that cannot be read.
    """
    source = Source.of(target, options)
    with ExitStack() as stack:
        session = stack.enter_context(open_bundle(source.bundle, threads=options.threads, sequences=TOGETHER))
        replies = stack.enter_context(Replies(source.folder / "replies.jsonl"))
        people = source.people(session.bundle)
        if {person.group for person in people[: options.people]} != set(GROUPS):
            raise ExportError(f"{len(people)} people with {LEAST} texts or more are too few to calibrate a guard on")
        asking = Asking(session, replies, people)
        outcomes = _asked(source, session, asking, people)
        why = obstacles(outcomes)
        blocks = [Heading("Factuality guard", 1), *set_blocks(outcomes, why)]
        if not why:
            reader = stack.enter_context(Reader(session, asking, options.threads))
            path = source.folder / "states.sqlite"
            states = stack.enter_context(States(path, source.folder.name, reader))
            blocks += _made(source, Work(session, reader, states, outcomes), replies)
    report = source.folder / REPORT
    write_text(report, markdown(blocks))
    note(f"report: {report}")
    return {"guard": "not evaluable" if why else "written", "why": why, "cases": len(outcomes), "report": str(report)}


def _asked(source: Source, session: Session, asking: Asking, people: list[Person]) -> list[Outcome]:
    """Every question with and without personas."""
    path = source.folder / "vectors.sqlite"
    with closing(VectorFile(path, session.manifest.population_id, session.encoder.encode)) as encode:
        known, unknown = asking.sorted_out(read_questions(source.options.questions))
        makers = (Personal(people).of, Facts(known, encode, KNOWN).of, Facts(unknown, encode, UNKNOWN).of)
        found: list[Outcome] = []
        for person in track(people[: source.options.people], "asking with and without personas"):
            found += asking.outcomes([case for make in makers for case in make(person)], person.name)
        return found


def _made(source: Source, work: Work, replies: Replies) -> list[Block]:
    """Calibrate, write the guard, and see what each mode does on test."""
    found = calibrate(work)
    picture = source.folder / LAYERS
    draw_layers(found.located, found.by_layer, picture)
    steering = Steering(work, found, replies)
    gamma = steering.gamma()
    add_guard(source.bundle, _guard(work, found, gamma))
    blocks = [*calibration_blocks(work, found, gamma, picture), Heading("Modes on test")]
    test = Risks.of(work, found, "test")
    blocks += mode_blocks(test, evaluate(test, None))
    if source.options.evaluate:
        some = Risks.of(work, found, "test", MOST_STEERED)
        blocks += mode_blocks(some, evaluate(some, steering.steered(some, gamma)))
    return blocks


def _guard(work: Work, found: Calibration, gamma: float) -> Guard:
    probed, probe, labels = found.probed, found.probed.probe, labels_of(told_apart(work.of("training")))
    people = len({one.case.person for one in work.outcomes})
    on = f"{people} people, {len(work.outcomes)} cases"
    degraded = int(labels.sum())
    return Guard(
        base=str(work.session.manifest.settings["base"]), layers=work.reader.engine.facts.layers, layer=found.layer,
        mean=probe.mean, scale=probe.scale, weights=probe.weights, vector=found.vector, bias=probe.bias, gamma=gamma,
        tau=probed.tau,
        figures=GuardFigures(probed.test, probed.shuffled, found.alone.test, degraded, len(labels) - degraded, on),
    )  # fmt: skip
