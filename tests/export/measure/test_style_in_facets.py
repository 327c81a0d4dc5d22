"""R² of style from vectors: a planted signal is found, noise is not, and a run's figures are of people not fitted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from copersona.export.measure.measure import measure_run
from copersona.export.measure.style_in_facets import held_out_r2, style_figures
from copersona.export.run.run import Run
from copersona.runtime.common.errors import ExportError
from copersona.runtime.profile.style import STYLE_FEATURES

pytestmark = pytest.mark.export


def test_a_planted_signal_is_found_and_noise_is_not() -> None:
    draw = np.random.default_rng(0)
    inputs = draw.normal(size=(300, 40)).astype(np.float32)
    signal = inputs @ draw.normal(size=40)
    noise = draw.normal(size=300)
    mixed = signal + signal.std() * draw.normal(size=300)  # half of its variance can be known
    found = held_out_r2(inputs, np.stack([signal, noise, mixed], axis=1).astype(np.float32))
    assert found[0] > 0.99
    assert -0.1 < found[1] < 0.05
    assert 0.3 < found[2] < 0.6


def test_a_run_s_people_differ_by_plan_and_their_own_texts_tell(tiny_run: Path) -> None:
    run = Run.open(tiny_run)
    found = measure_run(run, only=("style in facets",))["style in facets"]
    assert set(found["held-out R²"]) == set(STYLE_FEATURES)
    assert found["people"] == len(run.people)
    assert found["held-out R²"]["log_words"]["own texts"] > 0.3
    run.path("measured.json").unlink()
    with pytest.raises(ExportError, match="10 are the least"):
        style_figures(run, 9)
