"""Every format of a history: what becomes what, and that nothing else gets through."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copersona.runtime.common.errors import HistoryError
from copersona.runtime.history.formats import Metadata, Product, read_metadata
from copersona.runtime.history.importers import FORMATS, SOURCES, history_line, load_history, read_history
from copersona.runtime.history.interactions import Interaction, group_by_person

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
    for held_out, expected in ([later, later], [first, last, last]), (None, [first]):
        assert list(read_history(write(tmp_path, [{**row, "heldout": held_out}]), "amazon2023")) == expected


def test_several_lines_of_one_user_are_one_history_in_order_of_time(tmp_path: Path) -> None:
    def at(second: int) -> dict[str, Any]:
        return {**HEADSET, "timestamp_ms": second * 1000, "review_full": f"at {second}"}

    rows = [
        {"user_id": "u1", "category": "a", "history": [at(30), at(10)], "heldout": at(50)},
        {"user_id": "u1", "category": "b", "history": [at(20)], "heldout": at(40)},
        {"user_id": "u1", "category": "b", "history": [at(20)], "heldout": at(40)},
    ]
    loaded = load_history([write(tmp_path, rows)], "amazon2023")
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
    array = array and format in SOURCES  # the others are JSON lines only
    path = write(tmp_path, [RECORDS[format], bad, RECORDS[format]], array=array)
    message = problem(path, format)
    assert message.startswith(f"{path}: record 2: " if array else f"{path}:2: ")
    assert expected in message
    loaded = load_history([path], format, skip_bad=True)
    assert loaded.bad == (message,)
    assert len(group_by_person(loaded.interactions)) == 1


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


def refused_or_read(path: Path, format: str, metadata: Path | None = None) -> tuple[Interaction, ...]:
    """The interactions, none where the file is refused in one line; any other exception fails the test."""
    message = ""
    try:
        return load_history([path], format, skip_bad=True, metadata=metadata).interactions
    except HistoryError as error:
        message = str(error)
    assert len(message.splitlines()) == 1
    return ()


@settings(deadline=None, max_examples=200)
@given(rows=st.lists(records(), min_size=1, max_size=3), array=st.booleans())
def test_promise_any_history_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], array: bool
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    path, again = write(folder, rows, array=array), folder / "again.jsonl"
    for format in FORMATS:
        found = refused_or_read(path, format)
        again.write_text("".join(history_line(one) + "\n" for one in found), encoding="utf-8")
        assert not found or tuple(read_history(again)) == found


@settings(deadline=None, max_examples=100)
@given(body=values, row=records())
def test_any_outputs_and_any_metadata_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, body: Any, row: Any
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    write(folder, {"golds": body, "task": body}, "outputs.json", array=True)
    refused_or_read(write(folder, [row], "questions.json"), "lamp")
    refused_or_read(write(folder, [row]), "dpl", write(folder, [body, row, {"asin": body}], "meta.jsonl"))


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
    assert len(group_by_person(loaded.interactions)) == 2486


# -- what docs/formats.md says of bad records and of texts that are blank ---------------------------------------------

RATED = {
    "amazon2014": [{"reviewerID": "u1", "asin": "B1", "overall": 5.0, "unixReviewTime": 10, "verified": True}],
    "amazon2023": [{**PLAIN, "text": None}, {k: v for k, v in PLAIN.items() if k != "text"}],
    "dpl": [{**RECORDS["dpl"], "profile": [{**DPL_REVIEW, "text": None}]}],
}


@pytest.mark.parametrize("format", RATED)
def test_a_rating_without_a_text_is_a_blank_text_left_out_and_counted(format: str, tmp_path: Path) -> None:
    bare = RATED[format]
    loaded = load_history([write(tmp_path, [RECORDS[format], *bare])], format)
    alone = load_history([write(tmp_path, [RECORDS[format]])], format)
    assert loaded.skipped_empty == len(bare)
    assert loaded.bad == ()
    assert set(loaded.interactions) == set(alone.interactions)


def test_a_bad_record_stops_with_one_line_that_names_the_way_past_it(tmp_path: Path) -> None:
    for format in FORMATS:
        spoiled = {
            **RECORDS[format],
            "profile" if format in ("dpl", "lamp", "longlamp") else "rating": "x",
            "overall": "x",
        }
        path = write(tmp_path, [RECORDS[format], spoiled])
        with pytest.raises(HistoryError, match=r"h\.jsonl:2: .*; --skip-bad leaves such records out$"):
            load_history([path], format)
        assert len(load_history([path], format, skip_bad=True).bad) == 1
