"""Figures of the near-twin brake and of what is said: by hand, and on a run whose people differ by plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from copersona.export.measure import lending
from copersona.export.measure.abstention import _accuracies
from copersona.export.measure.lending import OFF, ON, Errors, _twins
from copersona.export.measure.measure import measure_run
from copersona.export.measure.switched_on import _against, braked
from copersona.export.run.run import Run
from copersona.runtime.common.errors import ExportError

from ..data.test_invented import encode

pytestmark = pytest.mark.export


def test_accuracies_of_two_people_by_hand() -> None:
    # right of all 3 of 6; of what is kept 2 of 3
    found = _accuracies(np.array([[1.0, 4.0, 1.0, 2.0], [2.0, 2.0, 1.0, 1.0]]), 0)
    assert (found["said"], found["accuracy of all"], found["accuracy of what is said"]) == (0.5, 0.5, 0.6667)
    assert found["gain"]["mean"] == pytest.approx(0.1667, abs=1e-4)
    assert found["gain"]["low"] <= found["gain"]["mean"] <= found["gain"]["high"]


def test_the_loss_of_a_setting_is_against_the_same_people() -> None:
    kept = {"own": np.array([1.0, 2.0]), "nobody": np.array([1.2, 2.4])}
    found = _against(np.array([1.1, 2.0]), kept)
    assert found["loss, minus off"]["mean"] == pytest.approx(0.05)
    assert found["gain, nobody minus off"]["mean"] == pytest.approx(0.3)
    assert found["bar, 5 % of the gain"] == pytest.approx(0.015)


@pytest.fixture(scope="module")
def invented() -> Iterator[Callable[[float], tuple[Errors, Errors]]]:
    """Errors of planted twins by strength of the brake: of all, and of those whose twin is lent from."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lending, "INVENTED", 100)
        yield lambda brake: _twins(encode, brake, 1)


def test_planted_twins_are_found_among_those_lent_from_and_mislead(
    invented: Callable[[float], tuple[Errors, Errors]],
) -> None:
    every, misled = invented(8.0)
    assert len(every["nobody"]) >= 80
    assert len(misled["nobody"]) >= 10
    assert misled["the nearest alone"].mean() > 1.2 * misled["nobody"].mean()
    assert misled[f"soft, {ON}"].mean() < misled[f"soft, {OFF}"].mean()


def test_without_strength_both_branches_are_as_without_the_brake(
    invented: Callable[[float], tuple[Errors, Errors]],
) -> None:
    every, _ = invented(0.0)
    for part in ("soft", "text"):
        np.testing.assert_array_equal(every[f"{part}, {ON}"], every[f"{part}, {OFF}"])


def test_a_run_is_measured_on_half_of_its_people(tiny_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lending, "SEEDS", (1,))
    monkeypatch.setattr(lending, "INVENTED", 40)
    run = Run.open(tiny_run)
    found = measure_run(run, only=("lending", "abstention"))
    assert found["lending"]["brake"] in lending.TRIED
    assert 2 <= found["lending"]["cut to one text"][f"soft, {ON}, minus nobody"]["people"] <= len(run.splits) / 2
    assert 0.5 < found["abstention"]["said"] <= 1
    run.path("measured.json").unlink()


def test_what_is_measured_against_is_asked_for(tiny_run: Path) -> None:
    with pytest.raises(ExportError, match='--only "bits per byte"'):
        braked(Run.open(tiny_run), 2)
