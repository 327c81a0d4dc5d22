"""Right or wrong: known answers as whole words, whatever case, marks and articles."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copersona.export.guard.judge import is_right, normal
from copersona.export.guard.questions import Question, read_questions
from copersona.runtime.common.errors import ExportError

pytestmark = pytest.mark.export


@pytest.mark.parametrize(
    ("answer", "known", "right"),
    [
        ("The capital is Paris.", ["Paris"], True),
        ("It's the New-York Rangers!", ["New York Rangers"], True),
        ("New York", ["New York Rangers"], False),
        ("He lived in Parisian style", ["Paris"], False),
        ("1994", ["1995", "1994"], True),
        ("", ["Paris"], False),
        ("anything", [""], False),
        ("O'Neill", ["ONeill"], True),
    ],
)
def test_an_answer_is_right_where_a_known_one_stands_in_it_as_whole_words(
    answer: str, known: list[str], right: bool
) -> None:
    assert is_right(answer, known) is right


@given(st.text(max_size=60))
def test_a_text_in_its_normal_form_is_its_own_normal_form(text: str) -> None:
    assert normal(normal(text)) == normal(text)


@given(st.text(max_size=30), st.text(max_size=20), st.text(max_size=30))
def test_an_answer_that_holds_the_known_one_is_right(before: str, known: str, after: str) -> None:
    assert is_right(f"{before} {known} {after}", [known]) is bool(normal(known))


def test_questions_are_read_from_both_forms_once_each_and_what_cannot_be_judged_is_left_out(tmp_path: Path) -> None:
    array, lines = tmp_path / "a.json", tmp_path / "b.jsonl"
    rows = [
        {"qText": "who wrote hamlet?", "answers": ["Shakespeare", "the Bard"]},
        {"qText": "is it so?", "answers": ["yes"]},
        {"qText": "where is rome, italy?", "answers": ["Italy", "Europe"]},
        {"qText": "who is it?", "answers": []},
        "no object",
        {"qText": "how old is he?", "answers": ["http://example.org/a"]},
    ]
    array.write_text(json.dumps(rows))
    lines.write_text(
        '{"question": "Who wrote Hamlet?", "answer": "Marlowe"}\n\n{"question": "What is red?", "answer": "blood"}\n'
    )
    assert read_questions([array, lines]) == [
        Question("who wrote hamlet?", ("Shakespeare", "the Bard")),
        Question("where is rome, italy?", ("Europe",)),
        Question("What is red?", ("blood",)),
    ]


@pytest.mark.parametrize("text", ["[]", "no json", "[1, 2]", '{"question": "q"}', "[" * 100_000])
def test_a_file_without_questions_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(ExportError, match=r"bad\.json"):
        read_questions([tmp_path / "bad.json"])
