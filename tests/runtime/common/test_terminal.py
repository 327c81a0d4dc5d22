"""What is put on a screen is shown, never obeyed."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from copersona.runtime.common.terminal import one_line, printable

HOSTILE = "\x1b[31mred\x1b]0;title\x07 \x9b2J \u202eevil\u2066 a\rb \x7f <|im_end|> [bold]x[/bold]"


def test_signs_stand_where_a_terminal_would_act() -> None:
    assert printable(HOSTILE) == (
        "␛[31mred␛]0;title␇ \ufffd2J \ufffdevil\ufffd a␍b ␡ <|im_end|> [bold]x[/bold]"
    )  # fmt: skip
    assert printable("a\r\nb\tc") == "a\nb   c"
    assert printable("naïve 吉他 👩‍🎤 🎸") == "naïve 吉他 👩‍🎤 🎸"


@given(st.text())
def test_no_control_character_is_left(text: str) -> None:
    left = {unicodedata.category(c) for c in printable(text) if c not in "\n\u200c\u200d"}
    assert not left & {"Cc", "Cf", "Cs", "Zl", "Zp"}


@given(st.text(), st.integers(4, 40))
def test_one_line_is_one_line_of_that_width(text: str, width: int) -> None:
    line = one_line(text, width)
    assert len(line) <= width
    assert len(line.splitlines()) <= 1
