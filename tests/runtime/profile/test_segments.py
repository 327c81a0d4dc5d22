"""Words and sentences in any script; English ones are what the plain patterns say."""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from copersona.runtime.history.interactions import Interaction, clean_text
from copersona.runtime.profile.segments import raw_words, sentences_of, tells, terms_of, words_of
from copersona.runtime.prompt.retrieval import by_words

PLAIN_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
PLAIN_END = re.compile(r"(?<=[.!?…])[\"')\]]*\s+|(?<=[a-z][.!?])(?=[A-Z])|\n+")

WORDS = {
    "रोटी अभी गरम थी, ख़रीदा!": ["रोटी", "अभी", "गरम", "थी", "ख़रीदा"],
    "ذهبتُ إلى السوق، أمس.": ["ذهبتُ", "إلى", "السوق", "أمس"],
    "שָׁלוֹם לכולם": ["שָׁלוֹם", "לכולם"],
    "Ich hörte Müllers Straße": ["ich", "hörte", "müllers", "straße"],
    "나는 시장에 갔다.": ["나는", "시장에", "갔다"],
    "தமிழ் எழுத்து": ["தமிழ்", "எழுத்து"],
    "می‌خواهم بروم": ["می‌خواهم", "بروم"],
    "Μου αρέσει, дом": ["μου", "αρέσει", "дом"],
    "苹果、书": ["苹果", "书"],
    "我今天": ["我今", "今天"],
    "コーヒー": ["コー", "ーヒ", "ヒー"],
    "ABC漢字3月": ["abc", "漢字", "3", "月"],
    "ที่นี่": ["ที่นี่"],
    "don’t 3️⃣ R2D2 a_b": ["don't", "3", "r2d2", "a", "b"],
}
SENTENCES = {
    "面包还是热的！真的？！好。": ["面包还是热的！", "真的？！", "好。"],
    "「パンは温かい。」今日は休み。": ["「パンは温かい。」", "今日は休み。"],
    "रोटी गरम थी। बच्चे खेलने निकले॥ हाँ": ["रोटी गरम थी।", "बच्चे खेलने निकले॥", "हाँ"],
    "هل اشتريت الخبز؟ نعم! شكراً.": ["هل اشتريت الخبز؟", "نعم!", "شكراً."],
    "یہ روٹی ہے۔ گرم ہے۔": ["یہ روٹی ہے۔", "گرم ہے۔"],
    "ฉันไปตลาด ซื้อขนมปัง": ["ฉันไปตลาด", "ซื้อขนมปัง"],
    "Բարեւ։ Լավ եմ։": ["Բարեւ։", "Լավ եմ։"],
    "ሰላም። ደህና ነኝ።": ["ሰላም።", "ደህና ነኝ።"],
    "Good. 3.5 stars (really). Yes": ["Good.", "3.5 stars (really).", "Yes"],
}


@pytest.mark.parametrize("text", WORDS)
def test_words_of_any_script(text: str) -> None:
    assert words_of(clean_text(text)) == [clean_text(word) for word in WORDS[text]]


@pytest.mark.parametrize("text", SENTENCES)
def test_sentences_of_any_script(text: str) -> None:
    assert sentences_of(text) == SENTENCES[text]


@example("?\x1fÉ")
@given(st.text(alphabet=st.one_of(st.characters(max_codepoint=0x7E), st.sampled_from("’“”—…éßÉñ"))))
def test_plain_texts_have_the_words_and_sentences_of_the_plain_patterns(text: str) -> None:
    assert raw_words(text) == PLAIN_WORD.findall(text)
    assert sentences_of(text) == [part.strip() for part in PLAIN_END.split(text) if part.strip()]


@given(st.text())
def test_no_letter_is_lost_and_no_word_of_a_dense_script_is_a_clause(text: str) -> None:
    kept = {c for c in text if c.isalnum()}
    assert kept <= {c for word in raw_words(text) for c in word}
    for word in raw_words(text):
        names = [unicodedata.name(c, "") for c in word if unicodedata.category(c) == "Lo"]
        assert sum(name.startswith(("CJK UNIFIED", "THAI CHARACTER", "HIRAGANA LETTER")) for name in names) <= 2


@pytest.mark.parametrize(
    "part", ["」", "。」", "。", "ก\u0e48", "ก ", "\u0301", "\u200d", "字", "’", "é'", "é.", "म्", "ก\u0e48\u0e48\u0e48"]
)
def test_no_text_takes_more_than_its_length(part: str) -> None:
    text = part * 50_000
    assert len(sentences_of(text)) <= 50_000
    assert len(terms_of(text)) <= 2 * len(text)


def test_what_may_tell_of_a_subject() -> None:
    assert all(map(tells, ["guitar", "पनीर", "बाज़ार", "苹果", "ขน", "السوق"]))
    assert not any(map(tells, ["an", "don't", "r2d2", "को", "书", "12"]))


FOUND = {
    "Chinese": ["我昨天买了两个苹果。", "中午雨停了，孩子们在草地上玩。", "我的自行车又爆胎了。"],
    "Japanese": ["市場でりんごを二つ買った。", "雨がやんで子供たちが遊んだ。", "自転車がまたパンクした。"],
    "Hindi": ["मैंने बाज़ार से दो सेब ख़रीदे।", "बारिश रुकी और बच्चे खेले।", "मेरी साइकिल पंक्चर हो गई।"],
    "Arabic": ["اشتريت تفاحتين من السوق.", "توقف المطر ولعب الأطفال.", "دراجتي معطلة مرة أخرى."],
    "Thai": ["ฉันซื้อแอปเปิ้ลสองลูก", "ฝนหยุดแล้วเด็กๆออกไปเล่น", "จักรยานของฉันยางแบน"],
}
ASKED = {
    "Chinese": ["苹果好吃吗？", "孩子在哪里？", "自行车怎么样？"],
    "Japanese": ["りんごについて書いて", "子供たちは？", "自転車のこと"],
    "Hindi": ["सेब के बारे में", "बच्चे कहाँ हैं", "साइकिल कैसी है"],
    "Arabic": ["ماذا عن السوق", "أين الأطفال", "دراجتي"],
    "Thai": ["แอปเปิ้ลอร่อยไหม", "เด็กๆอยู่ไหน", "จักรยานเป็นอย่างไร"],
}


@pytest.mark.parametrize("language", FOUND)
def test_bm25_finds_the_text_that_shares_the_words_of_the_request(language: str) -> None:
    for place, request in enumerate(ASKED[language]):
        for form in ("NFC", "NFD"):
            assert by_words(FOUND[language], unicodedata.normalize(form, request))[:1] == [place]


def test_a_single_character_of_han_is_found_inside_a_run() -> None:
    assert by_words(["我在看书呢", "雨停了"], "书") == [0]
    assert terms_of("no han here") == words_of("no han here")


@pytest.mark.shared
def test_the_people_who_write_in_three_scripts(shared: Path) -> None:
    rows = [
        json.loads(line) for line in (shared / "cases" / "scripts_people.jsonl").read_text("utf-8").split("\n") if line
    ]
    for row in rows:
        text = Interaction(**row).output
        words = words_of(text)
        assert 8 <= len(words) <= 40
        assert max(map(len, words)) <= 12
        if row["person"] == "hindi":
            assert [w for w in words if unicodedata.category(w[0]).startswith("M")] == []
            assert words == [w.strip(",।!") for w in text.split()]
