"""Every format of a history: what becomes what, and that nothing else gets through."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copersona.runtime import jsonlines, lamp
from copersona.runtime.errors import HistoryError
from copersona.runtime.formats import Metadata, Product, read_metadata
from copersona.runtime.importers import FORMATS, history_line, load_history, read_history
from copersona.runtime.interactions import Interaction, group_by_person
from copersona.runtime.jsonlines import read_records

HEADSET = {
    "parent_asin": "B1", "rating": 4.0, "timestamp_ms": 1_600_000_000_500, "review_excerpt": "Good...",
    "review_full": "Good sound, weak cable.", "review_title": "Fine",
    "product": {"title": "A  Headset\nfor R&amp;B", "brand": "X", "price": None, "main_category": "Games"},
}  # fmt: skip
PLAIN = {
    "rating": 2.0, "title": "Broke", "text": "It broke.", "images": [], "asin": "B2-RED", "parent_asin": "B2",
    "user_id": "u1", "timestamp": 1_500_000_000_000, "helpful_vote": 0, "verified_purchase": True,
}  # fmt: skip
DPL_REVIEW = {"rating": 5.0, "title": "T", "text": "Profile text.", "asin": "B3", "timestamp": 1_000_000_000_000}
RECORDS: dict[str, dict[str, Any]] = {
    "jsonl": {"person": "u1", "output": "Mine."},
    "amazon2014": {"reviewerID": "u1", "asin": "B1", "reviewText": "Fine.", "overall": 5.0, "unixReviewTime": 10},
    "amazon2023": PLAIN,
    "dpl": {"user_id": "u1", "profile": [DPL_REVIEW], "data": {**DPL_REVIEW, "text": "Target.", "timestamp": 2e12}},
    "lamp": {
        "id": "31", "input": "Generate a headline for the following article: Rain fell.", "output": "Rain",
        "profile": [{"id": "310", "text": "It snowed.", "title": "Snow Day", "date": "2012-05-01"}],
    },
    "longlamp": {
        "name": "Ann Lee", "input": 'Generate an abstract for the title "B" using the following items: x',
        "output": "We show B.", "profile": [{"abstract": "We show A.", "id": "1", "title": "A", "year": 2001}],
    },
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


# -- Amazon 2023 ----------------------------------------------------------------------------------------------------


def test_a_sample_line_of_amazon_2023(tmp_path: Path) -> None:
    later = {**HEADSET, "parent_asin": "B9", "timestamp_ms": 1_700_000_000_000, "product": None}
    row = {"user_id": "u1", "category": "Games", "history": [HEADSET], "heldout": later}
    first, last = read_history(write(tmp_path, [row]), "amazon2023")
    assert first == Interaction(
        "u1", "Good sound, weak cable.", None, 1_600_000_000.5, "B1", "Fine", 4.0, ("A Headset for R&B",)
    )
    assert first.request() == "Write a review.\nItem: A Headset for R&B\nRating: 4 of 5\nTitle: Fine"
    assert (last.item, last.time, last.words) == ("B9", 1_700_000_000.0, ())
    assert list(read_history(write(tmp_path, [{**row, "heldout": [later, later]}]), "amazon2023")) == [
        first,
        last,
        last,
    ]
    assert list(read_history(write(tmp_path, [{**row, "heldout": None}]), "amazon2023")) == [first]


def test_several_lines_of_one_user_are_one_history_in_order_of_time(tmp_path: Path) -> None:
    def at(second: int) -> dict[str, Any]:
        return {**HEADSET, "timestamp_ms": second * 1000, "review_full": f"at {second}"}

    rows = [
        {"user_id": "u1", "category": "a", "history": [at(30), at(10)], "heldout": at(50)},
        {"user_id": "u1", "category": "b", "history": [at(20)], "heldout": at(40)},
        {"user_id": "u1", "category": "b", "history": [at(20)], "heldout": at(40)},
    ]
    loaded = load_history([write(tmp_path, [rows[0], rows[1], rows[2]])], "amazon2023")
    # 1e10 ms and less would be read as seconds; real reviews are from 1996 on
    [history] = group_by_person(loaded.interactions).values()
    assert [one.output for one in history] == [f"at {second}" for second in (10, 20, 30, 40, 50)]


def test_a_plain_review_of_amazon_2023(tmp_path: Path) -> None:
    [found] = read_history(write(tmp_path, [PLAIN]), "amazon2023")
    assert found == Interaction("u1", "It broke.", None, 1_500_000_000.0, "B2", "Broke", 2.0)
    only_asin = {key: value for key, value in PLAIN.items() if key != "parent_asin"}
    [found] = read_history(write(tmp_path, [{**only_asin, "timestamp": 1_500_000_000}]), "amazon2023")
    assert (found.item, found.time) == ("B2-RED", 1_500_000_000.0)


def test_a_bad_review_spoils_its_line_only(tmp_path: Path) -> None:
    good = {"user_id": "u1", "history": [HEADSET], "heldout": HEADSET}
    bad = {"user_id": "u2", "history": [HEADSET, {**HEADSET, "rating": "4"}], "heldout": HEADSET}
    path = write(tmp_path, [good, bad])
    message = f"{path}:2: 'rating': expected a number, found text"
    assert problem(path, "amazon2023") == message
    loaded = load_history([path], "amazon2023", skip_bad=True)
    assert {one.person for one in loaded.interactions} == {"u1"}
    assert loaded.bad == (message,)


# -- metadata -------------------------------------------------------------------------------------------------------


def test_metadata_names_the_items(tmp_path: Path) -> None:
    reviews = write(tmp_path, [{**RECORDS["amazon2014"], "asin": asin} for asin in ("B1", "B2", "B3")])
    meta = write(tmp_path, [{"asin": "B1", "title": "Pet &quot;Sounds&quot;"}, {"asin": "B2", "price": 1}], "m.jsonl")
    plain, named = load_history([reviews], "amazon2014"), load_history([reviews], "amazon2014", metadata=meta)
    assert [one.words for one in named.interactions] == [('Pet "Sounds"',), (), ()]
    assert named.interactions[0].request() == 'Write a review.\nItem: Pet "Sounds"\nRating: 5 of 5'
    assert [one.digest for one in named.interactions] == [one.digest for one in plain.interactions]
    assert plain.interactions[0].request() == "Write a review.\nRating: 5 of 5"  # as before there was metadata


def test_metadata_leaves_inputs_and_own_words_alone(tmp_path: Path) -> None:
    rows = [
        {"person": "a", "output": "x", "item": "i", "input": "Say x."},
        {"person": "a", "output": "y", "item": "i", "words": ["own"]},
        {"person": "a", "output": "z", "item": "i", "input": " "},
    ]
    meta = write(tmp_path, [{"parent_asin": "i", "asin": "other", "title": "Name"}], "m.jsonl")
    loaded = load_history([write(tmp_path, rows)], metadata=meta)
    assert [one.words for one in loaded.interactions] == [(), ("own",), ("Name",)]
    assert loaded.interactions[0].request() == "Say x."


def test_metadata_of_the_three_layouts(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"asin": "1", "title": "A", "description": "text", "categories": [["x"]]},
        {"parent_asin": "2", "title": "B", "description": ["Product Description", "one", "two"], "categories": [],
         "rating_number": 7},
        {"asin": "3", "title": None, "description": ["Product Description"], "rating_number": 0},
        {"asin": "4", "description": ["one", "two"]},
    ]  # fmt: skip
    assert read_metadata(write(tmp_path, rows)).products == {
        "1": Product("A", "text", True, None),
        "2": Product("B", "one two", False, True),
        "3": Product(None, "", None, False),
        "4": Product(None, "one two", None, None),
    }


def test_wrong_metadata_is_refused(tmp_path: Path) -> None:
    reviews = write(tmp_path, [RECORDS["amazon2014"]])
    other = write(tmp_path, [{"asin": "Z", "title": "Z"}], "other.jsonl")
    with pytest.raises(HistoryError, match=r"other\.jsonl: none of the histories' items"):
        load_history([reviews], "amazon2014", metadata=other)
    bad = write(tmp_path, [{"title": "no id"}, {"asin": "B1", "title": "T"}], "bad.jsonl")
    with pytest.raises(HistoryError, match=r"bad\.jsonl:1: 'asin' is missing"):
        load_history([reviews], "amazon2014", metadata=bad)
    loaded = load_history([reviews], "amazon2014", metadata=bad, skip_bad=True)
    assert (loaded.interactions[0].words, len(loaded.bad)) == (("T",), 1)
    python = tmp_path / "python.json"
    python.write_text("{'asin': 'B1'}\n")
    with pytest.raises(HistoryError, match="Python literal"):
        read_metadata(python)
    with pytest.raises(HistoryError, match="holds no item"):
        read_metadata(write(tmp_path, [], "none.jsonl"))
    assert Metadata("", {}).name(Interaction("a", "x")) == Interaction("a", "x")


# -- DPL ------------------------------------------------------------------------------------------------------------


def test_a_dpl_record_is_its_profile_then_its_target(tmp_path: Path) -> None:
    for array in (False, True):
        first, last = read_history(write(tmp_path, [RECORDS["dpl"]], array=array), "dpl")
        assert first == Interaction("u1", "Profile text.", None, 1e9, "B3", "T", 5.0)
        assert (last.output, last.time) == ("Target.", 2e9)


def test_the_growing_profiles_of_one_person_are_one_history(tmp_path: Path) -> None:
    reviews = [{**DPL_REVIEW, "text": f"text {n}", "timestamp": 1e12 + n * 1e9} for n in range(6)]
    rows = [{"user_id": "u1", "profile": reviews[:n], "data": reviews[n]} for n in (5, 3, 4)]
    [history] = group_by_person(load_history([write(tmp_path, rows)], "dpl").interactions).values()
    assert [one.output for one in history] == [f"text {n}" for n in range(6)]


# -- LaMP -----------------------------------------------------------------------------------------------------------

SCORE = "What is the score of the following review on a scale of 1 to 5? review: Meh."
LAMP: dict[str, tuple[str, str, dict[str, Any], Interaction]] = {
    "LaMP_3": (SCORE, "2", {"id": "1", "text": "Loved it.", "score": "5", "date": "2011"},
               Interaction("7", "Loved it.", None, year(2011), rating=5.0)),
    "LaMP_4": ("Generate a headline for the following article: Rain.", "Wet", {"text": "Snow.", "title": "White"},
               Interaction("7", "White", "Generate a headline for the following article: Snow.")),
    "LaMP_5": ("Generate a title for the following abstract of a paper: Rain.", "On Rain",
               {"abstract": "We snow.", "title": "On Snow", "date": 2013},
               Interaction("7", "On Snow", "Generate a title for the following abstract of a paper: We snow.", year(2013))),
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
        ({"task": "LaMP_1", "golds": []}, "LaMP_1 is no task of writing, expected one of: LaMP_3, LaMP_4"),
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
    path = write(tmp_path, [RECORDS["lamp"]], "questions.json", array=True)
    write(tmp_path, body, "outputs.json", array=True)
    message = problem(path, "lamp")
    assert message.startswith(str(tmp_path / "outputs.json"))
    assert expected in message


def test_a_large_outputs_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lamp, "MAX_OUTPUTS", 20)
    path = write_lamp(tmp_path, [RECORDS["lamp"]], [{"id": "31", "output": "x" * 20}])
    assert "dev_outputs.json: larger than 20 bytes" in problem(path, "lamp")


def test_questions_without_golds_say_so(tmp_path: Path) -> None:
    rows = [{key: value for key, value in RECORDS["lamp"].items() if key != "output"}]
    assert "no outputs file beside this one" in problem(write(tmp_path, rows, array=True), "lamp")


LABELS = {"id": "1", "input": "Which tag?", "output": "x", "profile": [{"tag": "action", "description": "d"}]}
BAD_RECORDS: dict[str, tuple[str, Any, str]] = {
    "labels": ("lamp", LABELS, "labels (LaMP 2)"),
    "score": ("lamp", {**RECORDS["lamp"], "profile": [{"text": "x", "score": "five"}]}, "'score': expected a number"),
    "score infinite": ("lamp", {**RECORDS["lamp"], "profile": [{"text": "x", "score": "1e999"}]}, "'score'"),
    "date": ("lamp", {**RECORDS["lamp"], "profile": [{"text": "x", "date": "Mon Apr 06"}]}, "'date': expected seconds"),
    "no question": ("lamp", {"id": "1", "profile": [], "output": "x"}, "'input' is missing"),
    "no person": ("longlamp", {"input": "x", "profile": [], "output": "x"}, "the person is missing"),
    "profile": ("longlamp", {**RECORDS["longlamp"], "profile": [1]}, "'profile': expected a list of objects"),
    "gold": ("longlamp", {**RECORDS["longlamp"], "output": {}}, "expected text or a number, found an object"),
    "data": ("dpl", {**RECORDS["dpl"], "data": 1}, "'data': expected an object, found a number"),
    "time": ("dpl", {**RECORDS["dpl"], "data": {**DPL_REVIEW, "timestamp": 1e19}}, "'timestamp'"),
    "product": (
        "amazon2023",
        {"user_id": "u", "history": [{**HEADSET, "product": 1}]},
        "'product': expected an object",
    ),
    "held out": ("amazon2023", {"user_id": "u", "history": [], "heldout": 1}, "'heldout': expected a list of objects"),
    "number": ("lamp", 17, "expected a JSON object, found '17'"),
}


@pytest.mark.parametrize("case", BAD_RECORDS)
@pytest.mark.parametrize("array", [False, True])
def test_a_bad_record_is_named(tmp_path: Path, case: str, array: bool) -> None:
    format, bad, expected = BAD_RECORDS[case]
    if array and format == "amazon2023":
        pytest.skip("JSON lines only")
    path = write(tmp_path, [RECORDS[format], bad, RECORDS[format]], array=array)
    message = problem(path, format)
    assert message.startswith(f"{path}: record 2: " if array else f"{path}:2: ")
    assert expected in message
    loaded = load_history([path], format, skip_bad=True)
    assert loaded.bad == (message,)
    assert len(group_by_person(loaded.interactions)) == 1


# -- LongLaMP -------------------------------------------------------------------------------------------------------


def test_the_tasks_of_longlamp(tmp_path: Path) -> None:
    review = {"overall": "4.0", "summary": "Nice", "description": "A drum", "reviewText": "It booms."}
    asked = (
        'Generate the review text written by a reviewer who has a given an overall rating of "4.0" for a product '
        'with description "A drum". The summary of the review text is "Nice".'
    )
    post = {"author": "kim", "content": "So, a story.", "id": "9", "summary": "a story"}
    rows = [
        RECORDS["longlamp"],
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


# -- which format is it, and what is none -----------------------------------------------------------------------------


@pytest.mark.parametrize("named", FORMATS)
@pytest.mark.parametrize("given_as", FORMATS)
def test_a_wrong_format_is_told(tmp_path: Path, named: str, given_as: str) -> None:
    path = write(tmp_path, [RECORDS[named]])
    if named == given_as:
        assert list(read_history(path, given_as))
        assert list(read_history(write(tmp_path, [RECORDS[named]]), named))
        return
    assert f"looks like the format {named!r}" in problem(path, given_as)


@pytest.mark.parametrize("named", ["dpl", "lamp", "longlamp"])
def test_an_array_where_lines_are_expected_is_told(tmp_path: Path, named: str) -> None:
    path = write(tmp_path, [RECORDS[named]] * 3, array=True)
    assert f"JSON array, expected one JSON object a line (this looks like the format {named!r})" in problem(
        path, "jsonl"
    )


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
    good = json.dumps(RECORDS["lamp"])
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
    with pytest.raises(HistoryError, match="record .*longer than 200 characters"):
        list(read_records(path))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = sorted({key for row in RECORDS.values() for key in row} | {"history", "heldout", "reviewerId", "author"})
INNER = [HEADSET, DPL_REVIEW, *(row["profile"][0] for row in RECORDS.values() if "profile" in row)]


@st.composite
def records(draw: st.DrawFn) -> Any:
    """A good record of some format with a few things in it replaced, or any JSON value."""
    base: dict[str, Any] = dict(draw(st.sampled_from(list(RECORDS.values()))))
    for key in draw(st.lists(st.sampled_from(KEYS), max_size=2)):
        base[key] = draw(values)
    if draw(st.booleans()):
        item: dict[str, Any] = dict(draw(st.sampled_from(INNER)))
        item[draw(st.sampled_from(sorted(item)))] = draw(values)
        base[draw(st.sampled_from(["profile", "history", "data", "heldout"]))] = draw(st.sampled_from([item, [item]]))
    return draw(st.just(base) | values)


@settings(deadline=None, max_examples=200)
@given(rows=st.lists(records(), min_size=1, max_size=3), array=st.booleans())
def test_any_json_is_interactions_or_a_named_error(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], array: bool
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    path = write(folder, rows, array=array)
    for format in FORMATS:
        try:
            found = load_history([path], format, skip_bad=True)
        except HistoryError as error:
            assert "\n" not in str(error)
            continue
        lines = "".join(history_line(one) + "\n" for one in found.interactions)
        again = folder / "again.jsonl"
        again.write_text(lines, encoding="utf-8")
        if lines:
            assert tuple(read_history(again)) == found.interactions


@settings(deadline=None, max_examples=100)
@given(body=values, row=records())
def test_any_outputs_and_any_metadata_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, body: Any, row: Any
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    write(folder, {"golds": body, "task": body}, "outputs.json", array=True)
    path, meta = write(folder, [row], "questions.json"), write(folder, [body, row, {"asin": body}], "meta.jsonl")
    for call in (
        lambda: load_history([path], "lamp", skip_bad=True),
        lambda: load_history([path], "dpl", metadata=meta, skip_bad=True),
    ):
        try:
            call()
        except HistoryError as error:
            assert "\n" not in str(error)


# -- the real files -------------------------------------------------------------------------------------------------


@pytest.mark.shared
def test_the_real_amazon_2023(shared: Path) -> None:
    loaded = load_history([shared / "data" / "amazon2023_multicategory.jsonl"], "amazon2023")
    people = group_by_person(loaded.interactions)
    assert (len(people), len(loaded.interactions), loaded.skipped_empty, loaded.bad) == (354, 3453, 2, ())
    assert sum(bool(one.words) for one in loaded.interactions) == 3379
    assert all(one.time is not None and 8e8 < one.time < 2e9 for one in loaded.interactions)
    assert all(f"Item: {one.words[0]}" in one.request() for one in loaded.interactions if one.words)


@pytest.mark.shared
def test_the_real_digital_music_has_titles_for_all_items(shared: Path) -> None:
    music, meta = (shared / "data" / f"amazon2014_digital_music_part{end}.jsonl" for end in ("", "_meta"))
    loaded = load_history([music], "amazon2014", metadata=meta)
    assert len(loaded.interactions) + loaded.skipped_empty == 6896
    assert len({one.item for one in loaded.interactions if one.words}) == 382
    assert all(one.words for one in loaded.interactions)
    assert len(group_by_person(loaded.interactions)) == 2489
