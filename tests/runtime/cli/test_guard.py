"""--guard of the commands, and what `bundle show` says of a guard."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from copersona.runtime.bundle.guard import add_guard
from copersona.runtime.bundle.verify import open_manifest, write_manifest

from ...conftest import DEMO
from ...small_bundle import random_guard
from .conftest import fails, works

QUICK = ("--max-tokens", "6", "--threads", "1")


@pytest.fixture
def bundle(random_bundle: Path, tmp_path: Path) -> Path:
    """A bundle whose guard removes every persona, with ana in the store."""
    folder = shutil.copytree(random_bundle, tmp_path / "bundle")
    add_guard(folder, random_guard(folder, tau=0.0))
    history = tmp_path / "history.jsonl"
    rows = [{"person": "ana", "output": f"I love these strings, set {n}! They are bright."} for n in range(3)]
    history.write_text("".join(json.dumps(row) + "\n" for row in rows))
    works("people", "import", folder, history)
    return folder


def test_ask_and_generate_say_in_the_receipt_what_was_decided(bundle: Path, tmp_path: Path) -> None:
    asked = (bundle, "Write a review.", "--person", "ana", "--json", *QUICK)
    found = json.loads(works("ask", *asked, "--guard", "regenerate"))
    assert found["receipt"]["guard"]["decision"] == "removed"
    assert found["output"] == json.loads(works("ask", bundle, "Write a review.", "--json", *QUICK))["output"]
    assert json.loads(works("ask", *asked))["receipt"]["guard"] is None
    requests, answers = tmp_path / "requests.jsonl", tmp_path / "answers.jsonl"
    requests.write_text(json.dumps({"id": "1", "person": "ana", "input": "Write a review."}) + "\n")
    works("generate", bundle, requests, answers, "--guard", "H", *QUICK)
    assert json.loads(answers.read_text())["receipt"]["guard"]["decision"] == "held"
    assert "guard" in fails("generate", bundle, requests, answers, "--resume", "--guard", "S", *QUICK)


def test_show_says_what_the_guard_was_calibrated_on(bundle: Path) -> None:
    said = works("bundle", "show", bundle)
    assert "guard: layer 0 of 2, gamma 0.5, tau 0; area under the curve 0.900, of the request alone 0.600" in said
    assert "150 degraded and 140 beneficial cases, made up" in said
    assert json.loads(works("bundle", "show", bundle, "--json"))["settings"]["guard"]["layer"] == 0


def test_a_thin_bundle_has_its_guard_before_it_is_assembled(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(DEMO, tmp_path / "thin"))
    before = open_manifest(folder)
    made = add_guard(folder, random_guard(folder, layers=30, layer=26))
    assert made.thin
    assert made.population_id == before.population_id
    assert "guard: layer 26 of 30" in works("bundle", "show", folder)
    works("bundle", "verify", folder)
    settings = {**made.settings, "guard": {**made.settings["guard"], "tau": 3}}
    write_manifest(folder, {row.path: row.role for row in made.files}, made.shapes, settings)
    assert "guard's tau is 3, expected a number from 0 to 1" in fails("bundle", "verify", folder)


def test_a_bundle_without_a_guard_is_one_line(random_bundle: Path) -> None:
    said = fails("ask", random_bundle, "Write a review.", "--guard", "M", *QUICK)
    assert "has no guard, M cannot be had; make one with: copersona export guard" in said
