"""HTML in the texts of formats that were taken from web pages is read as the reader of the page saw it."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from copersona.runtime.history.importers import load_history
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.history.markup import plain
from copersona.runtime.profile.style import style_matrix


def record(format: str, text: str, title: str) -> dict[str, Any]:
    """One record of each format that carries HTML, with this text and title in it."""
    review = {"text": text, "title": title, "rating": 5.0, "timestamp": 1_400_000_000, "asin": "B1"}
    return {
        "amazon2014": {"reviewerID": "u", "reviewText": text, "summary": title, "overall": 5.0, "asin": "B1"},
        "amazon2023": {"user_id": "u", **review},
        "amazon2023 sample": {
            "user_id": "u", "history": [{"review_full": text, "review_title": title, "rating": 5.0}],
        },
        "dpl": {"user_id": "u", "profile": [review], "data": {**review, "text": "Fine."}},
        "lamp": {
            "id": "u", "input": "What is the score?", "output": "5",
            "profile": [{"id": "1", "text": text, "score": "5"}],
        },
        "longlamp": {
            "reviewerId": "u", "input": "Write it.", "output": "Fine.",
            "profile": [{"reviewText": text, "summary": title, "overall": "5.0"}],
        },
    }[format]  # fmt: skip


def load(format: str, tmp_path: Path, text: str, title: str) -> Interaction:
    path = tmp_path / "h.jsonl"
    path.write_text(json.dumps(record(format, text, title)) + "\n", encoding="utf-8")
    return load_history([path], format.split()[0]).interactions[0]


@pytest.mark.parametrize("format", ["amazon2014", "amazon2023", "amazon2023 sample", "dpl", "lamp", "longlamp"])
def test_texts_and_titles_of_formats_that_carry_html_are_plain(format: str, tmp_path: Path) -> None:
    text = "It&#39;s &#34;fine&#34; &amp; R&B; <br /><br>Caf&eacute;&nbsp;x &lt;3<BR/>4 < 5 <b>really</b> AT&T"
    found = load(format, tmp_path, text, "Rock &amp; Roll")
    assert found.output == 'It\'s "fine" & R&B;\n\nCafé x <3\n4 < 5 <b>really</b> AT&T'
    assert found.title in (None, "Rock & Roll")


def test_our_own_lines_stay_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    path.write_text('{"person": "u", "output": "Write &amp;amp; and <br /> for it.", "title": "&lt;br&gt;"}\n')
    [found] = load_history([path]).interactions
    assert (found.output, found.title) == ("Write &amp;amp; and <br /> for it.", "&lt;br&gt;")


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="&<>\xa0")))
def test_what_was_escaped_comes_back_once_or_twice_escaped(text: str) -> None:
    marked = text + ' "&" '
    assert plain(html.escape(marked)) == marked
    assert plain(html.escape(html.escape(marked))) == marked


@pytest.mark.shared
def test_the_same_texts_with_and_without_html_have_the_same_style(shared: Path, tmp_path: Path) -> None:
    rows = [
        json.loads(line) for line in (shared / "cases" / "html_people.jsonl").read_text("utf-8").split("\n") if line
    ]
    read = {
        person: [
            load("amazon2014", tmp_path, row["output"], "x").output for row in rows if row["person"] == person
        ]
        for person in ("plain", "entities")
    }  # fmt: skip
    assert [text.split() for text in read["plain"]] == [text.split() for text in read["entities"]]
    assert np.array_equal(style_matrix(read["plain"]), style_matrix(read["entities"]))
