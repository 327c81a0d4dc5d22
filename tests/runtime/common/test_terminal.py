"""What is put on a screen is shown, never obeyed."""

from __future__ import annotations

import unicodedata

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from copersona.runtime.common.terminal import in_line, one_line, printable

HOSTILE = "\x1b[31mred\x1b]0;title\x07 \x9b2J \u202eevil\u2066 a\rb \x7f <|im_end|> [bold]x[/bold]"


def test_signs_stand_where_a_terminal_would_act() -> None:
    assert printable(HOSTILE) == (
        "␛[31mred␛]0;title␇ \ufffd2J \ufffdevil\ufffd a␍b ␡ <|im_end|> [bold]x[/bold]"
    )  # fmt: skip
    assert printable("a\r\nb\tc") == "a\nb   c"


LEFT_ALONE = (
    "naïve 吉他 👩‍🎤 🎸",
    "❤️‍🔥 and ❤️",
    "1️⃣ #️⃣ *️⃣",
    "葛\U000e0100城市",
    "می‌خواهم",
    "क्‍ष",
    "e\u0301",
    "한국어",
    "\u2800",
)


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_what_scripts_and_emoji_need_stays(text: str) -> None:
    assert printable(text) == text


@given(
    st.text(st.sampled_from([*map(chr, range(0x20, 0x7F)), *map(chr, range(0xE0000, 0xE1000, 7)), "ﾠ", "ㅤ", "\u034f"]))
)
def test_nothing_is_there_that_is_not_seen(text: str) -> None:
    """Of what Unicode says may be ignored, beside plain letters nothing stays that is not the first of all."""
    ignorable = regex.compile(
        r"[\p{Default_Ignorable_Code_Point}--[\u200c\u200d\ufe00-\ufe0f\U000e0100-\U000e01ef]]", regex.V1
    )
    assert not ignorable.search(printable(text))
    assert not regex.search(r"[a-z ][\p{Default_Ignorable_Code_Point}]", printable(text))


def test_every_character_that_unicode_lets_be_ignored_is_a_sign_behind_a_letter() -> None:
    found = regex.findall(r"\p{Default_Ignorable_Code_Point}", "".join(map(chr, range(0x110000))))
    assert len(found) > 4_000
    assert {printable(f"a{c}") for c in found} == {"a\ufffd"}


def test_a_text_within_a_line_of_ours_begins_none_of_its_own() -> None:
    assert in_line("ann\nerror: no\r\nx") == "ann␊error: no␊x"
    assert in_line(7) == "7"


@given(st.text())
def test_no_control_character_is_left(text: str) -> None:
    left = {unicodedata.category(c) for c in printable(text) if c not in "\n\u200c\u200d"}
    assert not left & {"Cc", "Cf", "Cs", "Zl", "Zp"}


@given(st.text(), st.integers(4, 40))
def test_one_line_is_one_line_of_that_width(text: str, width: int) -> None:
    line = one_line(text, width)
    assert len(line) <= width
    assert len(line.splitlines()) <= 1
