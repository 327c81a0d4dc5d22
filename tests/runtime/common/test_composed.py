"""Unicode's composed form, in time that grows with the text, whatever stands in it."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copersona.runtime.common.composed import MOST_MARKS, bounded_marks, composed

MARKS = st.text("ae\u0301\u0323\u0344\u0f73\u20dd\ufe0f", max_size=120)
ORDINARY = [
    "naïve café, Zoë", "e\u0301 n\u0303 A\u030a ệ", "हिन्दी में लिखा", "བསྒྲུབས་", "ที่นี่", "שָׁלוֹם", "أَلسَّلَامُ", "👨‍👩‍👧‍👦 ❤️ 👍🏽",
    "\u1112\u1161\u11ab", "Z̷̡̢̛̰̗̞͕̓̀̈́͊̄ḁ̴̡̛̛̫͇̟̌̈́͌l̶̨̧̛̛̝̺̣͂̓̒g̸̨̢̪̞̈́̈́o̵̡̪̱̓̚",
]  # fmt: skip


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_is_what_unicode_says(text: str) -> None:
    assert composed(text) == unicodedata.normalize("NFC", text)
    assert bounded_marks(text) == text


@given(st.text() | MARKS)
def test_no_letter_keeps_more_marks_than_allowed_and_the_rest_is_as_it_was(text: str) -> None:
    found = composed(text)
    assert composed(found) == found
    assert unicodedata.is_normalized("NFC", found)
    run = longest = 0
    for character in found:
        run = run + 1 if unicodedata.category(character)[0] == "M" else 0
        longest = max(longest, run)
    assert longest <= MOST_MARKS
    if longest < MOST_MARKS:
        assert found == unicodedata.normalize("NFC", text)


def test_marks_behind_the_thirtieth_are_left_out_and_what_follows_stays() -> None:
    assert composed("x" + "\u0301\u0323" * 40 + "y") == "x" + "\u0323" * 15 + "\u0301" * 15 + "y"


def test_many_marks_on_one_letter_cost_no_more_than_as_many_letters() -> None:
    start = time.process_time()
    assert len(composed("a" + "\u0301\u0323" * 100_000)) <= 1 + MOST_MARKS
    assert time.process_time() - start < 1
