"""The guard of the tests' own bundle: its model's words taken for the truth, so that its persona spoils some."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from copersona.export.cli.main import export
from copersona.export.guard.answers import Replies, reply_all
from copersona.export.guard.asking import Asking, Outcome
from copersona.export.guard.calibrate import Work, calibrate
from copersona.export.guard.cases import Case
from copersona.export.guard.evaluate import Risks, Steering, evaluate
from copersona.export.guard.people import GROUPS, of_run
from copersona.export.guard.reading import Reader, States
from copersona.export.run.run import Run
from copersona.runtime.bundle.opened import Bundle
from copersona.runtime.engine.layers import layer_states
from copersona.runtime.engine.wanted import Act, Watch
from copersona.runtime.session.session import open_bundle

pytestmark = pytest.mark.export


Made = tuple[Work, Asking, Replies]
RIGHT, WRONG = "the drum", "a harp"


@pytest.fixture(scope="module")
def made(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """Outcomes of twelve people of the tests' run, of which half are spoilt facts and half are helped questions."""
    folder = tmp_path_factory.mktemp("guard")
    with (
        open_bundle(tiny_run / "bundle", threads=1, sequences=2, trusted=True) as session,
        Replies(folder / "replies.jsonl") as replies,
    ):
        people = [replace(one, group=GROUPS[i % 3]) for i, one in enumerate(of_run(Run.open(tiny_run))[:12])]
        outcomes = []
        for person in people:
            case = Case(person.name, person.group, "fact", "fact", "who plays it?", ("drum",))
            outcomes += [Outcome(replace(case, question=f"who plays {i}?"), RIGHT, WRONG) for i in range(2)]
            outcomes += [
                Outcome(replace(case, kind="personal", form="which", question=f"what did i {i}?"), WRONG, RIGHT)
                for i in range(2)
            ]
        asking = Asking(session, replies, people)
        with (
            Reader(session, asking, 1) as reader,
            States(folder / "states.sqlite", "tiny", reader) as states,
        ):
            yield Work(session, reader, states, outcomes), asking, replies


def test_what_is_read_is_what_the_whole_prompt_gives(made: Made) -> None:
    found, asking, _ = made
    one = found.outcomes[0]
    known = asking.known(one.case.person)
    assert known is not None
    prompt = found.session.prompt(one.case.request, known)
    whole = layer_states(found.reader.engine, known.soft, prompt.tokens)
    assert np.allclose(found.states.of([one])[0], whole[:-1, 0], atol=2e-2)


def test_a_guard_is_calibrated_written_and_read_back(made: Made) -> None:
    found, _, replies = made
    calibration = calibrate(found)
    assert calibration.layer == 0  # of two layers the last is not read
    test = Risks.of(found, calibration, "test")
    steering = Steering(found, calibration, replies)
    gamma = steering.gamma()
    compared = evaluate(test, steering.steered(test, gamma))
    assert compared["always nobody"].f.mean == 1.0
    assert compared["off"].gained.mean == 0.0
    assert len(compared) == 9


def test_an_answer_left_alone_is_the_personas_one_made_anew_nobodys_and_a_large_shift_changes_it(made: Made) -> None:
    found, asking, _ = made
    one = found.outcomes[0]
    (asked,) = asking.outcomes([one.case], one.case.person)
    shift = np.float32(50) * (-1) ** np.arange(found.session.manifest.shapes.hidden, dtype=np.float32)
    acts = [Act("leave"), Act("instead"), Act("shift", shift)]
    wanted = [(str(i), found.reader.watched(one, Watch(0, lambda _, act=act: act))) for i, act in enumerate(acts)]
    said = [text for _, text in sorted(reply_all(found.reader.engine, wanted))]
    assert said[:2] == [asked.persona, asked.nobody]
    assert said[2] != said[0]


def test_a_model_that_knows_nothing_gets_no_guard_and_the_report_says_why(tiny_run: Path, tmp_path: Path) -> None:
    questions = tmp_path / "questions.json"
    questions.write_text(json.dumps([{"question": f"what is number {i}?", "answer": f"n{i}"} for i in range(40)]))
    run = shutil.copytree(tiny_run, tmp_path / "run")
    command = ["guard", str(run), "--questions", str(questions), "--people", "12", "--threads", "1", "--json"]
    first, again = (CliRunner().invoke(export, command) for _ in range(2))
    assert first.exit_code == again.exit_code == 0, first.output
    figures = json.loads(first.stdout)
    assert figures == json.loads(again.stdout)
    assert figures["guard"] == "not evaluable"
    assert "0 degraded facts for training" in figures["why"][0]
    assert "Not evaluable" in Path(figures["report"]).read_text()
    assert Bundle(run / "bundle").guard is None


def test_a_bundle_needs_histories_and_a_folder_and_people_of_all_groups(tiny_bundle: Path, tmp_path: Path) -> None:
    questions, people = tmp_path / "questions.json", tmp_path / "people.jsonl"
    questions.write_text('[{"question": "what is red?", "answer": "blood"}]')
    people.write_text("".join(json.dumps({"person": "ana", "output": f"A drum {i}."}) + "\n" for i in range(3)))
    command = ["guard", str(tiny_bundle), "--questions", str(questions)]
    for more, said in (([], "--histories"), (["--histories", str(people), "--out", str(tmp_path / "out")], "too few")):
        result = CliRunner().invoke(export, [*command, *more])
        assert result.exit_code == 1
        assert said in result.stderr
        assert "Traceback" not in result.stderr
