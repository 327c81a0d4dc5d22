"""Prefixes that are restored and generations that share their steps give what a lone, fresh generation gives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from copersona.runtime.common.arrays import F32
from copersona.runtime.common.errors import ModelError, ModelRefused
from copersona.runtime.engine.engine import Engine, Prefix, Sampling, Wanted, quantize
from copersona.runtime.engine.llama_context import State
from copersona.runtime.engine.sequences import Generation, Sequences
from copersona.runtime.filecheck.gguf_check import check_gguf
from copersona.runtime.session.prefix_cache import PersonShelf, PrefixMemory

WARM = Sampling(temperature=1.2, top_p=0.98, max_tokens=20, seed=5)


@pytest.fixture(scope="module")
def small(tiny_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("q8") / "model.gguf"
    quantize(tiny_gguf, path, "q8_0")
    return path


@pytest.fixture
def engine(small: Path) -> Iterator[Engine]:
    with Engine(small, n_ctx=512, threads=1) as opened:
        yield opened


def shelf() -> PersonShelf:
    return PersonShelf(PrefixMemory(1 << 30))


def draw(engine: Engine, seed: int, tokens: int = 60, rows: int = 8) -> tuple[F32, list[int]]:
    rng = np.random.default_rng(seed)
    soft = rng.normal(0, 0.3, (rows, engine.width)).astype(np.float32)
    return soft, rng.integers(3, engine.vocabulary_size, tokens).tolist()


def run(engine: Engine, wanted: Wanted) -> list[int]:
    pieces = engine.generate(wanted.soft, wanted.tokens, wanted.sampling, prefix=wanted.prefix)
    return [piece.token for piece in pieces]


def logits_after(engine: Engine, prefix: Prefix | None, soft: F32, ids: list[int]) -> F32:
    list(engine.generate(soft, ids, Sampling(max_tokens=1), prefix=prefix))
    return engine._context.logits(-1).copy()


def test_held_restored_and_computed_prefixes_give_the_same_numbers_to_the_bit(engine: Engine, small: Path) -> None:
    soft, ids = draw(engine, 0)
    prefix = Prefix(50, "k", shelf())
    computed = logits_after(engine, prefix, soft, ids)
    held = logits_after(engine, prefix, soft, ids)
    other, text = draw(engine, 1)
    run(engine, Wanted(other, text, WARM))
    restored = logits_after(engine, prefix, soft, ids)
    assert engine.sequences.reached == {"computed": 1, "held": 1, "restored": 1}
    np.testing.assert_array_equal(held, computed)
    np.testing.assert_array_equal(restored, computed)
    with Engine(small, n_ctx=512, threads=2) as fresh:  # another process would do the same with a state from disk
        assert fresh.make == engine.make
        np.testing.assert_array_equal(logits_after(fresh, prefix, soft, ids), computed)
        assert fresh.sequences.reached == {"restored": 1}


def test_a_prefix_changes_nothing_but_the_last_digits(engine: Engine) -> None:
    soft, ids = draw(engine, 2)
    plain = logits_after(engine, None, soft, ids)
    split = logits_after(engine, Prefix(30, "k", shelf()), soft, ids)
    np.testing.assert_allclose(split, plain, atol=0.05 * float(plain.std()))


def test_a_new_request_keeps_the_prefix_and_drops_the_rest(engine: Engine) -> None:
    soft, ids = draw(engine, 3)
    prefix = Prefix(40, "k", shelf())
    run(engine, Wanted(soft, [*ids, *range(3, 90)], WARM, prefix))
    again = run(engine, Wanted(soft, ids, WARM, prefix))
    engine.sequences.clear()
    assert again == run(engine, Wanted(soft, ids, WARM, prefix))
    assert engine.sequences.reached == {"computed": 1, "held": 1, "restored": 1}


def test_only_the_soft_prompt_as_prefix_and_none_at_all(engine: Engine) -> None:
    soft, ids = draw(engine, 4)
    expected = run(engine, Wanted(soft, ids, WARM))
    prefix = Prefix(0, "k", shelf())
    assert [run(engine, Wanted(soft, ids, WARM, prefix)) for _ in range(2)] == [expected, expected]
    for wrong in (60, 61, -1):
        with pytest.raises(ValueError, match="no start of a prompt of 60"):
            engine.generate(soft, ids, WARM, prefix=Prefix(wrong, "k", shelf()))


@pytest.mark.parametrize("damage", ["cut", "empty", "noise", "of another length"])
def test_a_state_that_llama_refuses_is_recomputed(engine: Engine, damage: str) -> None:
    soft, ids = draw(engine, 5)
    keeps = shelf()
    prefix = Prefix(50, "k", keeps)
    expected = run(engine, Wanted(soft, ids, WARM, prefix))
    state = keeps.get("k")
    assert state is not None
    engine.sequences.clear()
    other = shelf()
    run(engine, Wanted(soft, ids, WARM, Prefix(20, "k", other)))
    shorter = other.get("k")
    assert shorter is not None
    bad: dict[str, State] = {
        "cut": state[:-100].copy(),
        "empty": state[:0].copy(),
        "noise": np.full(400, 255, np.uint8),
        "of another length": shorter,
    }
    keeps.put("k", bad[damage])
    engine.sequences.clear()
    before = engine.sequences.reached["computed"]
    assert run(engine, Wanted(soft, ids, WARM, prefix)) == expected
    assert engine.sequences.reached["computed"] == before + 1
    np.testing.assert_array_equal(keeps.get("k"), state)  # and the good one is kept


def test_the_make_of_a_state_tells_contexts_apart(small: Path) -> None:
    makes = set()
    for options in ({}, {"exact": True}, {"sequences": 4}):
        with Engine(small, n_ctx=64, threads=1, **options) as opened:  # type: ignore[arg-type]
            makes.add(opened.make)
    assert len(makes) == 3


def jobs(engine: Engine, count: int = 12, keeps: PersonShelf | None = None) -> list[tuple[int, Wanted]]:
    """Requests of three people of different lengths, each with its own seed and end."""
    found = []
    for n in range(count):
        soft, ids = draw(engine, n % 3, 40)
        tail = np.random.default_rng(100 + n).integers(3, engine.vocabulary_size, 3 + 7 * n % 50).tolist()
        prefix = None if keeps is None else Prefix(30, str(n % 3), keeps)
        found.append((n, Wanted(soft, [*ids, *tail], Sampling(1.1, 0.98, 3 + 5 * n % 29, n), prefix)))
    return found


def together(engine: Engine, asked: Any) -> dict[int, Any]:
    found = {}
    for tag, pieces in engine.generate_many(asked):
        assert tag not in found
        found[tag] = pieces if isinstance(pieces, ModelRefused) else [piece.token for piece in pieces]
    return found


def test_generations_together_are_those_alone(engine: Engine, small: Path) -> None:
    alone = {tag: run(engine, wanted) for tag, wanted in jobs(engine)}
    assert len({tuple(tokens) for tokens in alone.values()}) == 12
    for sequences, threads in ((1, 1), (2, 2), (5, 1), (16, 2)):
        with Engine(small, n_ctx=512, threads=threads, sequences=sequences) as many:
            assert together(many, jobs(many)) == alone
    with_prefix = {tag: run(engine, wanted) for tag, wanted in jobs(engine, keeps=shelf())}
    with Engine(small, n_ctx=512, threads=1, sequences=4) as many:
        assert together(many, jobs(many, keeps=shelf())) == with_prefix
        assert many.sequences.reached["computed"] == 3  # each person once


def test_what_is_finished_makes_room_at_once(small: Path) -> None:
    taken: list[int] = []

    def asked() -> Iterator[tuple[int, Wanted]]:
        for n in range(6):
            taken.append(n)
            yield n, Wanted(None, [5 + n, 9], Sampling(0, 1.0, 30 if n == 0 else 2, n))

    with Engine(small, n_ctx=128, threads=1, sequences=2) as many:
        order = []
        for tag, _ in many.generate_many(asked()):
            order.append(tag)
            if tag == 1:
                assert taken == [0, 1]  # what comes next is looked at when there is room for it
    assert sorted(order) == list(range(6))
    assert order[-1] == 0 or len(order) == 6
    assert order.index(1) < order.index(5)


def test_those_left_close_ranks_and_go_on_as_alone(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only neighbours are decoded in one go; the kept beginning moves with its generation."""
    moved: list[tuple[int, int]] = []
    move = Sequences.move

    def watched(self: Sequences, generation: Generation, sequence: int) -> bool:
        moved.append((generation.sequence, sequence))
        return move(self, generation, sequence)

    monkeypatch.setattr(Sequences, "move", watched)
    with Engine(small, n_ctx=512, threads=1, sequences=5) as many:
        keeps = shelf()
        asked = [
            (n, wanted._replace(prefix=Prefix(30, str(n), keeps), sampling=Sampling(1.1, 0.98, length, n)))
            for (n, wanted), length in zip(jobs(many, 5), (30, 4, 30, 9, 30), strict=True)
        ]
        found = together(many, asked)
        assert moved == [(4, 1)]  # into the first gap; when the one at 3 ends, the others stand side by side
        assert many.sequences._held[1] == "4"
        again = together(many, asked)
        assert many.sequences.reached["computed"] == 5
    assert again == found
    with Engine(small, n_ctx=512, threads=1) as one:
        keeps = shelf()
        assert found == {n: run(one, wanted._replace(prefix=Prefix(30, str(n), keeps))) for n, wanted in asked}


def test_what_is_refused_does_not_stop_the_others(small: Path) -> None:
    broken = np.full((2, check_gguf(small).width), np.nan, np.float32)
    asked = [
        (0, Wanted(None, [5, 6], Sampling(0, 1.0, 4))),
        (1, Wanted(None, [5] * 200, WARM)),
        (2, Wanted(broken, [5], WARM)),
        (3, Wanted(None, [5, 6], Sampling(0, 1.0, 4))),
    ]
    with Engine(small, n_ctx=128, threads=1, sequences=2) as many:
        found = together(many, asked)
        assert found[0] == found[3]
        assert "do not fit" in str(found[1])
        assert "not finite" in str(found[2])
        assert together(many, []) == {}


def test_another_call_ends_generations_together(engine: Engine) -> None:
    several = engine.generate_many(jobs(engine, 3))
    next(several)
    engine.logits(None, [5])
    with pytest.raises(ModelError, match="used for something else"):
        list(several)
    engine.close()
    with pytest.raises(ModelError, match="closed"):
        list(engine.generate_many([]))
