"""What is said of a base model: bits per byte as torch counts them, bands, answers, samples, comparison in pairs."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from copersona.runtime.engine.engine import Engine, Sampling
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.prompt.layout import Layout

pytestmark = pytest.mark.export
TEXTS = [f"José and the drummer bought {n} strings, and they liked it! " * 6 for n in range(40)]


@pytest.fixture(scope="module")
def engine(tiny_gguf: Path) -> Any:
    with Engine(tiny_gguf, n_ctx=1_024, threads=1, exact=True) as opened:
        yield opened


def torch_bits(base: Path, tokens: list[int]) -> Any:
    """Bits of each token but the first."""
    import torch

    from copersona.export.convert.gguf import load_causal_lm

    with torch.no_grad():
        logs = load_causal_lm(base)(torch.tensor([tokens])).logits[0].log_softmax(-1)
    return -np.array([logs[i, token] for i, token in enumerate(tokens[1:])], np.float64) / np.log(2)


def test_bits_per_byte_are_those_of_torch(tiny_base: Path, engine: Engine) -> None:
    from copersona.export.base.score import CHARACTERS, score_alone

    text = TEXTS[0]
    tokens = engine.tokenize("\n") + engine.tokenize(text)
    naive = torch_bits(tiny_base, tokens).sum() / len(text.encode())
    assert score_alone(engine, [text])[0] == pytest.approx(naive, rel=1e-4)
    long = "a guitar " * CHARACTERS
    assert score_alone(engine, [long])[0] == pytest.approx(score_alone(engine, [long[:CHARACTERS]])[0])


def test_bands_count_bits_and_bytes_of_their_positions_alone(tiny_base: Path, engine: Engine) -> None:
    from copersona.export.base.score import packed_windows, score_bands

    windows = packed_windows(engine, TEXTS, 128)
    assert {len(window) for window in windows} == {128}
    end = engine.control("<|endoftext|>")
    window = next(w for w in windows if end in w[64:96] and end not in w[16:32])
    (early, late) = score_bands(engine, [window], [(16, 32), (64, 96)])
    bits = np.concatenate([[0.0], torch_bits(tiny_base, window)])
    assert early[0] == pytest.approx(bits[16:32].sum() / len(engine.detokenize(window[16:32]).encode()), rel=1e-4)
    kept = [i for i in range(64, 96) if window[i] != end]
    size = len(engine.detokenize([window[i] for i in kept]).encode())
    assert late[0] == pytest.approx(bits[kept].sum() / size, rel=1e-4)


def test_an_answer_is_right_but_for_case_articles_and_signs() -> None:
    from copersona.export.base.score import is_right
    from copersona.export.base.text import Question

    question = Question("q", "where?", ("The Bahamas", "New York City"))
    assert all(is_right(said, question) for said in ("bahamas", "Bahamas.", "new york  city"))
    assert not any(is_right(said, question) for said in ("", "New York", "in the Bahamas"))


def test_copied_runs_are_found_whatever_the_case_and_the_blanks() -> None:
    from copersona.export.base.measure import copied_runs

    text: Any = SimpleNamespace(everything=lambda: iter(["and then One two three  four five six seven eight nine"]))
    assert copied_runs(["one two three four five six seven EIGHT nine"], text) == 2
    assert copied_runs(["one two three four five six seven", "x two three four five six seven eight y"], text) == 0


def held() -> Any:
    from copersona.export.base.measure import Held
    from copersona.export.base.text import Question

    people = [tuple(Interaction(f"p{j}", TEXTS[j + i][:60], title="t") for i in range(3)) for j in range(4)]
    questions = [Question("q1", "who?", ("Nobody",)), Question("q2", "where?", ("There",))]
    text = SimpleNamespace(questions=lambda: questions, everything=lambda: iter(TEXTS))
    return Held(tuple(TEXTS), tuple(people), text)  # type: ignore[arg-type]


def test_models_are_measured_once_and_compared_in_pairs(tiny_base: Path, tiny_gguf: Path, tmp_path: Path) -> None:
    from copersona.export.base import measure as base_measure

    out = tmp_path / "base.json"
    models = {"folder": tiny_base, "file": tiny_gguf}
    figures = base_measure.measure_all(models, held(), out)
    assert set(figures["folder"]["bits per byte"]) == {"blog", "nobody", "own", "stranger"}
    assert figures["folder"]["questions"]["asked"] == 2
    assert len(figures["folder"]["samples"]) == 3
    assert figures["file minus folder"]["blog"]["mean"] == pytest.approx(0, abs=1e-6)
    kept = json.loads(out.read_text())
    assert not any(text[:30] in out.read_text() for text in TEXTS)
    kept["folder"]["figures"]["questions"]["right"] = 77
    out.write_text(json.dumps(kept))
    assert base_measure.measure_all(models, held(), out)["folder"]["questions"]["right"] == 77


def test_of_a_bundle_the_questions_are_asked(tiny_bundle: Path, tmp_path: Path) -> None:
    from copersona.export.base import measure as base_measure

    figures = base_measure.measure_all({"bundle": tiny_bundle}, held(), tmp_path / "base.json")
    assert figures == {"bundle": {"questions": {"right": 0, "asked": 2, "share": 0.0}}}


def test_a_stranger_is_shown_instead_of_the_person(engine: Engine) -> None:
    from copersona.export.base.measure import CONTEXT, _reviews
    from copersona.export.base.score import bits_and_bytes

    layout, text = Layout(engine, CONTEXT), held()
    values = _reviews(engine, layout, text)
    target, other = text.histories[0][-1], text.histories[1][:-1]
    bits, size = bits_and_bytes(engine, layout.prompt(target.request(), recent=other).tokens, target.output)
    assert values["stranger"][0] == pytest.approx(bits / size)
    assert values["own"][0] != pytest.approx(values["stranger"][0], abs=1e-9)


def test_answers_are_greedy_and_end(engine: Engine) -> None:
    from copersona.export.base.score import ANSWER, answer

    prompt = engine.tokenize("the drummer bought")
    assert answer(engine, prompt) == answer(engine, prompt)
    assert answer(engine, prompt, Sampling(temperature=0.0, max_tokens=1)) in answer(engine, prompt)
    assert ANSWER.temperature == 0.0


def test_the_command_needs_a_name_for_each_model(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from copersona.runtime.cli.main import main

    arguments = ["export", "measure-base", "just/a/folder", "--data", str(tmp_path), "--out", str(tmp_path / "o.json")]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 1
    assert "expected NAME=MODEL" in done.stderr
