"""The best share of one's own evidence: planted shares are found again, and the claim has an interval over people."""

from __future__ import annotations

import numpy as np
import pytest

from copersona.export.evaluation.bench.statistics import bootstrap_means, bootstrap_ratios
from copersona.export.evaluation.command.control import gate_claim
from copersona.export.evaluation.experiments.gating import Guess, gating_of

pytestmark = pytest.mark.export
GATES = (0.2, 0.4, 0.6, 0.8)


def guesses(shares: dict[int, float], people: int, noise: float, seed: int = 0) -> list[Guess]:
    """Two guesses a person and label, of which the truth is a mix by the label's share."""
    draw, found = np.random.default_rng(seed), []
    for person in range(people):
        for label, share in shares.items():
            for _ in range(2):
                own, peers = draw.normal(size=2)
                truth = share * own + (1 - share) * peers + noise * draw.normal()
                found.append(Guess(person, label, float(own), float(peers), float(truth)))
    return found


def test_planted_shares_are_found_and_their_rise_shows() -> None:
    found = gating_of(guesses({1: 0.2, 2: 0.5, 3: 0.9}, 200, 0.5), GATES)
    for label, share in (("weak", 0.2), ("moderate", 0.5), ("strong", 0.9)):
        row = found.rows[label]
        assert row["low"] < share < row["high"]
        assert row["measurements"] == 400
    assert found.rows["strong"]["trained gate"] == 0.8
    mean, low, high = found.rise
    assert low < 0.7 < high
    assert mean == pytest.approx(found.rows["strong"]["best share"] - found.rows["weak"]["best share"], abs=1e-4)
    assert gate_claim(found).verdict == "yes"


def test_one_guess_by_hand() -> None:
    # peers 1, own 3, truth 2.5: least squares puts three quarters on the own
    found = gating_of([Guess(0, 2, 3.0, 1.0, 2.5)], GATES)
    assert found.rows["moderate"]["best share"] == 0.75
    assert found.rows["moderate"]["error, neighbours"] == 1.5
    assert found.rows["moderate"]["error, mixed by the trained gate"] == pytest.approx(0.3)
    assert gate_claim(found).verdict == "not shown"


def test_what_does_not_rise_is_not_shown_and_what_falls_is_denied() -> None:
    assert gate_claim(gating_of(guesses({1: 0.5, 3: 0.5}, 30, 1.0, seed=2), GATES)).verdict == "not shown"
    assert gate_claim(gating_of(guesses({1: 0.2, 2: 0.9, 3: 0.5}, 200, 0.2), GATES)).verdict == "not shown"
    assert gate_claim(gating_of(guesses({1: 0.9, 3: 0.2}, 200, 0.2), GATES)).verdict == "no"
    assert gate_claim(gating_of(guesses({3: 0.9}, 200, 0.2), GATES)).verdict == "not shown"
    assert gate_claim(gating_of([], GATES)).verdict == "not shown"


def test_ratios_of_sums_are_means_where_everybody_counts_once() -> None:
    values = np.random.default_rng(1).normal(2.0, 1.0, 300)
    drawn = bootstrap_ratios(values[:, None], np.ones((300, 1)), seed=3)[:, 0]
    means = bootstrap_means(values, seed=4)
    assert drawn.mean() == pytest.approx(means.mean(), abs=0.01)
    assert np.percentile(drawn, [2.5, 97.5]) == pytest.approx(np.percentile(means, [2.5, 97.5]), abs=0.02)
