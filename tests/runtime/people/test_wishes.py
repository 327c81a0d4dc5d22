"""What holds after any revisions and undos, against a model that is as plain as can be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copersona.runtime.people.wishes import LONGEST_WORDS, Revision, Target, Wishes, check_words, undone, wishes_of

FACETS = ("tone", "length")
TEXTS = ("a" * 64, "b" * 64)


@st.composite
def revisions(draw: st.DrawFn) -> tuple[Revision, ...]:
    found: list[Revision] = []
    for number in range(1, draw(st.integers(0, 14)) + 1):
        kind = draw(st.sampled_from(["correct", "pin", "leave_out", "undo"]))
        if kind == "undo" and found:
            of = draw(st.sampled_from(found))
            found.append(Revision(number, 0.0, "undo", of.target, undoes=of.number))
        elif kind == "pin":
            found.append(Revision(number, 0.0, "pin", Target("digest", draw(st.sampled_from(TEXTS)))))
        elif kind == "leave_out":
            about, names = draw(st.sampled_from([("facet", FACETS), ("digest", TEXTS), ("quote", ("so",))]))
            found.append(Revision(number, 0.0, "leave_out", Target(about, draw(st.sampled_from(names)))))
        else:
            words = f"words {number}"
            found.append(Revision(number, 0.0, "correct", Target("facet", draw(st.sampled_from(FACETS))), words))
    return tuple(found)


def holds(number: int, rows: tuple[Revision, ...]) -> bool:
    """A revision holds unless an undo of it does."""
    return not any(one.undoes == number and holds(one.number, rows) for one in rows)


def last_about(target: Target, rows: tuple[Revision, ...]) -> Revision | None:
    about = [one for one in rows if one.target == target and one.kind != "undo" and holds(one.number, rows)]
    return about[-1] if about else None


@given(revisions())
def test_of_each_facet_text_and_quote_the_last_that_is_not_undone_holds(rows: tuple[Revision, ...]) -> None:
    found = wishes_of(rows)
    assert undone(rows) == {one.number for one in rows if not holds(one.number, rows)}
    for facet in FACETS:
        last = last_about(Target("facet", facet), rows)
        assert dict(found.corrected).get(facet) == (last.words if last and last.kind == "correct" else None)
        assert (facet in found.left_facets) == (last is not None and last.kind == "leave_out")
    for digest in TEXTS:
        last = last_about(Target("digest", digest), rows)
        assert (digest in found.pinned) == (last is not None and last.kind == "pin")
        assert (digest in found.left_texts) == (last is not None and last.kind == "leave_out")
    assert bool(found.left_quotes) == (last_about(Target("quote", "so"), rows) is not None)


@given(revisions())
def test_an_undo_of_the_last_revision_changes_nothing_that_held_before_it(rows: tuple[Revision, ...]) -> None:
    if rows:
        undo = Revision(len(rows) + 1, 0.0, "undo", rows[-1].target, undoes=rows[-1].number)
        assert wishes_of((*rows, undo)) == wishes_of(rows[:-1])


def test_the_last_pinned_comes_first() -> None:
    rows = [Revision(n, 0.0, "pin", Target("digest", digest)) for n, digest in enumerate(("a", "b", "a", "c"), 1)]
    assert wishes_of(rows) == Wishes(pinned=("c", "a", "b"))


def test_words_are_cleaned_to_one_line() -> None:
    assert check_words("  e\u0301crit\u00a0 \tpeu\u202e. ") == "\u00e9crit peu."
    assert len(check_words("x" * LONGEST_WORDS)) == LONGEST_WORDS


NONE = ["", " \t ", "a\nb", "a\r\nb", "x" * (LONGEST_WORDS + 1), "\u200b\u200d", "\x00", "x" * 10**6]


@pytest.mark.parametrize("words", NONE)
def test_words_that_are_none_are_refused(words: str) -> None:
    with pytest.raises(ValueError, match="the words"):
        check_words(words)
