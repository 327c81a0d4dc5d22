"""What a report claims, on tables of made-up values: shown, not shown, or the opposite."""

from __future__ import annotations

import pytest

from copersona.export.evaluation.bench.bits import BITS
from copersona.export.evaluation.experiments.trials import Experiment
from copersona.export.evaluation.report.claims import claims
from copersona.export.evaluation.report.results import Row, Table, table

pytestmark = pytest.mark.export


def measured(name: str, rows: dict[str, list[float]]) -> Table:
    """A table of bits per byte, a person a place."""
    filled = [Row(label, "", {str(i): {BITS: v} for i, v in enumerate(values)}) for label, values in rows.items()]
    return table(Experiment(name, name, (), next(iter(rows)), ""), filled)


def test_claims_show_or_do_not_or_the_opposite_does() -> None:
    own = [1.0 + i / 10 for i in range(40)]
    more, less, same = (
        [v + gap + (i % 3 - 1) / 50 for i, v in enumerate(own)] for gap in (0.1, -0.1, 0.0)
    )  # 39 gaps of mean zero and one more
    nobody = "nobody (trained state)"
    methods = measured("methods", {"CoPersona": own, nobody: more, "RAG": less, "PAG": same, "unigram reference": more})
    cold = measured("cold", {nobody: more, "all": own})
    people = {str(i): {"new": float(i >= 20)} for i in range(40)}
    found = {c.claim: c for c in claims([methods, cold], people)}
    assert {name: c.verdict for name, c in found.items()} == {
        "CoPersona is better than RAG": "no",
        "CoPersona is better than PAG": "not shown",
        "the persona pays: nobody costs more than oneself": "yes",
        "cold start: all interactions are better than nobody": "yes",
        "new people gain at least half of what people in the graph gain": "yes",
    }
    assert found["CoPersona is better than RAG"].figure.startswith("-0.100")


def test_the_soft_prompt_is_asked_for_beside_own_texts_alone() -> None:
    own = [1.0 + i / 10 for i in range(40)]
    less, more = ([v + gap + (i % 3 - 1) / 50 for i, v in enumerate(own)] for gap in (-0.1, 0.1))
    rows = {"CoPersona": own, "w/o facets and peers in text": less, "LoRA with RAG": more}
    found = {c.claim: c.verdict for c in claims([measured("ablations", rows)], {})}
    assert found == {
        "retrained, this is worse: w/o facets and peers in text": "no",
        "the soft prompt pays: with own texts alone beside it, retrained": "yes",
    }


def test_new_people_count_only_where_people_in_the_graph_gain() -> None:
    own, nobody = [1.0] * 40, [1.1] * 20 + [1.04] * 20
    people = {str(i): {"new": float(i >= 20)} for i in range(40)}
    rows = {"CoPersona": own, "nobody (trained state)": nobody}
    assert claims([measured("methods", rows)], people)[-1].verdict == "no"
    assert ": 40%" in claims([measured("methods", rows)], people)[-1].figure
    rows = {"CoPersona": nobody, "nobody (trained state)": own}
    assert claims([measured("methods", rows)], people)[-1].verdict == "not shown"
    assert len(claims([measured("methods", rows)], {p: {"new": 0.0} for p in people})) == 1
    noisy = [1.1] * 20 + [1.06 + (i % 2 - 0.5) / 5 for i in range(20)]
    found = claims([measured("methods", {"CoPersona": own, "nobody (trained state)": noisy})], people)[-1]
    assert ": 60%" in found.figure
    assert found.verdict == "not shown"  # above half, and could well be below it
