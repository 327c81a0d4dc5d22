"""One text is one interaction, in whatever form it came; another text is another one."""

from __future__ import annotations

import hashlib
import json
import sys
import time
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copersona.runtime.common.hidden import hides
from copersona.runtime.history.importers import load_history
from copersona.runtime.history.interactions import Interaction, clean_text, order_history
from copersona.runtime.history.markup import plain

FORMS = {
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    "CR": lambda text: text.replace("\n", "\r"),
    "NFD": lambda text: unicodedata.normalize("NFD", text),
    "blank at the end": lambda text: f"{text} ",
    "blanks around": lambda text: f"\n\t {text}\r\n \n",
    "blanks at line ends": lambda text: text.replace("\n", " \t\n"),
    "byte order mark": lambda text: f"\ufeff{text}",
    "no-break spaces": lambda text: text.replace(" ", "\xa0"),
    "a control character": lambda text: text.replace("s", "s\x00"),
}
TEXT = "Der Zug war spät.\nIch habe gelesen, und es war schön."


@pytest.mark.parametrize("form", FORMS)
def test_a_text_in_another_form_is_the_same_interaction(form: str) -> None:
    one = Interaction("lena", TEXT, "Wie war\nes?", 1_600_000_000, "i 1", "Zug im süden")
    change = FORMS[form]
    other = Interaction("lena", change(TEXT), change("Wie war\nes?"), 1_600_000_000.0, "i 1", change("Zug im süden"))
    assert other.output != one.output
    assert other.digest == one.digest
    assert order_history([one, other]) == (one,)


def test_what_is_not_there_and_what_is_blank_are_the_same() -> None:
    assert Interaction("a", "x", title="").digest == Interaction("a", "x", input=" ", title=None).digest


@given(st.text(), st.text())
def test_texts_that_read_differently_have_other_digests(one: str, other: str) -> None:
    same = Interaction("a", one).digest == Interaction("a", other).digest
    if "".join(clean_text(one).split()) != "".join(clean_text(other).split()):
        assert not same or {"\u200b", "\ufeff"} & {*one, *other}
    assert same or clean_text(one) != clean_text(other)


def test_fields_do_not_run_into_each_other() -> None:
    rows = [
        Interaction("a", "x"), Interaction("a", "x", "y"), Interaction("a", "x", title="y"), Interaction("a", "x y"),
        Interaction("a", "x", item="y"), Interaction("a", "x", time=1.0), Interaction("a", "x", rating=1.0),
        Interaction("a", "x\ny"), Interaction("b", "x"), Interaction("a", "X"),
    ]  # fmt: skip
    assert len({row.digest for row in rows}) == len(rows)


def test_of_equal_ones_the_item_words_are_kept_wherever_they_are() -> None:
    bare, named = Interaction("a", "x", item="i"), Interaction("a", "x ", item="i", words=("Pet Sounds",))
    for rows in ([bare, named], [named, bare]):
        [kept] = order_history(rows)
        assert kept.words == ("Pet Sounds",)


def slowly_cleaned(text: str) -> str:
    """With what is hidden, as digests have it, and `clean_text` where nothing is."""
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs")).strip()


@given(st.text())
def test_cleaning_is_what_it_was_and_done_once(text: str) -> None:
    if not hides(text):
        assert clean_text(text) == slowly_cleaned(text)
    assert clean_text(clean_text(text)) == clean_text(text)


def test_of_all_characters_those_go_that_unicode_calls_controls_or_halves_and_what_is_hidden() -> None:
    gone = {c for c in map(chr, range(sys.maxunicode + 1)) if clean_text(f"a{c}b") == "ab"}
    assert {c for c in gone if not hides(f"a{c}b")} == {
        c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t\r"
    }


TEXTS = st.text() | st.text(st.sampled_from("ab \n\t\r\u00e9\u0301\u200e\u202e\ufeff\u00a0\U000e0041\x07"))


@given(TEXTS, st.none() | TEXTS, st.none() | st.floats(allow_nan=False))
def test_the_digest_is_what_stores_of_before_hold(output: str, title: str | None, rating: float | None) -> None:
    def form(text: str) -> str | None:
        cleaned = slowly_cleaned(text.translate({0x00A0: " ", 0xFEFF: None, 0x200B: None}))
        while " \n" in cleaned or "\t\n" in cleaned:
            cleaned = cleaned.replace(" \n", "\n").replace("\t\n", "\n")
        return cleaned or None

    fields = ("a", form(output), None, None, None, None if title is None else form(title), rating)
    raw = json.dumps(fields, ensure_ascii=False).encode("utf-8", "surrogatepass")
    assert Interaction("a", output, title=title, rating=rating).digest == hashlib.sha256(raw).hexdigest()


@pytest.mark.shared
def test_the_forms_that_were_counted_several_times(shared: Path) -> None:
    files = sorted((shared / "cases" / "one_text_in_seven_forms").iterdir())
    loaded = load_history(files).interactions
    assert len(loaded) == len(files)
    assert len(order_history(loaded)) == 1


@pytest.mark.parametrize(
    ("one", "digest"),
    [
        (Interaction("lena", "Der Zug war spa\u0308t.\r\nUnd schön. ", "Wie?", 1.6e9, "i 1", "Zug", 4.0),
         "1cf9bdb98715c13b608629b4fcd9c17322d9a2af741d13ac032c869852fb12f0"),
        (Interaction("דנה", "\u200fשָׁלוֹם \u202bעולם\u202c\u200e!", title="\u2067א\u2069"),
         "f891d7993a00106b534c8ba152481dcc36865c0771e342c41240bd0ec75330fe"),
        (Interaction("zoë", "Z̷̡̢̛̰̗̞͕̓̀̈́͊̄ḁ̴̡̛̛̫͇̟̌̈́͌l̶ 🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f ❤️"),
         "b6b26c3ae5f5a6b462c491283e3eb4dffaa2227abe6ca940ef15d21de271fbee"),
    ],
)  # fmt: skip
def test_digests_of_stores_that_are_there_hold(one: Interaction, digest: str) -> None:
    assert one.digest == digest


def test_a_long_run_of_blanks_costs_no_more_than_letters() -> None:
    start = time.process_time()
    for blanks in (" " * 190_000, "\t" * 190_000, " \t" * 95_000):
        assert Interaction("a", f"x{blanks}y \nz").digest == Interaction("a", f"x{blanks}y\nz").digest
        assert plain(f"x{blanks}y <br> z") == f"x{blanks}y\nz"
    assert time.process_time() - start < 2
