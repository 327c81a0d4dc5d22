"""Files of facts to be kept: read with care, named in the key of the training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from copersona.export.run.run import Run
from copersona.export.steps.pipeline import step_key
from copersona.export.steps.steps import STEPS
from copersona.export.training.kept import Kept, read_kept, write_kept
from copersona.runtime.common.errors import ExportError

pytestmark = pytest.mark.export
FACTS = (Kept("who plays bass?", "Tina Weymouth"), Kept("where is the band from?", "New York"))


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    rows = (*FACTS, Kept('what does "naïve" mean?\nin short', "simple 😀"))
    write_kept(tmp_path / "facts.jsonl", rows)
    assert read_kept(tmp_path / "facts.jsonl") == rows


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"input": "a?", "output": "b"}\n{"input": "c?"}\n', "facts.jsonl:2: 'output' is missing"),
        ('{"input": "  ", "output": "b"}\n', "facts.jsonl:1: 'input' is missing"),
        ('{"input": 3, "output": "b"}\n', "facts.jsonl:1: 'input' is missing or no text"),
        ("[1]\n", "facts.jsonl:1: "),
        ("", "facts.jsonl: is empty"),
    ],
)
def test_a_bad_line_is_named(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "facts.jsonl").write_text(text)
    with pytest.raises(ExportError) as caught:
        read_kept(tmp_path / "facts.jsonl")
    assert words in str(caught.value)


def test_other_facts_make_the_training_stale(tiny_run: Path, tmp_path: Path) -> None:
    run, facts = Run.open(tiny_run), tmp_path / "facts.jsonl"
    write_kept(facts, FACTS)
    other = Run(tiny_run, replace(run.settings, keep=str(facts)))
    first = [step_key(other, step) for step in STEPS]
    before = ("prepare", "encoder", "discover", "profile", "graph")
    assert [key == step_key(run, step) for key, step in zip(first, STEPS, strict=True)] == [s in before for s in STEPS]
    write_kept(facts, FACTS[:1])
    assert [key == step_key(other, step) for key, step in zip(first, STEPS, strict=True)] == [
        s in before for s in STEPS
    ]
