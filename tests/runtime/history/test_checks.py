"""What names and texts must be before they are kept: found at once, whatever they are."""

from __future__ import annotations

import json
import time
import tracemalloc
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from copersona.runtime.common.errors import HistoryError
from copersona.runtime.history.checks import MAX_NAME, check_interaction, check_person, is_blank
from copersona.runtime.history.importers import load_history, read_history, read_requests, stream_history
from copersona.runtime.history.interactions import MAX_TEXT, Interaction, clean_text

MARKS = "\u0301\u0323"


@pytest.fixture(autouse=True)
def at_once() -> Iterator[None]:
    start = time.process_time()
    yield
    assert time.process_time() - start < 2


def test_the_length_of_a_name_is_looked_at_before_its_form() -> None:
    for name in ("a" + MARKS * 99_000, "a" * 198_000, " " * 9 + "é" * 300, "\x00" * 198_000):
        with pytest.raises(ValueError, match=r"the person's name (has|holds)") as caught:
            check_person(name)
        assert len(str(caught.value)) < 100
    assert check_person(" " * 100_000 + "ana") == "ana"


def test_a_name_is_as_long_as_its_composed_form() -> None:
    longest = "ᾂ" * MAX_NAME  # four characters each when taken apart
    assert check_person(unicodedata.normalize("NFD", longest)) == longest
    with pytest.raises(ValueError, match="201 characters, expected 1 to 200"):
        check_person(unicodedata.normalize("NFD", "é" * (MAX_NAME + 1)))


@pytest.mark.parametrize("field", ["output", "input", "item", "title", "words"])
def test_marks_behind_the_thirtieth_are_not_kept(field: str) -> None:
    given, kept = "cafe\u0301 x" + MARKS * 60 + "y", "cafe\u0301 x" + MARKS * 15 + "y"
    one = Interaction(**{"person": "ana", "output": "good", field: (given,) if field == "words" else given})
    assert getattr(check_interaction(one), field) == ((kept,) if field == "words" else kept)


def test_a_text_of_marks_or_hidden_signs_alone_costs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    texts = ["a" + MARKS * 99_000, MARKS * 90_000, "\u202e" * 150_000, "\x00" * 150_000, "é" * 150_000]
    path.write_text("".join(json.dumps({"person": "ana", "output": text}) + "\n" for text in texts))
    assert [len(one.output) for one in read_history(path)] == [31, 30, 150_000]


@pytest.mark.parametrize("name", ["person", "id", "input"])
def test_a_request_names_the_field_that_is_too_long(tmp_path: Path, name: str) -> None:
    path = tmp_path / "r.jsonl"
    long = "a" + MARKS * (MAX_TEXT // 2)
    path.write_text(json.dumps({"id": "1", "person": "ana", "input": "x", name: long}))
    with pytest.raises(HistoryError, match=name) as caught:
        list(read_requests(path))
    assert len(str(caught.value)) < len(str(path)) + 100


def test_a_request_keeps_what_a_letter_needs(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(json.dumps({"id": "1", "input": "a" + MARKS * 99_000}))
    [request] = read_requests(path)
    assert len(request.input) == 31


def test_a_load_counts_texts_with_marks_left_out_and_texts_that_hide_something(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    rows = [{"output": "a" + MARKS * 99}, {"output": "\u200fשלום"}, {"output": "x", "title": "y\U000e0041"},
            {"output": "naïve"}, {"output": "\u202e"}]  # fmt: skip
    path.write_text("".join(json.dumps({"person": "ana", **row}) + "\n" for row in rows))
    loaded = load_history([path])
    assert (loaded.marks, loaded.hidden, loaded.skipped_empty) == (1, 2, 1)
    assert [one.output[:5] for one in loaded.interactions][1:] == ["\u200fשלום", "x", "naïve"]
    reading = stream_history([path, path])
    assert (reading.tally.marks, reading.tally.hidden) == (0, 0)
    assert tuple(reading) == loaded.interactions * 2
    assert (reading.tally.marks, reading.tally.hidden, reading.skipped_empty) == (2, 4, 2)


def test_what_is_remembered_of_names_is_bounded() -> None:
    tracemalloc.start()
    try:
        for n in range(200):
            assert check_person(f"{' ' * 100_000}person {n}") == f"person {n}"
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert kept < 1_000_000


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.text(["a", "٣", "é", " ", "\x00", "\u202e", "\u0301", "\n", "."], max_size=8).map(lambda text: " " * 98 + text)
)
def test_a_text_is_blank_where_nothing_is_left_of_it(text: str) -> None:
    assert is_blank(text) == (clean_text(text) == "")
    assert is_blank(text[97:]) == (clean_text(text[97:]) == "")
