"""Statistics of an evaluation, against values worked out by hand and against scipy; and the store of values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from copersona.export.evaluation.bench.statistics import holm, interval, paired, sign_flip
from copersona.export.evaluation.bench.values import ValueStore
from copersona.export.evaluation.report.results import Row, compare
from copersona.runtime.common.errors import ExportError

pytestmark = pytest.mark.export


def test_holm_by_hand() -> None:
    # sorted 0.01 0.02 0.03 0.04: times 4, 3, 2, 1 = 0.04 0.06 0.06 0.04 -> running maximum
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_generated_texts_are_corrected_apart_from_the_true_one() -> None:
    values = {f"p{i}": {"bits per byte": i / 10, "ROUGE-1": i / 20} for i in range(6)}
    better = {
        p: {"bits per byte": row["bits per byte"] - 1.0, "ROUGE-1": row["ROUGE-1"] + 1.0} for p, row in values.items()
    }
    rows = [Row("full", "", values), Row("other", "", better)]
    found = compare("t", rows, "full", ["ROUGE-1", "bits per byte"])
    assert [c.metric for c in found] == ["bits per byte", "ROUGE-1"]
    assert all(c.p_holm == c.gap.p for c in found)  # one comparison of each kind: nothing to correct
    doubled = compare("t", [*rows, Row("third", "", better)], "full", ["bits per byte"])
    assert [c.p_holm for c in doubled] == pytest.approx([2 * c.gap.p for c in doubled])


def test_the_sign_flip_test_equals_scipys_for_few_people() -> None:
    from scipy.stats import permutation_test

    gaps = np.array([0.3, -0.1, 0.5, 0.2, 0.4, -0.05, 0.15])
    theirs = permutation_test((gaps,), np.mean, permutation_type="samples", n_resamples=np.inf, alternative="two-sided")
    assert sign_flip(gaps) == pytest.approx(theirs.pvalue)
    assert sign_flip(np.array([1.0, 1.0])) == 0.5  # of ++ +- -+ -- two are as far out


def test_with_many_people_p_is_near_the_t_tests() -> None:
    from scipy.stats import ttest_1samp

    draw = np.random.default_rng(3)
    gaps = draw.normal(0.1, 1.0, 400)
    assert sign_flip(gaps) == pytest.approx(ttest_1samp(gaps, 0).pvalue, abs=0.01)


def test_a_paired_difference_and_the_smallest_that_could_be_shown() -> None:
    from scipy.stats import bootstrap

    draw = np.random.default_rng(5)
    base = draw.normal(0, 3.0, 200)
    found = paired(base + draw.normal(0.5, 1.0, 200), base, seed=1)
    assert found.people == 200
    assert found.low < found.mean < found.high
    assert found.p < 0.001
    gaps = np.array([1.0, 2.0, 3.0, 4.0])
    one = paired(gaps, np.zeros(4))
    assert one.mean == 2.5
    assert one.smallest == pytest.approx(2.801585 * np.std(gaps, ddof=1) / 2)  # standard error: over the root of four
    theirs = bootstrap((gaps,), np.mean, n_resamples=10_000, method="percentile").confidence_interval
    assert (one.low, one.high) == pytest.approx((theirs.low, theirs.high), abs=0.15)


def test_with_one_person_nothing_is_shown() -> None:
    found = paired(np.array([1.0]), np.array([3.0]))
    assert (found.mean, found.low, found.high, found.p) == (-2.0, -2.0, -2.0, 1.0)
    assert found.smallest == float("inf")
    assert interval(np.array([2.0])) == (2.0, 2.0, 2.0)


def test_values_are_kept_and_a_cut_line_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "values.jsonl"
    with ValueStore(path) as store:
        store.put("k", "m", "c", "n1", {"bits": 1.5})
        store.put("k", "m", "c", "n2", {"bits": 2.5})
        store.sync()
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    with ValueStore(path) as store:
        assert store.get("k", "n1") == {"bits": 1.5}
        assert store.get("k", "n2") == {}
        store.put("k", "m", "c", "n2", {"bits": 2.5})
        store.put("k", "m", "c", "n2", {"rouge": 0.5})
    with ValueStore(path) as store:
        assert store.get("k", "n2") == {"bits": 2.5, "rouge": 0.5}
        assert store.get("other", "n2") == {}


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "values.jsonl"
    path.write_text('{"a": 1}\n')
    with pytest.raises(ExportError, match="not a file of values"):
        ValueStore(path)
