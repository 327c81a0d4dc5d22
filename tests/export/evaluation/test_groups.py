"""Groups of people in a report: who is in which, and who is compared with whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from copersona.export.evaluation.experiments.trials import Experiment
from copersona.export.evaluation.report.groups import CUTS, Cut, grouped
from copersona.export.evaluation.report.plots import plot
from copersona.export.evaluation.report.results import Row, table

pytestmark = pytest.mark.export

PEOPLE = {f"p{i}": {"interactions": float(i), "facets not strong": float(i % 3)} for i in range(1, 9)}


def methods() -> Experiment:
    return Experiment("methods", "Methods", (), "CoPersona", "")


def values(cost: float) -> dict[str, dict[str, float]]:
    return {person: {"bits per byte": cost + row["interactions"] / 10} for person, row in PEOPLE.items()}


def test_everyone_is_in_one_group_of_each_cut() -> None:
    for cut in CUTS:
        groups = cut.groups(PEOPLE)
        assert sorted(p for inside in groups.values() for p in inside) == sorted(PEOPLE)
    found = Cut("t", "T", "interactions", "texts", (0, 1, 3, 5)).groups(PEOPLE)
    assert {label: len(inside) for label, inside in found.items()} == {"1-2 texts": 2, "3-4 texts": 2, "5+ texts": 4}


def test_a_group_s_differences_are_of_its_own_people_and_drawn(tmp_path: Path) -> None:
    rows = [
        Row("CoPersona", "", values(1.0)),
        Row(
            "LoRA with RAG",
            "",
            {p: {"bits per byte": v["bits per byte"] + (p == "p1")} for p, v in values(1.0).items()},
        ),
    ]
    found = grouped(table(methods(), rows), PEOPLE, Cut("t", "T", "interactions", "texts", (1, 3)))
    assert found is not None
    gaps = {c.method: (c.gap.mean, c.gap.people) for c in found.comparisons}
    assert gaps == {"1-2 texts: LoRA with RAG": (0.5, 2), "3+ texts: LoRA with RAG": (pytest.approx(0.0), 6)}
    assert found.row("1-2 texts: CoPersona").mean("bits per byte") == pytest.approx(1.15)
    assert [(t.series, t.point) for t in found.experiment.trials] == [
        ("LoRA with RAG", "1-2 texts"),
        ("LoRA with RAG", "3+ texts"),
    ]
    assert plot(found, tmp_path / "groups.png")


def test_without_anything_to_compare_with_there_is_no_table() -> None:
    assert grouped(table(methods(), [Row("CoPersona", "", values(1.0))]), PEOPLE, CUTS[0]) is None
    assert grouped(table(methods(), [Row("LoRA with RAG", "", values(1.0))]), PEOPLE, CUTS[0]) is None
