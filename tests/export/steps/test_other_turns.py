"""A base that speaks no ChatML, from its folder to an answer: Gemma's turns, which alternate and know no system."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from copersona.export.convert.file_tokens import base_turns
from copersona.export.run.run import Run
from copersona.export.steps.pipeline import run_steps, step_key
from copersona.export.steps.steps import STEPS
from copersona.runtime.bundle.verify import open_manifest
from copersona.runtime.engine.sampling import Sampling
from copersona.runtime.engine.turns import turns_json
from copersona.runtime.prompt.frames import WROTE
from copersona.runtime.prompt.layout import INSTRUCTION
from copersona.runtime.prompt.prompt import person_prompt
from copersona.runtime.session.session import open_bundle

from ...conftest import quiet
from ...families import FAMILIES

pytestmark = pytest.mark.export


@pytest.fixture(scope="module")
def base(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tests' base with Gemma's control tokens, in rows that its model has to spare, and Gemma's template."""
    from transformers import PreTrainedTokenizerFast

    folder, family = tmp_path_factory.mktemp("gemma") / "base", FAMILIES["Gemma"]
    shutil.copytree(tiny_base, folder)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": list(family.control), **family.special})
    tokenizer.chat_template = family.template
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def run(tiny_run: Path, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The steps of `tiny_run` up to the graph, and the others on this base."""
    folder = tmp_path_factory.mktemp("gemma_run") / "run"
    shutil.copytree(tiny_run, folder)
    run = Run(folder, replace(Run.open(tiny_run).settings, base=str(base)))
    run.save_settings()
    with quiet():
        run_steps(run, tuple(STEPS), lambda line: None)
    return run


def test_a_bundle_of_other_turns_answers_in_them(run: Run, base: Path) -> None:
    turns = base_turns(base)
    assert open_manifest(run.path("bundle")).settings["turns"] == turns_json(turns)
    history = next(iter(run.training_histories.values()))
    with open_bundle(run.path("bundle")) as session:
        someone = session.know(history)
        prompt = session.prompt("What now?", someone)
        assert session.layout.turns == turns == run.turns
        assert prompt.history
        assert prompt == person_prompt(run.layout, "What now?", history, someone.persona, run.encode)
        begin, start, _, end = (session.engine.control(token) for token in FAMILIES["Gemma"].control)
        assert [prompt.tokens.count(token) for token in (begin, start, end)] == [1, 2, 1]
        text = session.engine.detokenize(prompt.tokens)
        assert text.startswith(f"user\n{INSTRUCTION}\n")
        assert text.count(WROTE) == len(prompt.history)
        assert text.endswith("What now?\nmodel\n")
        assert session.engine.is_end(turns.end)
        answer = session.answer("What now?", someone, Sampling(max_tokens=5)).finish()
        assert answer.receipt.pieces == 5
        scored = session.score("What now?", "Fine.", someone)
        assert scored.tokens == len(session.layout.answer("Fine."))


def test_other_turns_are_another_training(run: Run, base: Path, tmp_path: Path) -> None:
    """The same weights and settings, but another template."""
    other = tmp_path / "base"
    shutil.copytree(base, other)
    config = json.loads((other / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert "chat_template" not in config
    template = (other / "chat_template.jinja").read_text(encoding="utf-8")
    settings = replace(run.settings, base=str(other))
    same = step_key(Run(run.folder, settings), "train")
    (other / "chat_template.jinja").write_text(template.replace("model\n", "writer\n"), encoding="utf-8")
    assert step_key(Run(run.folder, settings), "train") != same
    assert step_key(Run(run.folder, settings), "graph") == step_key(run, "graph")
