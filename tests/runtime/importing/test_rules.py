"""What is left out of texts, case by case, and that no text makes a rule take long."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copersona.runtime.importing.dates import all_told, in_name
from copersona.runtime.importing.export import without_pasted
from copersona.runtime.importing.formats.markdown import LEFT_OUT
from copersona.runtime.importing.junk import LYRICS, MACHINE, SHORT, SIGNS, NearDuplicates, junk
from copersona.runtime.importing.prose import prose, shown
from copersona.runtime.importing.records import Given, key
from copersona.runtime.importing.replies import split_mail

from .texts import text

STAYS = "Thanks, I will.\nThanks\nto you too, and to everyone who was there on that long and lovely evening in May."
CHORUS = "\n".join(["Oh the rain is over", "and the sun is here", "la la la the sun", "and the sun is here"] * 4)


@pytest.mark.parametrize(
    ("mail", "own", "quoted"),
    [
        ("Mine.\n\nOn Mon, 1 May 2023, Bob wrote:\n> Theirs.\n> More.", "Mine.", "Theirs.\nMore."),
        ("Am 01.05.2023 um 10:00 schrieb Bob:\n> Theirs.\n\nMine.", "Mine.", "Theirs."),
        ("Le lun. 1 mai 2023, Bob a écrit :\n> Theirs.\n\nMine.", "Mine.", "Theirs."),
        ("Dne 1. 5. 2023 Bob napsal(a):\n> Theirs.\nMine.", "Mine.", "Theirs."),
        ("On the whole, he wrote:\nnothing.", "On the whole, he wrote:\nnothing.", ""),
        ("From: the start\nI liked it.", "From: the start\nI liked it.", ""),
        ("Mine.\n\n-----Original Message-----\nFrom: Bob\nTheirs.", "Mine.", "Theirs."),
        ("Mine.\n\nFrom: Bob\nSent: Monday\nTo: Ana\nSubject: x\n\nTheirs.", "Mine.", "Theirs."),
        ("Mine.\n-- \nAna\n+49 1", "Mine.", ""),
        ("Mine.\n\nBest,\nAna\nBoss of all", "Mine.", ""),
        (STAYS, STAYS, ""),
        ("Tak for i dag.\n- milk\n- bread", "Tak for i dag.\n- milk\n- bread", ""),
        ("Von meinem iPhone gesendet", "", ""),
    ],
)  # fmt: skip
def test_own_words_of_a_mail_and_what_they_answer(mail: str, own: str, quoted: str) -> None:
    found = split_mail(mail)
    assert (found[0], found[1].strip()) == (own, quoted)


@pytest.mark.parametrize(
    ("written", "own", "reason"),
    [
        ("See https://example.com/a?b=c, it is good.", "See it is good.", ""),
        ("https://example.com\nwww.example.org", "", "only a link"),
        ("Read [this page](https://example.com/a_(b)) now.", "Read this page now.", ""),
        ("```\ncode\n```", "", "only code"),
        ("Before\n```py\ncode\n```\nafter", "Before\n\nafter", ""),
        ("> quoted\n>> twice", "", "only quoted lines"),
        ("3 > 2, I think", "3 > 2, I think", ""),
        ("", "", ""),
    ],
)
def test_prose_without_code_quotes_and_links(written: str, own: str, reason: str) -> None:
    found = prose(written)
    assert (found[0].replace(" , ", " "), found[1]) == (own, reason)


@given(st.text())
def test_prose_of_prose_is_itself_but_for_what_was_joined(written: str) -> None:
    once = prose(written)[0]
    assert len(once) <= len(written)
    assert not once.startswith((" ", "\n"))


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("Yes", SHORT),
        ("ok then", SHORT),
        ("👍👍👍", SHORT),
        ("今天天气很好我们去公园", ""),
        ("I will be there at five.", ""),
        (CHORUS, LYRICS),
        ("\n".join(text("mine", number, 5) for number in range(12)), ""),
        ("Accepted: Lunch @ Monday", MACHINE),
        ("This is an automated message about your parcel.", MACHINE),
        ("12:30 in, 14:45 out | 3.5 7.25 | +49 30 123456 -- 99.5 % sum", SIGNS),
        ("see the key " + "Zx9" * 60, SIGNS),
    ],
)
def test_what_says_nothing_of_its_writer(written: str, why: str) -> None:
    assert junk(written) == why


def test_near_duplicates_are_told_and_other_texts_are_not() -> None:
    near = NearDuplicates()
    assert not near.seen("Your table for 2 is booked on 3 May at 19:30, we look forward to it.")
    assert near.seen("Your table for 4 is booked on 17 June at 20:00, we look forward to it.")
    assert not any(near.seen(text("mine", number, 30)) for number in range(200))
    long = text("mine", 300, 60).split()
    assert not near.seen(" ".join(long))
    long[20], long[40] = "changed", "twice"
    assert near.seen(" ".join(long))


def test_no_more_texts_are_remembered_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("copersona.runtime.importing.junk.REMEMBERED", 10)
    near = NearDuplicates()
    for number in range(100):
        assert not near.seen(text("mine", number, 30))
    assert (len(near._kept), len(near._bands)) == (10, 80)
    assert near.seen(text("mine", 95, 30))
    assert not near.seen(text("mine", 3, 30))  # long ago


@pytest.mark.parametrize(
    ("stamps", "day_first"),
    [
        ([(14, 10, 21, "/"), (1, 2, 21, "/")], True),
        ([(10, 14, 21, "/")], False),
        ([(1, 2, 21, ".")], True),
        ([(1, 4, 23, "/"), (2, 4, 23, "/"), (3, 4, 23, "/"), (1, 5, 23, "/"), (2, 5, 23, "/")], True),
        ([(4, 1, 23, "/"), (4, 2, 23, "/"), (4, 3, 23, "/"), (5, 1, 23, "/"), (5, 2, 23, "/")], False),
        ([(5, 5, 23, "/")], False),
        ([(2023, 4, 1, "-")], False),
    ],
)
def test_the_order_of_a_date_is_inferred_from_all_of_them(
    stamps: list[tuple[int, int, int, str]], day_first: bool
) -> None:
    assert all_told(stamps).day_first() == day_first


@pytest.mark.parametrize(
    ("stamps", "told", "said"),
    [
        ([(3, 4, 21, "/")], None, "may begin with the day or the month"),
        ([(14, 4, 21, "/"), (4, 14, 21, "/")], None, "1 dates begin with the day and 1 with the month"),
        ([(14, 4, 21, "/")], False, "begin with the day, other than"),
    ],
)
def test_an_order_that_is_not_clear_is_refused(
    stamps: list[tuple[int, int, int, str]], told: bool | None, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        all_told(stamps).day_first(told)


@pytest.mark.parametrize("name", ["2023-05-07 Walk", "20230507", "202305070000 Walk", "Walk 2023-05-07"])
def test_a_date_in_a_name_is_found(name: str) -> None:
    assert in_name(name, Given().zone) == 1_683_417_600


def test_names_are_compared_without_case_marks_and_signs() -> None:
    assert {key("\u202aAna  Müller\u202c"), key("@ana müller"), key("~\u202fANA MÜLLER")} == {"ana müller"}


def test_what_was_pasted_behind_a_colon_is_cut_off() -> None:
    assert without_pasted(f"Please shorten this:\n{'x ' * 200}") == "Please shorten this"
    assert (
        without_pasted("I need three things:\nmilk, bread and time.") == "I need three things:\nmilk, bread and time."
    )


def clean(written: str) -> object:
    for pattern, kept in LEFT_OUT:
        written = pattern.sub(kept, written)
    return written


SIZE = 200_000
LONG = {
    "blanks": " " * SIZE,
    "lines": "\n" * SIZE,
    "tags": "<" * SIZE,
    "comments": "<!--" * (SIZE // 4),
    "open tags": "<a " * (SIZE // 3),
    "declarations": "<![x" * (SIZE // 4),
    "entities": "&#x" * (SIZE // 3),
    "brackets": "[a](" * (SIZE // 4),
    "nested": "[a]((b)" * (SIZE // 7),
    "fences": "```\n" * (SIZE // 4),
    "quotes": "> " * (SIZE // 2),
    "headings": "# a" + " " * SIZE + "b",
    "stars": "**a" * (SIZE // 3),
    "attributions": "On a <b@c.d> wrote\n" * (SIZE // 19),
    "headers": "From: a\n" * (SIZE // 8),
    "dashes": "-" * SIZE,
    "one word": "x" * SIZE,
    "words": "a b " * (SIZE // 4),
    "links": "http://a " * (SIZE // 9),
}


@pytest.mark.parametrize("rule", [prose, shown, split_mail, junk, clean, without_pasted, NearDuplicates().seen])
@pytest.mark.parametrize("name", LONG)
def test_no_text_makes_a_rule_take_long(name: str, rule: Callable[[str], object]) -> None:
    start = time.process_time()
    rule(LONG[name])
    assert time.process_time() - start < 5


def test_rules_do_not_depend_on_the_order_of_hashes() -> None:
    texts = [text("mine", number % 40, 20) for number in random.Random(1).sample(range(80), 80)]
    first, second = NearDuplicates(), NearDuplicates()
    assert [first.seen(one) for one in texts] == [second.seen(one) for one in texts]
