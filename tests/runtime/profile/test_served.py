"""What measured facets can speak to, and that nothing is made of what they cannot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from copersona.runtime.profile.facets import Reliability, schema_from_json, schema_to_json
from copersona.runtime.profile.profiler import profile_history
from copersona.runtime.profile.served import measured_scripts, served, unserved_script

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
