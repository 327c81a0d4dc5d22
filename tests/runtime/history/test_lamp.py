"""LaMP and LongLaMP: questions, gold outputs and profiles become histories; arrays are streamed and faults named."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from copersona.runtime.common.errors import HistoryError
from copersona.runtime.history import jsonlines, lamp
from copersona.runtime.history.importers import load_history, read_history
from copersona.runtime.history.interactions import Interaction, group_by_person
from copersona.runtime.history.jsonlines import read_records

HEADLINE = {
    "id": "31", "input": "Generate a headline for the following article: Rain fell.", "output": "Rain",
    "profile": [{"id": "310", "text": "It snowed.", "title": "Snow Day", "date": "2012-05-01"}],
}  # fmt: skip
ABSTRACT = {
    "name": "Ann Lee", "input": 'Generate an abstract for the title "B" using the following items: x',
    "output": "We show B.", "profile": [{"abstract": "We show A.", "id": "1", "title": "A", "year": 2001}],
}  # fmt: skip


def write(folder: Path, rows: Any, name: str = "h.jsonl", *, array: bool = False) -> Path:
    path = folder / name
    path.write_text(json.dumps(rows) if array else "".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def problem(path: Path, format: str) -> str:
    with pytest.raises(HistoryError) as caught:
        list(read_history(path, format))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def year(number: int) -> float:
    return datetime(number, 1, 1, tzinfo=UTC).timestamp()


PAPER_TITLE = "Generate a title for the following abstract of a paper: "
SCORE = "What is the score of the following review on a scale of 1 to 5? review: Meh."
LAMP: dict[str, tuple[str, str, dict[str, Any], Interaction]] = {
    "LaMP_3": (SCORE, "2", {"id": "1", "text": "Loved it.", "score": "5", "date": "2011"},
               Interaction("7", "Loved it.", None, year(2011), rating=5.0)),
    "LaMP_4": ("Generate a headline for the following article: Rain.", "Wet", {"text": "Snow.", "title": "White"},
               Interaction("7", "White", "Generate a headline for the following article: Snow.")),
    "LaMP_5": (PAPER_TITLE + "Rain.", "On Rain",
               {"abstract": "We snow.", "title": "On Snow", "date": 2013},
               Interaction("7", "On Snow", PAPER_TITLE + "We snow.", year(2013))),
    "LaMP_7": ("Paraphrase the following tweet without any explanation before or after it: It rains.", "rain :(",
               {"text": "snow :)", "date": "1970-01-01 00:01:00"}, Interaction("7", "snow :)", "Write a tweet.", 60.0)),
}  # fmt: skip


def write_lamp(folder: Path, questions: list[Any], golds: list[Any], task: str = "LaMP_4") -> Path:
    write(folder, {"task": task, "golds": golds}, "dev_outputs.json", array=True)
    return write(folder, questions, "dev_questions.json", array=True)


@pytest.mark.parametrize("task", LAMP)
def test_the_writing_tasks_of_lamp(tmp_path: Path, task: str) -> None:
    question, gold, item, expected = LAMP[task]
    path = write_lamp(
        tmp_path, [{"id": "7", "input": question, "profile": [item]}], [{"id": "7", "output": gold}], task
    )
    assert list(read_history(path, "lamp")) == [expected, Interaction("7", gold, question, expected.time)]


def test_golds_are_matched_by_id_and_may_be_compressed(tmp_path: Path) -> None:
    item = {"text": "Snow.", "title": "White"}
    rows = [{"id": n, "input": f"question {n}", "profile": [item]} for n in (1, 2)]
    (tmp_path / "train_outputs.json.gz").write_bytes(
        gzip.compress(json.dumps({"golds": [{"id": "2", "output": "two"}, {"id": 1, "output": 1}]}).encode())
    )
    path = tmp_path / "train_questions.json.gz"
    path.write_bytes(gzip.compress(json.dumps(rows, indent=2).encode()))
    people = group_by_person(read_history(path, "lamp"))
    assert [(person, history[-1].input, history[-1].output) for person, history in people.items()] == [
        ("1", "question 1", "1"),
        ("2", "question 2", "two"),
    ]


def test_the_question_comes_last_and_ids_must_match(tmp_path: Path) -> None:
    items = [{"text": f"t{n}", "title": f"title {n}", "date": f"201{n}-06-01"} for n in (5, 2, 9)]
    rows = [{"id": "a", "input": "question", "profile": [*items, {"text": "t", "title": "undated"}]}]
    path = write_lamp(tmp_path, rows, [{"id": "a", "output": "gold"}])
    [history] = group_by_person(read_history(path, "lamp")).values()
    assert [one.output for one in history] == ["undated", "title 2", "title 5", "title 9", "gold"]
    assert history[-1].time == history[-2].time

    path = write_lamp(
        tmp_path, [*rows, {**rows[0], "id": "b"}], [{"id": "a", "output": "x"}, {"id": "c", "output": "y"}]
    )
    assert "dev_questions.json: record 2: its id 'b' is not in dev_outputs.json" in problem(path, "lamp")
    loaded = load_history([path], "lamp", skip_bad=True)
    assert len(loaded.interactions) == 5
    assert [line.rsplit("/", 1)[1][:25] for line in loaded.bad] == [
        "dev_questions.json: recor",
        "dev_outputs.json: 1 ids h",
    ]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"task": "LaMP_1", "golds": []}, "'LaMP_1' is no task of writing, expected one of: LaMP_3, LaMP_4"),
        ({"task": "LaMP_4"}, "'golds' is missing"),
        ({"golds": [{"id": "1"}]}, "the gold 1 has no id and output"),
        (
            {"golds": [{"id": "1", "output": "x"}, {"id": 1, "output": "y"}]},
            "the gold 2 has no id and output of its own",
        ),
        ({"golds": [{"id": [], "output": "x"}]}, "expected text or a number, found a list"),
        ([], "expected a JSON object"),
    ],
)
def test_a_bad_outputs_file_is_named(tmp_path: Path, body: Any, expected: str) -> None:
    path = write(tmp_path, [HEADLINE], "questions.json", array=True)
    write(tmp_path, body, "outputs.json", array=True)
    message = problem(path, "lamp")
    assert message.startswith(str(tmp_path / "outputs.json"))
    assert expected in message


def test_a_large_outputs_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lamp, "MAX_OUTPUTS", 20)
    path = write_lamp(tmp_path, [HEADLINE], [{"id": "31", "output": "x" * 20}])
    assert "dev_outputs.json: larger than 20 bytes" in problem(path, "lamp")


def test_questions_without_golds_say_so(tmp_path: Path) -> None:
    rows = [{key: value for key, value in HEADLINE.items() if key != "output"}]
    assert "no outputs file beside this one" in problem(write(tmp_path, rows, array=True), "lamp")


# -- LongLaMP -------------------------------------------------------------------------------------------------------


def test_the_tasks_of_longlamp(tmp_path: Path) -> None:
    review = {"overall": "4.0", "summary": "Nice", "description": "A drum", "reviewText": "It booms."}
    asked = (
        'Generate the review text written by a reviewer who has a given an overall rating of "4.0" for a product '
        'with description "A drum". The summary of the review text is "Nice".'
    )
    post = {"author": "kim", "content": "So, a story.", "id": "9", "summary": "a story"}
    rows = [
        ABSTRACT,
        {"reviewerId": "R1", "input": "Review it.", "output": "Fine.", "profile": [review]},
        {"author": "kim", "input": "Generate the content for a reddit post x", "output": "Hm.", "profile": [post]},
    ]
    for array in (False, True):
        people = group_by_person(read_history(write(tmp_path, rows, array=array), "longlamp"))
        assert list(people) == ["Ann Lee", "R1", "kim"]
        assert people["Ann Lee"][0] == Interaction(
            "Ann Lee", "We show A.", 'Generate an abstract for the title "A"', year(2001)
        )
        assert people["R1"][0] == Interaction("R1", "It booms.", asked, None, None, "Nice", 4.0)
        assert people["kim"][0].request() == "Generate the content for a reddit post a story"
        assert [history[-1].output for history in people.values()] == ["We show B.", "Fine.", "Hm."]


# -- arrays -----------------------------------------------------------------------------------------------------------

ARRAYS = {
    "empty": ("[]", "holds no interactions"),
    "open": ("[", "record 1: not JSON"),
    "cut": ('[{"id": "1", "in', "record 1: not JSON"),
    "no comma": ("[{} {}]", "record 1: expected a comma or the end of the array after it, found '{'"),
    "comma at the end": ("[{},]", "record 2: not JSON"),
    "more after it": ("[1] x", "text after the end"),
    "python": ("[{'id': 1}]", "Python literal"),
    "deep": ("[" + "[" * 200_000, "record 1: not JSON"),
    "bytes": (b"[\xff]", "not UTF-8"),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_a_broken_array_is_named(tmp_path: Path, case: str) -> None:
    content, expected = ARRAYS[case]
    path = tmp_path / "h.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(HistoryError) as caught:
        load_history([path], "lamp", skip_bad=True)
    assert str(caught.value).startswith(str(path)) or "none of" in str(caught.value)
    assert expected in str(caught.value)


def test_numbers_that_are_none_spoil_their_record_only(tmp_path: Path) -> None:
    path = tmp_path / "h.json"
    good = json.dumps(HEADLINE)
    bad = [good.replace('"2012-05-01"', number) for number in ("NaN", "-Infinity", "1" * 5000)]
    path.write_text(f"[{','.join([good, *bad, good])}]")
    loaded = load_history([path], "lamp", skip_bad=True)
    assert [line.split(": ")[1] for line in loaded.bad] == ["record 2", "record 3", "record 4"]


def test_an_array_is_streamed_and_a_record_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonlines, "CHUNK", 7)
    rows = [{"n": n, "text": 'é😀 \\ " ] } ' * n} for n in range(40)]
    path = write(tmp_path, rows, array=True)
    assert [value for _, value in read_records(path)] == rows
    path.write_bytes(b"\xef\xbb\xbf \n" + json.dumps(rows, indent=1, ensure_ascii=False).encode())
    assert [value for _, value in read_records(path)] == rows
    monkeypatch.setattr(jsonlines, "MAX_RECORD", 200)
    with pytest.raises(HistoryError, match=r"record .*longer than 200 characters"):
        list(read_records(path))


LABELLED = {
    "LaMP 1": (
        'For an author who has written the paper with the title "A", which reference is related? Just answer with [1] '
        'or [2] without explanation. [1]: "B" [2]: "C"', "[1]", {"title": "A", "abstract": "We show A."},
    ),
    "LaMP 1, reworded": ("Which of the two did they cite?", "[2]", {"title": "A", "abstract": "We show A."}),
    "LaMP 2": ("Which tag does this movie relate to among these? Just answer with it.", "comedy", {"text": "A man."}),
    "LaMP 2, news": ("Which category does this article relate to?", "sports", {"text": "A ball.", "title": "Ball"}),
}  # fmt: skip


@pytest.mark.parametrize("case", LABELLED)
def test_a_task_that_asks_for_a_label_is_refused_with_its_gold_inside_too(case: str, tmp_path: Path) -> None:
    question, gold, item = LABELLED[case]
    row = {"id": "1", "input": question, "output": gold, "profile": [{"id": "10", **item}]}
    for rows in ([row], [{**row, "profile": []}]):
        with pytest.raises(HistoryError, match=r"record 1: the question asks for a label .*expected a task of writing"):
            load_history([write(tmp_path, rows, array=True)], "lamp")
