"""Whose answer it is: topic words gone, style kept, distances as by hand, shares that are honest."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from copersona.export.measure.measure import measure_run
from copersona.export.measure.whose import Styles, whose_answer, without_topics
from copersona.export.run.run import Run
from copersona.runtime.assemble.training_free import training_free
from copersona.runtime.common.errors import ExportError
from copersona.runtime.profile.style import style_matrix
from copersona.runtime.session.session import open_bundle

from ...conftest import DEMO

pytestmark = pytest.mark.export
SHOUTS = ["WOW!!! THE STRINGS ARE GREAT!!! BUY NOW!!!", "I LOVE MY AMP! SO LOUD! WOW!", "GREAT! GREAT! CAPO IS COOL!!"]
MUMBLES = [
    "perhaps the strings (which I bought, somewhat late) are rather fine, though I might be wrong",
    "the amp, it seems, is quite fair; maybe, considering the price, one could ask for more",
    "a capo is a capo, probably... although, perhaps, this one (the black one) is slightly better",
]


def test_topic_words_go_and_the_rest_stays() -> None:
    text = "I don't love the Fender Stratocaster, but MY 2nd amp is PERFECT (really)!"
    assert without_topics(text) == "I xx love the Xx Xx, but MY 0 xx is PERFECT (xx)!"
    guitars, pianos = "The guitar has strings, and I like strings.", "The piano has pedals, and I like pedals."
    assert without_topics(guitars) == without_topics(pianos)


def test_the_nearest_is_by_the_mean_absolute_difference_in_standard_deviations() -> None:
    styles = Styles.of([*SHOUTS, *MUMBLES])
    rows = {name: style_matrix([without_topics(t) for t in texts]) for name, texts in (("s", SHOUTS), ("m", MUMBLES))}
    scale = np.maximum(np.concatenate([rows["s"], rows["m"]]).std(axis=0), 1e-6)
    for text in ("BUY THE PEDAL!!!", "the pedal, I guess, is somewhat loud"):
        one = style_matrix([without_topics(text)])[0]
        far = [np.abs((rows[name].mean(axis=0) - one) / scale).mean() for name in ("s", "m")]
        assert styles.nearest(text, [SHOUTS, MUMBLES]) == int(np.argmin(far))
    assert styles.nearest("BUY THE PEDAL!!!", [SHOUTS, MUMBLES]) == 0
    assert styles.nearest("the pedal, I guess, is somewhat loud", [SHOUTS, MUMBLES]) == 1


def test_a_run_is_measured_and_limited_people_are_said(tiny_run: Path) -> None:
    run = Run.open(tiny_run)
    found = measure_run(run, people=9, only=("whose answer",))["whose answer"]
    assert found["triples"] == 3
    assert found["limited to people"] == 9
    for name in ("answers", "true texts", "nobody's answers"):
        assert 0 <= found[name]["low"] <= found[name]["mean"] <= found[name]["high"] <= 1
    assert found["true texts"]["mean"] > 1 / 3  # the invented people differ by plan
    run.path("measured.json").unlink()
    with pytest.raises(ExportError, match="three are needed"):
        whose_answer(run, 2)


def test_another_bundle_of_the_population_is_measured_beside_the_runs_own(
    tiny_run: Path, tiny_gguf: Path, tmp_path: Path
) -> None:
    run = Run.open(tiny_run)
    made = training_free(tiny_gguf, tiny_run / "bundle", tmp_path / "free", context=1024)
    options = {"people": 4, "only": ("bits per byte",), "bundle": tmp_path / "free"}
    found = measure_run(run, **options)["bits per byte"]
    kept = run.path(f"measured-{made.bundle_id[:12]}.json")
    assert json.loads(kept.read_text())["bits per byte"]["mean"] == found["mean"]
    person = next(p for p, split in run.splits.items() if split.held_out)
    with open_bundle(tmp_path / "free") as session:
        known = session.know(run.histories[person][:-1], pseudonym=run.pseudonyms.get(person))
        target = run.histories[person][-1]
        expected = session.score(target.request(), target.output, known).bits_per_byte
    values = json.loads(run.path(f"bits_per_byte-{made.bundle_id[:12]}.json").read_text())
    assert values["own"][0] == pytest.approx(expected)
    assert found["mean"]["own"] == pytest.approx(np.mean(values["own"]), abs=1e-4)
    with pytest.raises(ExportError, match="population"):
        measure_run(Run.open(tiny_run), bundle=DEMO)
    with pytest.raises(ExportError, match="unknown measurements"):
        measure_run(Run.open(tiny_run), only=("parity",), bundle=tmp_path / "free")
    kept.unlink()
