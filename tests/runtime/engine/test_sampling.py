"""Tokens are chosen as llama.cpp's own chain of samplers chooses them, and within a grammar only what it allows."""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from copersona.runtime.common.errors import ModelRefused
from copersona.runtime.engine.engine import Engine
from copersona.runtime.engine.llama import library
from copersona.runtime.engine.nucleus import nucleus
from copersona.runtime.engine.sampling import Sampler, Sampling

WORDS = 'root ::= "abc" [a-z ]+ "."'


@pytest.fixture(scope="module")
def engine(tiny_gguf: Path) -> Iterator[Engine]:
    with Engine(tiny_gguf, n_ctx=128, threads=1) as made:
        yield made


Choose = Callable[[Any], tuple[int, set[int]]]


def chain(engine: Engine, sampling: Sampling, grammar: str | None = None) -> Choose:
    """llama.cpp's samplers in their usual order, over the whole vocabulary: what they choose, and from what."""
    llama = library()
    vocab = engine._context.vocab
    parts = [] if grammar is None else [llama.llama_sampler_init_grammar(vocab, grammar.encode(), b"root")]
    if sampling.temperature:
        parts += [
            llama.llama_sampler_init_top_p(sampling.top_p, 1),
            llama.llama_sampler_init_temp(sampling.temperature),
            llama.llama_sampler_init_dist(sampling.seed),
        ]
    else:
        parts.append(llama.llama_sampler_init_greedy())
    made = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
    for part in parts:
        llama.llama_sampler_chain_add(made, part)

    def choose(logits: Any) -> tuple[int, set[int]]:
        rows = (llama.llama_token_data * len(logits))(*((n, float(logit), 0.0) for n, logit in enumerate(logits)))
        array = llama.llama_token_data_array(data=rows, size=len(logits), selected=-1, sorted=False)
        llama.llama_sampler_apply(made, ctypes.byref(array))
        token = int(array.data[array.selected].id)
        llama.llama_sampler_accept(made, token)
        return token, {int(array.data[n].id) for n in range(array.size)}

    return choose


def rows(engine: Engine, sharpness: float) -> Iterator[Any]:
    """Logits after one text and another, from flat to sharp."""
    for text in ("Hello", "I like it", "strings and", "a b c d e"):
        logits = engine.logits(None, engine.tokenize(text), last=1)[0]
        yield ((logits - logits.mean()) / logits.std() * sharpness).astype(np.float32)


@pytest.mark.parametrize("sampling", [Sampling(1.0, 1.0), Sampling(1.7, 1.0), Sampling(0.0)])
@pytest.mark.parametrize("sharpness", [0.5, 2.0, 6.0])
def test_tokens_are_those_of_llama_cpps_own_samplers(engine: Engine, sampling: Sampling, sharpness: float) -> None:
    own, theirs = Sampler(sampling, engine._context.vocab), chain(engine, sampling)
    for _ in range(5):
        for logits in rows(engine, sharpness):
            assert own(logits) == theirs(logits)[0]
    own.close()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("sharpness", [0.5, 2.0, 6.0])
def test_a_nucleus_is_llama_cpps(engine: Engine, share: float, sharpness: float) -> None:
    theirs = chain(engine, Sampling(0.8, share))
    for logits in rows(engine, sharpness):
        assert set(nucleus(logits, share).tolist()) == theirs(logits)[1]


def test_tokens_come_as_often_as_temperature_and_nucleus_say(engine: Engine) -> None:
    logits = next(rows(engine, 2.0))
    sampler = Sampler(Sampling(0.7, 0.6, seed=5), engine._context.vocab)
    drawn = Counter(sampler(logits) for _ in range(4_000))
    sampler.close()
    kept = np.argsort(-logits)[: len(nucleus(logits, 0.6))]
    assert len(kept) > 5
    assert set(drawn) <= set(kept.tolist())
    weights = np.exp(logits[kept].astype(np.float64) / 0.7)
    for token, share in zip(kept.tolist(), weights / weights.sum(), strict=True):
        assert abs(drawn[token] / 4_000 - share) < 4 * np.sqrt(share * (1 - share) / 4_000)


def test_the_likeliest_that_a_grammar_allows_is_llama_cpps(engine: Engine) -> None:
    sampling = Sampling(0.0)
    own, theirs = Sampler(sampling, engine._context.vocab, WORDS), chain(engine, sampling, WORDS)
    found = []
    for _ in range(5):
        for logits in rows(engine, 2.0):
            found.append(own(logits))
            assert found[-1] == theirs(logits)[0]
    assert engine.detokenize(found).startswith("abc")
    own.close()


def test_within_a_grammar_tokens_are_as_likely_as_among_the_allowed_ones(engine: Engine) -> None:
    logits = next(rows(engine, 1.0))
    allowed = {token for token in range(len(logits)) if engine.vocabulary.written(token) in ("a", "b", "c")}
    weights = {token: float(np.exp(logits[token])) for token in allowed}
    drawn: Counter[int] = Counter()
    for seed in range(800):
        sampler = Sampler(Sampling(1.0, 1.0, seed=seed), engine._context.vocab, "root ::= [abc]")
        drawn[sampler(logits)] += 1
        sampler.close()
    assert set(drawn) <= allowed
    for token, weight in weights.items():
        share = weight / sum(weights.values())
        assert abs(drawn[token] / 800 - share) < 4 * np.sqrt(share * (1 - share) / 800)


def test_a_grammar_that_no_token_can_go_on_with_is_refused(engine: Engine) -> None:
    logits = next(rows(engine, 1.0))
    nothing = np.full_like(logits, -np.inf)
    sampler = Sampler(Sampling(), engine._context.vocab, WORDS)
    sampler._apply = lambda *_: type("Applied", (), {"token": 0, "logits": nothing})()  # type: ignore[method-assign]
    with pytest.raises(ModelRefused, match="as the grammar wants"):
        sampler(logits)
    sampler.close()


@given(
    arrays(np.float32, st.integers(1, 300), elements=st.floats(-30, 30, width=32)),
    st.floats(0.01, 1.0),
)
def test_a_nucleus_is_the_fewest_likeliest_tokens_that_hold_the_share(logits: Any, share: float) -> None:
    found = nucleus(logits, share)
    p = np.exp(logits.astype(np.float64) - logits.max())
    p /= p.sum()
    assert len(set(found.tolist())) == len(found)
    if share >= 1:
        assert found.tolist() == list(range(len(logits)))
        return
    left_out = np.setdiff1d(np.arange(len(logits)), found)
    assert not len(left_out) or p[left_out].max() <= p[found].min() + 1e-7
    assert p[found].sum() >= share - 1e-5
    more_likely = p[found] > p[found].min() + 1e-9  # all but the last one, and those as likely
    assert p[found][more_likely].sum() <= share + 1e-5
