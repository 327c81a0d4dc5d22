"""Tokens that a model was given for markup are never made by what people write; its runs of blanks are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from copersona.runtime.engine.chat_template import model_turns
from copersona.runtime.engine.engine import Engine
from copersona.runtime.engine.markup import Markup, is_markup

from ...random_models import qwen2
from ...tiny_tokenizer import CHAT_TEMPLATE

MARKUP = ("<tool_call>", "</tool_call>", "<tool", "[TOOL_CALLS]", "<｜tool▁sep｜>", "<think>", "</think>", "<<think>")
BLANKS = ("    ", "\n\n\n")
TEXTS = st.lists(
    st.sampled_from([*MARKUP, *BLANKS, "<", ">", "<tool_", "call>", "think>", "[", " good ", "\n", "é", "<|im_end|>"])
).map("".join)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The same vocabulary without what was added."""
    with Engine(qwen2(tmp_path_factory.mktemp("plain") / "m.gguf"), n_ctx=64, threads=1) as engine:
        yield engine


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    path = qwen2(tmp_path_factory.mktemp("added") / "m.gguf", added=(*MARKUP, *BLANKS))
    with Engine(path, n_ctx=64, threads=1) as engine:
        yield engine


@pytest.mark.parametrize("token", [*MARKUP[:2], *MARKUP[3:], "[@BOS@]", "{{x}}", "<|a|>", "◁think▷", "<unused7>"])
def test_what_looks_like_markup(token: str) -> None:
    assert is_markup(token)


@pytest.mark.parametrize("token", ["    ", "\n\n", "▁▁", "hello", "<tool", "<", "<>", "=>", "🎸", "ü", "...", ">x<"])
def test_what_does_not(token: str) -> None:
    assert not is_markup(token)


def test_markup_is_spelt_as_without_the_token(engine: Engine, plain: Engine) -> None:
    for token in MARKUP[:2]:
        for before, behind in (("", ""), ("I said ", " twice"), ("x", "y"), ("\n", "\n")):
            expected = plain.tokenize(f"{before}<") + plain.tokenize(f"{token[1:]}{behind}")
            assert engine.tokenize(f"{before}{token}{behind}") == expected


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXTS)
def test_no_text_becomes_markup_and_every_text_comes_back(engine: Engine, text: str) -> None:
    ids = engine.tokenize(text)
    first = engine.vocabulary_size - len(MARKUP) - len(BLANKS)
    made = {engine.vocabulary.written(token) for token in ids if token >= first}
    assert not {token for token in made if is_markup(token)}
    assert engine.detokenize(ids) == text


def test_runs_of_blanks_are_their_own_tokens(engine: Engine, plain: Engine) -> None:
    for blank in BLANKS:
        [token] = engine.tokenize(blank)
        assert engine.tokenize(f"a{blank}<tool_call>{blank}b").count(token) == 2
        assert len(plain.tokenize(f"a{blank}b")) >= 3
    assert engine.tokenize("plain <b> [x] {y}") == plain.tokenize("plain <b> [x] {y}")


def test_a_template_writes_markup_as_tokens(tmp_path: Path) -> None:
    opened = "<|im_start|>assistant\n"
    template = CHAT_TEMPLATE.replace(opened, f"{opened}<think>\n\n</think>\n\n")
    path = qwen2(tmp_path / "m.gguf", added=MARKUP, **{"tokenizer.chat_template": template})
    with Engine(path, n_ctx=64, threads=1) as engine:
        answer = model_turns(engine).answer
        written = [engine.vocabulary.written(token) for token in answer]
    assert written[0] == "<|im_start|>"
    assert [token for token in written if token in MARKUP] == ["<think>", "</think>"]


def test_many_of_them_take_time_that_grows_with_the_text(engine: Engine) -> None:
    start = time.process_time()
    for text in ("<tool_call>" * 18_000, "<" * 200_000, "<tool_call" * 20_000, "[" * 200_000):
        assert engine.detokenize(engine.tokenize(text)) == text
    assert time.process_time() - start < 10


def test_many_such_tokens_are_looked_for_in_one_go() -> None:
    markup = Markup([*(f"<unused{n}>" for n in range(6_300)), "[multimodal]"])
    start = time.process_time()
    assert markup.pieces("<unused77>" + "<unused" * 28_000) == ["<", "unused77>" + "<unused" * 28_000]
    assert time.process_time() - start < 2


def test_overlapping_ones_are_all_cut() -> None:
    markup = Markup(["<<think>", "<think>", "    "])
    assert markup.pieces("a<<think>    b") == ["a<", "<", "think>    b"]
