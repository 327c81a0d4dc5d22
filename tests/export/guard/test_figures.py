"""The guard's figures against formulas by hand, scikit-learn, and a bootstrap written in another way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from copersona.export.guard.cases import most_alike
from copersona.export.guard.locator import FUSION, deviation, locate
from copersona.export.guard.prober import auc, fit, fit_best, shuffled_auc
from copersona.export.guard.resampling import Clusters

pytestmark = pytest.mark.export


def test_the_deviation_is_the_papers_on_three_cases_by_hand() -> None:
    with_persona, without = (
        np.log([[0.5, 0.25], [0.1, 0.5], [0.2, 0.2]]),
        np.log([[0.25, 0.5], [0.2, 0.25], [0.2, 0.2]]),
    )
    # PPL with = 2, 4; without = 4, 2: (2 - 4) / 2 = -1, (4 - 2) / 4 = 0.5, and so on
    expected = [[-1.0, 0.5], [0.5, -1.0], [0.0, 0.0]]
    assert np.allclose(deviation(with_persona, without), expected)


def test_layers_are_ranked_by_size_in_each_group_and_the_ranks_fused() -> None:
    degraded = np.array([[0.0, 0.3, 0.2], [0.2, 0.5, 0.4]])  # means 0.1, 0.4, 0.3
    beneficial = np.array([[-0.1, -0.2, -0.6]])
    found = locate(degraded, beneficial)
    ranks = np.array([[3, 1, 2], [3, 2, 1]])
    assert np.allclose(found.score, (1 / (FUSION + ranks)).sum(axis=0))
    assert found.layer == 2  # as good as layer 1, and later
    assert np.allclose(found.degraded, [0.1, 0.4, 0.3])


def test_a_question_is_chosen_by_how_often_texts_find_it_and_by_its_nearest() -> None:
    similarity = np.array([[0.9, 0.5, 0.1, 0.0], [0.1, 0.6, 0.8, 0.0]], np.float32)
    # found twice of two and 0.6; once and 0.9; once and 0.8; never
    assert most_alike(similarity, retrieved=2, kept=3) == [1, 0, 2]
    assert most_alike(similarity, retrieved=2, kept=1) == [1]


def test_a_probe_is_scikit_learns_own_regression_on_standardised_states() -> None:
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, 80)
    states = (draw.normal(size=(80, 12)) * 3 + 5 + 2 * labels[:, None]).astype(np.float32)
    probe = fit(states, labels, 0.1)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000, class_weight="balanced"))
    expected = model.fit(states, labels).predict_proba(states)[:, 1]
    assert np.allclose(probe(states), expected, atol=1e-4)
    assert auc(probe, states, labels) == pytest.approx(roc_auc_score(labels, expected))


def test_a_probe_finds_what_is_there_and_shuffled_labels_find_nothing() -> None:
    draw = np.random.default_rng(1)
    labels = np.repeat([0, 1], 100)
    states = draw.normal(size=(200, 40)).astype(np.float32)
    states[labels == 1, 3] += 3
    half = draw.permutation(200)
    one, other = half[:100], half[100:]
    probe = fit_best(states[one], labels[one], states[other], labels[other])
    assert auc(probe, states[other], labels[other]) > 0.85
    assert abs(shuffled_auc(states[one], labels[one], states[other], labels[other]) - 0.5) < 0.15


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.floats(0, 1)), min_size=2, max_size=30))
def test_an_interval_holds_its_mean_and_stays_within_the_values(rows: list[tuple[int, int, float]]) -> None:
    people, questions, values = zip(*rows, strict=True)
    found = Clusters([f"p{i}" for i in people], [f"q{i}" for i in questions]).of([np.array(values)])
    assert found.mean == pytest.approx(np.mean(values))
    assert min(values) - 1e-9 <= found.low <= found.most <= found.high <= max(values) + 1e-9


def test_cases_that_hang_together_count_as_fewer() -> None:
    draw = np.random.default_rng(0)
    values = np.repeat(draw.integers(0, 2, 40), 10).astype(np.float64)  # ten equal answers a person
    clustered = Clusters([f"p{i // 10}" for i in range(400)], [f"q{i}" for i in range(400)]).of([values])
    alone = Clusters([f"p{i}" for i in range(400)], ["q"] * 400).of([values])
    wide, narrow = clustered.high - clustered.low, alone.high - alone.low
    assert 2.5 < wide / narrow < 4.5  # sqrt(10)
    person_means = values.reshape(40, 10).mean(axis=1)
    assert wide == pytest.approx(2 * 1.96 * person_means.std() / np.sqrt(40), rel=0.25)
