"""What measured facets can speak to, and that nothing is made of what they cannot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from copersona.runtime.history.interactions import Interaction
from copersona.runtime.profile.facets import Reliability, schema_from_json, schema_to_json
from copersona.runtime.profile.profiler import profile_history
from copersona.runtime.profile.served import (
    LEAST,
    LOOKED_AT,
    UnservedTally,
    measured_scripts,
    scripts_of,
    served,
    unserved_script,
)

from .test_profiler import SCHEMA, encode

ENGLISH = ["I love the guitar, it is great!", "The strings broke, but I would buy them again."] * 6
OTHER = {
    "Han": "我今天早上走到市场，买了两个苹果、一条面包和一些奶酪。面包还是热的！",
    "Devanagari": "आज सुबह मैं बाज़ार गया और दो सेब, एक रोटी और थोड़ा पनीर ख़रीदा। रोटी अभी गरम थी!",
    "Arabic": "ذهبت اليوم إلى السوق واشتريت تفاحتين ورغيف خبز وبعض الجبن!",
    "Thai": "วันนี้ฉันไปตลาดและซื้อแอปเปิ้ลสองลูก ขนมปังยังร้อนอยู่!",
    "Cyrillic": "Сегодня утром я пошёл на рынок и купил два яблока, хлеб и сыр!",
    "Hangul": "오늘 아침에 시장에 가서 사과 두 개와 빵을 샀다. 빵이 아직 따뜻했다!",
}


@pytest.mark.parametrize("script", OTHER)
def test_texts_in_a_script_that_was_not_measured_support_nothing_and_are_named(script: str) -> None:
    texts = [OTHER[script]] * 12
    assert unserved_script(texts, ("LATIN",)) == script
    profile = profile_history(texts, SCHEMA, encode)
    assert set(profile.reliabilities.tolist()) == {Reliability.NONE}
    mixed = profile_history([*texts, *ENGLISH], SCHEMA, encode)
    alone = profile_history(ENGLISH, SCHEMA, encode)
    assert mixed.facets == alone.facets
    assert np.array_equal(mixed.z, alone.z)


@pytest.mark.parametrize("script", OTHER)
def test_a_population_that_writes_in_a_script_is_measured_in_it(script: str) -> None:
    scripts = measured_scripts([*ENGLISH, *[OTHER[script]] * 12])
    assert unserved_script([OTHER[script]], scripts) == unserved_script(ENGLISH, scripts) == ""
    observed = profile_history([OTHER[script]] * 12, replace(SCHEMA, scripts=scripts), encode)
    assert observed.z.any()


def test_what_has_no_letters_or_foreign_names_in_it_counts_as_before() -> None:
    kept = ["5/5 !!!", "👍👍", "I saw 東京 and Москва, both nice.", "", "Señor Ångström's café"]
    assert served(kept, ("LATIN",)) == kept
    assert unserved_script(kept, ("LATIN",)) == unserved_script([], ("LATIN",)) == ""
    assert measured_scripts([]) == ("LATIN",)


def test_the_scripts_stand_in_the_schema_and_older_schemas_are_latin() -> None:
    chosen = replace(SCHEMA, scripts=("CJK", "HIRAGANA"))
    assert schema_from_json(schema_to_json(chosen)) == chosen
    body = schema_to_json(SCHEMA).replace('"scripts"', '"unknown"')
    assert schema_from_json(body).scripts == ("LATIN",)


@given(st.lists(st.sampled_from([*"aZ5 é’µ—\n", "the ", "Москва ", "東京", "👍", "\ud800"])).map("".join))
def test_what_is_told_at_a_glance_is_what_its_letters_say(text: str) -> None:
    for scripts in (("LATIN",), ("LATIN", "CJK"), ("CYRILLIC",)):
        found = scripts_of([text])
        mostly = sum(found[name] for name in scripts) >= LEAST * found.total()
        assert (served([text], scripts) == [text]) == mostly
    assert len(text) < LOOKED_AT


def test_who_writes_mostly_in_another_script_is_told_from_what_passes_by() -> None:
    rows = [
        *(Interaction("ana", text) for text in ENGLISH),
        Interaction("ana", OTHER["Han"]),
        *(Interaction("mei", OTHER["Han"]) for _ in range(3)),
        *(Interaction("ivan", OTHER["Cyrillic"]) for _ in range(2)),
        *(Interaction("ivan", text) for text in ENGLISH[:1]),
    ]
    tally = UnservedTally(("LATIN",))
    assert [tally.passing(one) for one in rows] == rows
    texts = {name: sum(one.person == name for one in rows) for name in ("ana", "mei", "ivan")}
    assert tally.found(texts.__getitem__) == {"mei": "Han", "ivan": "Cyrillic"}
    assert tally.found(lambda name: 100) == {}  # it was little of what they have
    bounded = UnservedTally(("LATIN",), most=1)
    for n in range(100):
        bounded.passing(Interaction(f"p{n}", OTHER["Han"]))
    assert bounded.found(lambda name: 1) == {"p0": "Han"}
