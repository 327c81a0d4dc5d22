"""Generations decided on at their prompt's last token: each as it should be, and as it is alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from copersona.runtime.common.arrays import F32
from copersona.runtime.common.errors import ModelError, ModelRefused
from copersona.runtime.engine.engine import Engine, Prefix, Sampling, quantize
from copersona.runtime.engine.layers import layer_states
from copersona.runtime.engine.wanted import Act, Wanted, Watch
from copersona.runtime.session.prefix_cache import PersonShelf, PrefixMemory

GREEDY = Sampling(0.0, max_tokens=12)
LAYER = 0


@pytest.fixture(scope="module")
def q8(tiny_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("q8") / "model.gguf"
    quantize(tiny_gguf, path, "q8_0")
    return path


@pytest.fixture(scope="module")
def eight(q8: Path) -> Iterator[Engine]:
    with Engine(q8, n_ctx=256, threads=1, sequences=8, reads=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def plain(q8: Path) -> Iterator[Engine]:
    with Engine(q8, n_ctx=256, threads=1) as opened:
        yield opened


def ids(seed: int, size: int = 40) -> list[int]:
    return np.random.default_rng(seed).integers(3, 250, size).tolist()


def shift_of(engine: Engine, seed: int = 7) -> F32:
    return np.random.default_rng(seed).normal(0, 1.0, engine.width).astype(np.float32)


def watched(act: Act, seed: int, sampling: Sampling = GREEDY, prefix: Prefix | None = None) -> Wanted:
    other = Wanted(None, ids(seed + 100, 25), sampling)
    return Wanted(None, ids(seed), sampling, prefix, None, Watch(LAYER, lambda state: act), other)


def tokens(engine: Engine, wanted: Wanted) -> list[int]:
    return [piece.token for piece in engine.answer(wanted)]


def expected(engine: Engine, seed: int, shift: F32, made: list[int]) -> list[int]:
    """The likeliest tokens in one pass over prompt and answer, the layer moved from the prompt's last token on."""
    assert engine.layers is not None
    with engine.layers.meeting([LAYER], lambda layer, first, rows: rows + shift):
        return engine.logits(None, [*ids(seed), *made[:-1]], last=len(made)).argmax(-1).tolist()


def test_a_shift_moves_the_layer_from_the_prompts_last_token_on(eight: Engine, plain: Engine) -> None:
    shift = shift_of(eight)
    made = tokens(eight, watched(Act("shift", shift), 1))
    assert made == expected(eight, 1, shift, made)
    assert made != tokens(plain, Wanted(None, ids(1), GREEDY)), "it would be no test"


def test_what_is_held_is_what_the_other_prompt_gives_minus_what_this_one_gives(eight: Engine, plain: Engine) -> None:
    made = tokens(eight, watched(Act("hold"), 1))
    shift = layer_states(eight, None, ids(101, 25))[LAYER, 0] - layer_states(eight, None, ids(1))[LAYER, 0]
    assert made == expected(eight, 1, shift, made)


def test_instead_and_leave_give_what_an_engine_without_layers_gives(eight: Engine, plain: Engine) -> None:
    assert tokens(eight, watched(Act("leave"), 1)) == tokens(plain, Wanted(None, ids(1), GREEDY))
    assert tokens(eight, watched(Act("instead"), 1)) == tokens(plain, Wanted(None, ids(101, 25), GREEDY))


def test_the_decision_sees_what_the_layer_puts_out_at_the_prompts_last_token(eight: Engine) -> None:
    seen: list[F32] = []

    def decide(state: F32) -> Act:
        seen.append(state)
        return Act("leave")

    shelf = PersonShelf(PrefixMemory(1 << 24), None, None, 0)
    for _ in range(2):  # the second time the beginning is held
        list(eight.answer(Wanted(None, ids(1), GREEDY, Prefix(30, "key", shelf), None, Watch(1, decide))))
    found = layer_states(eight, None, ids(1))[1, 0]
    assert len(seen) == 2
    assert (seen[0] == seen[1]).all()
    assert np.abs(seen[0] - found).max() < 1e-3 * np.abs(found).max()


def test_eight_of_all_decisions_in_a_batch_are_what_each_is_alone(eight: Engine) -> None:
    acts = [Act("leave"), Act("shift", shift_of(eight)), Act("hold"), Act("instead")]
    sampling = [Sampling(1.0, 0.98, 8 + n, n) for n in range(8)]  # they end at different times
    shelf = PersonShelf(PrefixMemory(1 << 24), None, None, 0)
    asked = [watched(acts[n % 4], n, sampling[n], Prefix(20, str(n), shelf)) for n in range(8)]
    more = [(8, Wanted(None, ids(8), GREEDY)), (9, watched(Act("shift", shift_of(eight, 8)), 9))]
    every = [*enumerate(asked), *more]
    together = {tag: found for tag, found in eight.generate_many(every)}
    for tag, wanted in every:
        found = together[tag]
        assert not isinstance(found, ModelRefused)
        assert [piece.token for piece in found] == tokens(eight, wanted)


@pytest.mark.parametrize(
    ("error", "said"), [(ModelRefused("no decision"), "no decision"), (ValueError("ana"), "answer failed (ValueError)")]
)
def test_one_whose_decision_fails_is_refused_with_its_reason_and_the_others_go_on(
    eight: Engine, error: Exception, said: str
) -> None:
    def fails(state: F32) -> Act:
        raise error

    asked = [(0, watched(Act("leave"), 0)), (1, Wanted(None, ids(1), GREEDY, None, None, Watch(LAYER, fails)))]
    found = dict(eight.generate_many([*asked, (2, watched(Act("instead"), 2))]))
    assert isinstance(found[1], ModelRefused)
    assert str(found[1]).endswith(said)
    for tag in (0, 2):
        assert not isinstance(found[tag], ModelRefused)
        assert len(found[tag]) > 0


def test_watching_without_layers_or_another_prompt_is_one_line(eight: Engine, plain: Engine) -> None:
    with pytest.raises(ModelError, match="reads=True"):
        tokens(plain, watched(Act("leave"), 1))
    with pytest.raises(ModelError, match="without another prompt"):
        tokens(eight, watched(Act("instead"), 1)._replace(other=None))
