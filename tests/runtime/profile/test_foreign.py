"""Who writes in a language that is not served is told from texts that pass by, whatever order they come in."""

from __future__ import annotations

import random
import tracemalloc
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copersona.runtime.history.interactions import Interaction, clean_text, group_by_person, outputs
from copersona.runtime.profile.foreign import ForeignTally
from copersona.runtime.profile.language import Languages, language_of

ENGLISH = "I walked to the market and bought two apples, and the bread that they have was warm. "
GERMAN = "Die Saiten klingen sehr warm, und der Hals liegt gut in der Hand. Ich spiele seit vielen Jahren. "
FRENCH = "C'est une belle guitare, le son est chaud, je la garde et je la recommande à tous mes amis. "
ROWS = st.tuples(st.sampled_from("abc"), st.sampled_from([ENGLISH, GERMAN, FRENCH, "ok"]), st.integers(1, 30))

SERVED = st.sampled_from([("en",), ("en", "de"), ("fr",), ()])


@settings(max_examples=50, deadline=None)
@given(st.lists(ROWS, max_size=60), SERVED, SERVED)
def test_it_is_what_the_first_texts_of_each_say(
    rows: list[tuple[str, str, int]], facets: tuple[str, ...], encoder: tuple[str, ...]
) -> None:
    texts = [Interaction(person, f"{n} {said * times}") for n, (person, said, times) in enumerate(rows)]
    tally, count = ForeignTally(Languages(facets, encoder)), Counter(one.person for one in texts)
    assert [tally.passing(one) for one in texts] == texts
    expected = {}
    for person, history in group_by_person(texts).items():
        code = language_of(clean_text(text) for text in outputs(history)[:20])
        if code and any(served and code not in served for served in (facets, encoder)):
            expected[person] = code
    assert tally.found(count.__getitem__) == expected
    assert not tally.passed_over


def test_what_is_little_of_what_someone_has_is_not_said() -> None:
    tally = ForeignTally(Languages(("en",)))
    for _ in range(4):
        tally.passing(Interaction("max", GERMAN * 2))
    assert tally.found(lambda name: 7) == {"max": "de"}
    assert tally.found(lambda name: 8) == {}


def test_many_people_take_bounded_memory_and_those_passed_over_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("copersona.runtime.profile.foreign.language_of", lambda texts: "de")
    tally, draw = ForeignTally(Languages(encoder=("en",)), most=100), random.Random(1)
    tracemalloc.start()
    try:
        for _ in range(20_000):
            tally.passing(Interaction(f"p{draw.randrange(400)}", GERMAN * 20))
        kept = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert kept < 2_000_000
    assert tally.passed_over
    assert len(tally.found(lambda name: 1)) == 100
