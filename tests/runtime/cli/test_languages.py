"""Who writes in a script that a bundle was not measured in is told so, at import and when they ask."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from copersona.runtime.profile.language import language_of

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


GERMAN = (
    "Die Saiten klingen sehr warm, und der Hals liegt gut in der Hand. Ich spiele seit vielen Jahren und habe selten "
    "etwas gefunden, das so lange hält. Nur die Verpackung war beschädigt, aber das stört mich nicht weiter."
)


def test_who_writes_in_another_language_is_told_so(tiny_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    rows = [{"person": "max", "output": f"{n} {GERMAN}", "time": n} for n in range(4)]
    rows += [{"person": "ana", "output": f"{n} {TEXTS['ana']}", "time": n} for n in range(4)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = call("people", "import", tiny_bundle, path)
    assert done.exit_code == 0
    assert done.stderr.startswith("note: max (de): the measured facets and the encoder of this bundle are made for en,")
    assert done.stderr.count("\n") == 1
    assert call("ask", tiny_bundle, "--person", "max", "Schreib etwas.", *QUICK).stderr.startswith("note: max (de)")
    assert call("ask", tiny_bundle, "--person", "ana", "Write.", *QUICK).stderr == ""


def test_who_has_more_in_a_served_language_or_another_script_is_not_named_for_a_language(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    path = tmp_path / "history.jsonl"
    cyrillic = "Сегодня утром я пошёл на рынок и купил два яблока, хлеб и сыр! "

    def add(person: str, texts: list[str]) -> str:
        path.write_text("".join(json.dumps({"person": person, "output": text}) + "\n" for text in texts))
        done = call("people", "import", tiny_bundle, path)
        assert done.exit_code == 0
        return done.stderr

    assert add("ana", [f"{n} {TEXTS['ana']}" for n in range(9)]) == ""
    assert add("ana", [f"{n} {GERMAN}" for n in range(4)]) == ""
    assert "ana (de)" in add("ana", [f"{n} {GERMAN}" for n in range(20)])
    said = add("ivan", [f"{n} {cyrillic * 5}" for n in range(4)])
    assert "ivan (Cyrillic)" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (TEXTS["ana"] * 5, "en"), ("GREAT!!! luv it so much, the BEST amp and i have not seen it fail. " * 6, "en"),
        (GERMAN * 2, "de"), (TEXTS["asha"] * 8, "hi"),
        ("C'est une belle guitare, le son est chaud, je la garde. " * 7, "fr"),
        ("ok", ""), ("12345 !!! " * 100, ""), ("", ""),
    ],
)  # fmt: skip
def test_a_language_is_told_from_enough_text(text: str, code: str) -> None:
    assert language_of([text]) == code


def test_english_is_told_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "py3langid", None)
    assert language_of([TEXTS["ana"]] * 5) == "en"
