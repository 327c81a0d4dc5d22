"""Readers of histories and requests: what passes is checked, what does not is named by file and line."""

from __future__ import annotations

import contextlib
import gzip
import json
import lzma
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copersona.runtime.common.errors import HistoryError
from copersona.runtime.history import importers, jsonlines
from copersona.runtime.history.importers import (
    FORMATS,
    Request,
    history_line,
    load_history,
    read_history,
    read_requests,
    stream_history,
)
from copersona.runtime.history.interactions import MAX_TEXT, Interaction, group_by_person

SHARED = Path(__file__).resolve().parents[4] / "shared"
GOOD = '{"person": "ann", "output": "I like it."}\n'


def write(folder: Path, content: str | bytes, name: str = "h.jsonl") -> Path:
    path = folder / name
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return path


def line(**fields: Any) -> str:
    return json.dumps({"person": "ann", "output": "I like it.", **fields}) + "\n"


def problem(path: Path, format: str = "jsonl") -> str:
    with pytest.raises(HistoryError) as caught:
        list(read_history(path, format))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_reads_every_field_of_our_format(tmp_path: Path) -> None:
    fields = {"input": "What now?", "time": 10, "item": "i1", "title": "T", "rating": 4, "words": ["oak", "strings"]}
    [found] = read_history(write(tmp_path, line(**fields, unknown={"a": [1]})))
    assert found == Interaction("ann", "I like it.", "What now?", 10.0, "i1", "T", 4.0, ("oak", "strings"))
    assert isinstance(found.time, float)


def test_reads_amazon_2014(tmp_path: Path) -> None:
    row = {
        "reviewerID": "A1", "asin": "B1", "reviewText": "Fine.", "overall": 5.0, "summary": "Good", "helpful": [0, 0],
        "unixReviewTime": 1363392000, "reviewTime": "03 16, 2013",
    }  # fmt: skip
    [found] = read_history(write(tmp_path, json.dumps(row)), "amazon2014")
    assert found == Interaction("A1", "Fine.", None, 1363392000.0, "B1", "Good", 5.0)


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        (0, 0.0),
        (1.5, 1.5),
        ("1970-01-02", 86400.0),
        ("1970-01-01T01:00:00", 3600.0),
        ("1970-01-01T01:00:00Z", 3600.0),
        ("1970-01-01T01:00:00+01:00", 0.0),
        (None, None),
    ],
)
def test_time_is_seconds_or_iso(tmp_path: Path, time: Any, seconds: float | None) -> None:
    [found] = read_history(write(tmp_path, line(time=time)))
    assert found.time == seconds


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress], ids=["plain", "gzip", "xz"])
def test_compression_is_told_by_the_bytes(tmp_path: Path, pack: Any) -> None:
    path = write(tmp_path, pack((GOOD * 3).encode()), "history.txt")
    assert len(list(read_history(path))) == 3


def test_blank_lines_byte_order_mark_and_windows_line_ends_pass(tmp_path: Path) -> None:
    path = write(tmp_path, b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode() + b"\r\n  \n" + GOOD.strip().encode())
    assert len(list(read_history(path))) == 2


def test_a_blank_output_is_skipped_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path, line(output="") + line(output=" \n\t\x00") + GOOD)
    loaded = load_history([path, path])
    assert (len(loaded.interactions), loaded.skipped_empty, loaded.bad) == (2, 4, ())
    only_blank = write(tmp_path, line(output=" "), "blank.jsonl")
    assert load_history([only_blank]).skipped_empty == 1


BAD_LINES = {
    "not json": ("{oops}", "not JSON"),
    "cut": ('{"person": "ann", "outp', "not JSON"),
    "a python literal": ("{'person': 'ann', 'output': 'x'}", "Python literal"),
    "a list": ('["ann", "x"]', "expected a JSON object"),
    "an array over lines": ("[", "JSON array"),
    "a number": ("17", "expected a JSON object"),
    "no person": ('{"output": "x"}', "'person' is missing"),
    "no output": ('{"person": "ann"}', "'output' is missing"),
    "null output": ('{"person": "ann", "output": null}', "'output' is missing"),
    "person a number": ('{"person": 7, "output": "x"}', "'person': expected text, found a number"),
    "output a list": ('{"person": "ann", "output": ["x"]}', "'output': expected text, found a list"),
    "rating text": (line(rating="5"), "'rating': expected a number, found text"),
    "rating true": (line(rating=True), "'rating': expected a number, found true or false"),
    "rating NaN": (line(rating=float("nan")), "NaN is no JSON number"),
    "rating infinite": (line(rating=float("-inf")), "-Infinity is no JSON number"),
    "rating overflows": ('{"person": "ann", "output": "x", "rating": 1e999}', "'rating': expected a finite number"),
    "rating huge": ('{"person": "ann", "output": "x", "rating": 1' + "0" * 400 + "}", "too large"),
    "digits without end": ('{"person": "ann", "output": "x", "rating": ' + "1" * 5000 + "}", "integer"),
    "time words": (line(time="yesterday"), "'time': expected seconds or ISO 8601"),
    "time in milliseconds": (line(time=1627679830425), "milliseconds"),
    "time an object": (line(time={}), "'time': expected a number, found an object"),
    "words text": (line(words="oak"), "'words': expected a list of texts"),
    "words numbers": (line(words=[1]), "'words': expected a list of texts"),
    "blank person": (line(person=" "), "has 0 characters"),
    "person of control characters": (line(person="\x00\x01"), "control characters"),
    "person with a line end": (line(person="a\nb"), "control characters"),
    "long person": (line(person="a" * 201), "201 characters"),
    "item of control characters": (line(item="\x02"), "'item'"),
    "long text": (line(output="a" * (MAX_TEXT + 1)), "200,001 characters, expected at most 200,000"),
    "lone surrogate": ('{"person": "ann", "output": "x\\ud800"}', "lone surrogate"),
    "lone surrogate in a name": ('{"person": "a\\udfff", "output": "x"}', "lone surrogate"),
    "lone surrogate in words": ('{"person": "a", "output": "x", "words": ["\\ud83d"]}', "lone surrogate"),
    "deep": ('{"person": "ann", "output": "x", "more": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
}


@pytest.mark.parametrize("case", BAD_LINES)
def test_a_bad_line_is_named(tmp_path: Path, case: str) -> None:
    bad, expected = BAD_LINES[case]
    path = write(tmp_path, GOOD + bad.rstrip("\n") + "\n" + GOOD)
    message = problem(path)
    assert message.startswith(f"{path}:2: ")
    assert expected in message
    assert len(message) < 300 + len(str(path))
    loaded = load_history([path], skip_bad=True)
    assert len(loaded.interactions) == 2
    assert loaded.bad == (message,)


def test_bytes_that_are_not_utf8_are_a_bad_line(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.encode() + '{"person": "ann", "output": "caf\xe9"}\n'.encode("latin-1"))
    assert f"{path}:2: byte 33 is not UTF-8" in problem(path)


def test_a_surrogate_pair_is_one_character(tmp_path: Path) -> None:
    [found] = read_history(write(tmp_path, '{"person": "ann", "output": "\\ud83d\\ude00"}'))
    assert found.output == "😀"


def test_a_long_line_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonlines, "MAX_LINE", 1000)
    path = write(tmp_path, GOOD + "x" * 1001 + "\n")
    assert f"{path}:2: longer than 1,000 bytes" in problem(path)
    bomb = write(tmp_path, gzip.compress(b"x" * 50_000_000), "bomb.gz")
    assert f"{bomb}:1: longer than" in problem(bomb)
    fits = json.dumps({"person": "a", "output": "x", "more": ""})
    path = write(tmp_path, fits.replace('""', '"' + "y" * (1000 - len(fits)) + '"') + "\r\n" + GOOD)
    assert len(list(read_history(path))) == 2


FILES = {
    "empty": (b"", "holds no interactions"),
    "blank lines only": (b"\n \n", "holds no interactions"),
    "empty gzip": (gzip.compress(b""), "holds no interactions"),
    "binary": (b"SQLite format 3\x00" + bytes(100), "binary file"),
    "binary in gzip": (gzip.compress(bytes(100)), "binary file"),
    "utf-16": ("{}".encode("utf-16"), "UTF-16"),
    "cut gzip": (gzip.compress(GOOD.encode() * 1000)[:-10], "cut or damaged"),
    "cut xz": (lzma.compress(GOOD.encode() * 1000)[:-20], "cut or damaged"),
    "damaged gzip": (b"\x1f\x8b" + b"\x07" * 50, "cut or damaged"),
}


@pytest.mark.parametrize("where", ["first", "middle", "last", "last without an end"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress])
def test_a_line_that_is_too_long_is_left_out_like_any_other(
    where: str, pack: Callable[[bytes], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonlines, "MAX_LINE", 1000)
    monkeypatch.setattr(jsonlines, "CHUNK", 300)
    rows = [line(output=f"text {n}") for n in range(4)]
    place = {"first": 0, "middle": 2}.get(where, 4)
    rows.insert(place, line(output="x" * 5_000))
    path = tmp_path / "h"
    path.write_bytes(pack("".join(rows).encode().removesuffix(b"\n" if where == "last without an end" else b"")))
    loaded = load_history([path], skip_bad=True)
    assert [one.output for one in loaded.interactions] == [f"text {n}" for n in range(4)]
    assert loaded.bad == (f"{path}:{place + 1}: longer than 1,000 bytes, expected one record a line",)
    with pytest.raises(HistoryError, match=r":\d: longer than 1,000 bytes.*--skip-bad"):
        load_history([path])


@pytest.mark.parametrize("case", FILES)
@pytest.mark.parametrize("skip_bad", [False, True])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, case: str, skip_bad: bool) -> None:
    content, expected = FILES[case]
    path = write(tmp_path, content)
    with pytest.raises(HistoryError, match=expected) as caught:
        load_history([path], skip_bad=skip_bad)
    assert str(caught.value).startswith(str(path))


def test_missing_files_folders_and_formats(tmp_path: Path) -> None:
    assert "no such file" in problem(tmp_path / "none.jsonl")
    assert "is a folder" in problem(tmp_path)
    assert "amazon2014, amazon2023, dpl, jsonl" in problem(write(tmp_path, GOOD), "notes")


def test_a_file_in_another_format_says_which(tmp_path: Path) -> None:
    amazon = write(tmp_path, '{"reviewerID": "A1", "reviewText": "Fine."}\n', "amazon.json")
    assert "looks like the format 'amazon2014'" in problem(amazon)
    assert "looks like the format 'jsonl'" in problem(write(tmp_path, GOOD), "amazon2014")
    with pytest.raises(HistoryError, match="none of 1 lines"):
        load_history([amazon], skip_bad=True)


def test_a_new_format_is_one_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMATS, "notes", lambda fields: [Interaction(fields["who"], text) for text in fields["texts"]])
    path = write(tmp_path, '{"who": "ann", "texts": ["one", " ", "two"]}')
    loaded = load_history([path], "notes")
    assert [i.output for i in loaded.interactions] == ["one", "two"]
    assert loaded.skipped_empty == 1


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
visible = text.filter(lambda s: any(c.isalnum() for c in s))
name = st.text(st.characters(categories=["Lu", "Ll", "Nd"], max_codepoint=0x2FF), min_size=1, max_size=20)
number = st.none() | st.floats(-1e9, 1e9)
interactions = st.builds(
    Interaction,
    person=name,
    output=visible,
    input=st.none() | text,
    time=number,
    item=st.none() | visible,
    title=st.none() | text,
    rating=number,
    words=st.lists(text, max_size=3).map(tuple),
)


@settings(deadline=None)
@given(st.lists(interactions, min_size=1, max_size=5))
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, written: list[Interaction]) -> None:
    path = tmp_path_factory.mktemp("round") / "h.jsonl"
    path.write_text("".join(history_line(i) + "\n" for i in written), encoding="utf-8", newline="")
    assert [astuple(i) for i in read_history(path)] == [astuple(i) for i in written]


@settings(deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda s: s.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "h.jsonl"
    path.write_bytes(content)
    with pytest.raises(HistoryError):
        list(read_history(path))


def test_requests(tmp_path: Path) -> None:
    rows = ['{"id": "r1", "person": "ann", "input": "Hi?"}', '{"id": "r2", "person": null, "input": "Yo"}']
    found = list(read_requests(write(tmp_path, "\n".join([*rows, '{"id": "r3", "input": "x"}']))))
    assert found == [Request("r1", "ann", "Hi?"), Request("r2", None, "Yo"), Request("r3", None, "x")]


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        ('{"person": "ann", "input": "x"}', "'id' is missing"),
        ('{"id": "r2", "person": "ann"}', "'input' is missing"),
        ('{"id": "r2", "input": " "}', "'input': expected text, found a blank one"),
        ('{"id": "", "input": "x"}', "'id': expected 1 to 200 characters"),
        ('{"id": 2, "input": "x"}', "'id': expected text, found a number"),
        ('{"id": "r2", "person": "", "input": "x"}', "0 characters"),
        ('{"id": "r1", "input": "x"}', "'r1' was used on line 1"),
        ("nonsense", "not JSON"),
    ],
)
def test_bad_requests_are_named(tmp_path: Path, bad: str, expected: str) -> None:
    path = write(tmp_path, '{"id": "r1", "input": "x"}\n' + bad)
    with pytest.raises(HistoryError, match=expected) as caught:
        list(read_requests(path))
    assert str(caught.value).startswith(f"{path}:2: ")


def test_an_empty_request_file(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="holds no requests"):
        list(read_requests(write(tmp_path, "\n")))


@pytest.mark.shared
def test_the_real_reviews(shared: Path) -> None:
    loaded = load_history([shared / "data" / "amazon2014_musical_instruments.jsonl"], "amazon2014")
    assert len(loaded.interactions) + loaded.skipped_empty == 8618
    assert loaded.skipped_empty == 7
    people = group_by_person(loaded.interactions)
    assert len(people) == 1200
    times = [[i.time or 0.0 for i in history] for history in people.values()]
    assert times == [sorted(row) for row in times]


def test_a_history_is_read_as_it_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    path.write_text('{"person": "a", "output": "one"}\n{"person": "a", "output": " "}\nbad\nworse\n', encoding="utf-8")
    rows = iter(stream_history([path]))
    assert next(rows).output == "one"
    with pytest.raises(HistoryError, match=r"h\.jsonl:3: not JSON.*--skip-bad"):
        next(rows)
    reading = stream_history([path], skip_bad=True, named=1)
    assert [one.output for one in reading] == ["one"]
    assert (reading.skipped_empty, reading.bad_records, len(reading.bad)) == (1, 2, 1)
    path.write_text("bad\nworse\n", encoding="utf-8")
    with pytest.raises(HistoryError, match="none of 2 lines could be read; the first: "):
        list(stream_history([path], skip_bad=True, named=1))


@pytest.mark.parametrize("packed", [False, True])
def test_a_large_file_says_how_far_it_is_and_a_small_one_nothing(
    packed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "h.jsonl"
    raw = b'{"person": "a", "output": "one"}\n' * 3 + b'{"person": "a", "output": "last"}'
    path.write_bytes(gzip.compress(raw) if packed else raw)
    assert len(list(stream_history([path], shown=True))) == 4
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(importers, "SHOWN", 10)
    assert len(list(stream_history([path]))) == 4
    assert capsys.readouterr() == ("", "")
    assert len(list(stream_history([path], shown=True))) == 4
    out, err = capsys.readouterr()
    assert out == ""
    of = "" if packed else " of 4"
    assert err.splitlines()[0] == f"h.jsonl: reading{'' if packed else ': 0 of 4'} ..."
    assert err.splitlines()[1].startswith(f"h.jsonl: reading: 4{of} in ")


def test_a_reading_that_is_given_up_ends_what_it_shows_and_gives_its_file_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importers, "SHOWN", 10)
    path = tmp_path / "h.jsonl"
    path.write_text('{"person": "a", "output": "one"}\n' * 5, encoding="utf-8")
    with contextlib.closing(iter(stream_history([path], shown=True))) as rows:
        next(rows)
        assert len(capsys.readouterr().err.splitlines()) == 1
    assert " of 5 in " in capsys.readouterr().err
