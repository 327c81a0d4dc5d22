"""Text metrics against the reference implementations, the judge, and methods that have a model write."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from copersona.export.evaluation.bench.judge import MARKS, Judge
from copersona.export.evaluation.bench.texts import BertScore, TextMetrics, corpus_bleu
from copersona.export.evaluation.methods.writer import LONGEST, MOST, ask
from copersona.runtime.chat.endpoint import Endpoint
from copersona.runtime.chat.ledger import Ledger, Memory

from ...conftest import ChatServer, quiet

pytestmark = pytest.mark.export

PAIRS = (
    ("I love these strings, they sound bright and last for months!", "Great strings. They are bright and they last."),
    ("It broke after a week.", "The stand is sturdy, holds my guitar well and folds flat for gigs."),
    ("Works", "Works as it should, and it's cheap."),
)
BERT = (0.790599, 0.180274, 0.359968)
"""F1 of bert-score 0.3.13 with model_type=all-MiniLM-L6-v2, num_layers=6, no idf."""
LONG = ("the cat sat on the mat and it was a good day", "the cat sat on the mat and it was a bad day")


def test_bertscore_equals_the_reference_implementations(encoder_dir: Path) -> None:
    with quiet():
        ours = BertScore(encoder_dir)
        assert [ours.score(*pair) for pair in PAIRS] == pytest.approx(BERT, abs=1e-5)
        assert ours.score(LONG[0], LONG[0]) == pytest.approx(1.0, abs=1e-5)
        assert ours.score("", "x") == 0.0


@pytest.mark.parametrize("pairs", [PAIRS, (LONG, *PAIRS), (("no", "yes"),), (("", "yes"),)])
def test_bleu_from_kept_counts_equals_sacrebleus_of_the_corpus(pairs: tuple[tuple[str, str], ...]) -> None:
    import sacrebleu

    metrics = TextMetrics(None)
    theirs = sacrebleu.corpus_bleu([text for text, _ in pairs], [[truth for _, truth in pairs]])
    assert corpus_bleu([metrics.score(*pair) for pair in pairs]) == pytest.approx(theirs.score)


def test_rouge_and_meteor_by_hand_and_agreement() -> None:
    metrics = TextMetrics(None)
    row = metrics.score("a b c d", "a c x")
    # ROUGE-1: 2 common of 4 and 3; ROUGE-L: the sequence a c
    assert row["ROUGE-1"] == pytest.approx(2 * (2 / 4) * (2 / 3) / (2 / 4 + 2 / 3))
    assert row["ROUGE-L"] == row["ROUGE-1"]
    precision, recall, chunks = 2 / 4, 2 / 3, 2
    f_mean = precision * recall / (0.9 * precision + 0.1 * recall)
    assert row["METEOR"] == pytest.approx(f_mean * (1 - 0.5 * (chunks / 2) ** 3))
    assert metrics.score("strings", "string")["METEOR"] > 0  # by stem
    assert metrics.score("", "x")["METEOR"] == 0.0
    assert metrics.alike(["a b", "a b", "a b"]) == 1.0
    assert math.isnan(metrics.alike(["a b"]))


def test_signatures_say_which_stages_and_versions() -> None:
    rows = TextMetrics(None).signatures()
    assert "exact, stem" in rows["METEOR"]
    assert "tok:13a" in rows["BLEU"]
    assert "version:" in rows["BLEU"]


def _ledger(server: ChatServer) -> Ledger:
    return Ledger(Endpoint(server.url, "m"), Memory())


def test_a_judge_marks_abstains_or_is_not_believed(chat_server: ChatServer) -> None:
    answers = iter(
        [
            {"authenticity": 8, "practical_details": 6, "human_likeness": 10, "abstain": "no"},
            {"authenticity": 8, "practical_details": 6, "human_likeness": 10, "abstain": "yes"},
            {"authenticity": 80, "practical_details": 6, "human_likeness": 10, "abstain": "no"},
            {"authenticity": 8},
        ]
    )
    chat_server.answer = lambda body: json.dumps(next(answers))
    judge = Judge(_ledger(chat_server))
    assert judge.score("r", "one") == {**dict(zip(MARKS, (8.0, 6.0, 10.0), strict=True)), "abstained": 0.0}
    for text in ("two", "three", "four"):
        assert judge.score("r", text) == {"abstained": 1.0}
    assert judge.score("r", "one")["authenticity"] == 8.0  # remembered
    assert len(chat_server.bodies) == 4
    assert "CoPersona" not in json.dumps(chat_server.bodies)


def test_a_writer_gives_lines_or_none(chat_server: ChatServer) -> None:
    lines = ["one  line", "", 3, "x" * 500, *"abcdefgh"]
    chat_server.answer = lambda body: json.dumps({"lines": lines})
    found = ask(_ledger(chat_server), "p 1", "Write.", {"texts": ["I <|im_end|> said"]})
    assert found[0] == "one line"
    assert len(found[1]) == LONGEST
    assert len(found) == MOST
    chat_server.answer = lambda body: "I would rather not."
    assert ask(_ledger(chat_server), "p 1", "Write.", {"texts": []}) == ()
