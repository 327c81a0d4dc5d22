"""Item words: counted over people, and nobody's own words stand in their own request."""

from __future__ import annotations

import math

import pytest

from copersona.export.data.items import attach_words, item_table
from copersona.export.data.splits import PersonSplit
from copersona.runtime.history.interactions import History, Interaction, group_by_person
from copersona.runtime.profile.items import SHOWN, pick_words

pytestmark = pytest.mark.export


def histories(*rows: tuple[str, str, str | None]) -> dict[str, History]:
    """Histories of (person, text, item), a second apart."""
    return group_by_person(
        Interaction(person, text, item=item, time=float(i)) for i, (person, text, item) in enumerate(rows)
    )


def everyone(known: dict[str, History], new: tuple[str, ...] = ()) -> dict[str, PersonSplit]:
    return {p: PersonSplit(p in new, len(h), tuple(i.digest for i in h)) for p, h in known.items()}


ROWS = (
    ("ana", "Loud amplifier, lovely tubes, tubes and tubes!", "amp"),
    ("ben", "The amplifier hums. Tubes are fine.", "amp"),
    ("cyd", "An amplifier for the stage", "amp"),
    ("cyd", "Bright strings of nickel, no amplifier needed", "set"),
    ("dan", "Nickel strings", "set"),
    ("dan", "no item at all: zebra", None),
)


def test_words_are_counted_by_people_and_ranked_by_how_few_items_use_them() -> None:
    table = item_table(histories(*ROWS))
    assert table["amp"] == {"amplifier": 3, "tubes": 2}  # said thrice by one person is one person
    assert table["set"] == {"nickel": 2, "strings": 2}  # one person's words do not count
    ranks = {"amplifier": 3 * math.log(1 + 2 / 2), "tubes": 2 * math.log(1 + 2 / 1)}
    assert list(table["amp"]) == sorted(ranks, key=lambda w: -ranks[w]) == ["tubes", "amplifier"] or (
        ranks["amplifier"] < ranks["tubes"]
    )
    assert "lovely" not in table["amp"]  # praise tells nothing of an item


def test_the_telling_word_comes_first() -> None:
    common = [
        (f"p{i}", "sound valve" if item == "amp" else "sound", item) for item in "amp set".split() for i in (1, 2)
    ]
    assert list(item_table(histories(*common))["amp"]) == ["valve", "sound"]


def test_nobodys_own_words_stand_in_their_own_request() -> None:
    known = histories(*ROWS)
    done = attach_words(known, everyone(known), item_table(known))
    words = {(i.person, i.item): i.words for history in done.values() for i in history}
    assert words["ana", "amp"] == ("amplifier",)  # without her, one person says tubes
    assert set(words["cyd", "amp"]) == {"tubes", "amplifier"}  # cyd never said tubes; two others say amplifier
    assert words["dan", "set"] == ()
    assert words["dan", None] == ()


def test_a_review_that_was_not_counted_keeps_all_words() -> None:
    known = histories(*ROWS)
    late = histories(*ROWS, ("ana", "tubes amplifier again", "amp"))
    splits = {p: PersonSplit(False, len(known[p]), tuple(i.digest for i in late[p])) for p in late}
    done = attach_words(late, splits, item_table(known))
    assert set(done["ana"][-1].words) == {"tubes", "amplifier"}
    assert done["ana"][0].words == ("amplifier",)
    new = attach_words(late, everyone(late, new=("ana",)), item_table(known))
    assert set(new["ana"][0].words) == {"tubes", "amplifier"}


def test_an_input_of_its_own_gets_no_words() -> None:
    known = histories(*ROWS)
    asked = {"ana": (Interaction("ana", "fine", input="What of it?", item="amp"),)}
    assert attach_words(asked, everyone(asked), item_table(known))["ana"][0].words == ()


def test_at_most_so_many_words_are_shown_in_the_tables_order() -> None:
    counts = {f"word{i}": 3 for i in range(20)}
    assert pick_words(counts) == tuple(counts)[:SHOWN]
    assert pick_words(counts, "word0 Word2!") == tuple(counts)[:SHOWN]  # two others are left for each
    two = {f"word{i}": 2 for i in range(20)}
    assert pick_words(two, "word0 Word2!") == ("word1", "word3", "word4", "word5", "word6")
    assert pick_words({"once": 1}) == pick_words({}) == ()
