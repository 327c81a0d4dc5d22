"""Who writes in a script that a bundle was not measured in is told so, at import and when they ask."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import call

QUICK = ("--max-tokens", "4", "--threads", "1")
TEXTS = {
    "mei": "我今天早上走到市场，买了两个苹果、一条面包和一些奶酪。面包还是热的！",
    "asha": "आज सुबह मैं बाज़ार गया और दो सेब, एक रोटी और थोड़ा पनीर ख़रीदा। रोटी अभी गरम थी!",
    "ana": "I walked to the market and bought two apples, bread and cheese. The bread was warm!",
}
SCRIPTS = {"mei": "Han", "asha": "Devanagari"}


@pytest.fixture
def history(tmp_path: Path) -> Path:
    path = tmp_path / "history.jsonl"
    rows = [{"person": name, "output": text, "time": n} for name, text in TEXTS.items() for n in range(6)]
    path.write_text("".join(json.dumps({**row, "title": str(row["time"])}) + "\n" for row in rows))
    return path


def test_it_is_said_at_import_and_at_ask_and_no_facet_is_made_up(tiny_bundle: Path, history: Path) -> None:
    done = call("people", "import", tiny_bundle, history)
    assert done.exit_code == 0
    assert done.stderr.startswith("note: mei (Han), asha (Devanagari): the facets of this bundle are measured in Latin")
    assert done.stderr.count("\n") == 1
    for name in TEXTS:
        options = ("--matched", 2, "--recent", 1, "--json", *QUICK)
        asked = call("ask", tiny_bundle, "--person", name, "苹果 सेब apples", *options)
        assert asked.exit_code == 0
        facets = json.loads(asked.stdout)["receipt"]["facets"]
        if name in SCRIPTS:
            assert asked.stderr.startswith(f"note: {name} ({SCRIPTS[name]}): the facets of this bundle")
            assert {facet["reliability"] for facet in facets} == {"none"}
        else:
            assert asked.stderr == ""
        found = [row["by"] for row in json.loads(asked.stdout)["receipt"]["retrieved"]]
        assert found == ["recent", "bm25", "bm25"]
        assert ("note: " in call("people", "show", tiny_bundle, name).stderr) == (name in SCRIPTS)
