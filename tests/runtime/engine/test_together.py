"""Generations that begin, run and are stopped beside each other give what each alone gives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from copersona.runtime.common.errors import ModelRefused
from copersona.runtime.engine.engine import Engine, Prefix, Sampling, Wanted, quantize
from copersona.runtime.engine.together import Together
from copersona.runtime.session.prefix_cache import PersonShelf, PrefixMemory


@pytest.fixture(scope="module")
def engine(tiny_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    path = tmp_path_factory.mktemp("q8") / "model.gguf"
    quantize(tiny_gguf, path, "q8_0")
    with Engine(path, n_ctx=256, threads=1, sequences=3) as opened:
        yield opened


def wanted(engine: Engine, seed: int, tokens: int = 20) -> Wanted:
    ids = np.random.default_rng(seed).integers(3, engine.vocabulary_size, 30).tolist()
    return Wanted(None, ids, Sampling(1.1, 0.98, tokens, seed))


def alone(engine: Engine, asked: Wanted) -> list[int]:
    pieces = engine.generate(asked.soft, asked.tokens, asked.sampling, grammar=asked.grammar)
    return [piece.token for piece in pieces]


class Run:
    """A batch, and the tokens and the end of each of its generations."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.together: Together[str] = engine.together()
        self.tokens: dict[str, list[int]] = {}
        self.ends: dict[str, object] = {}

    def begin(self, tag: str, asked: Wanted) -> None:
        self._keep(*self.together.begin(self.engine.task(tag, asked)))

    def step(self) -> None:
        for advance in self.together.step():
            self._keep(*advance)

    def _keep(self, tag: str, piece: object, end: object) -> None:
        if piece is not None:
            self.tokens.setdefault(tag, []).append(piece.token)  # type: ignore[attr-defined]
        if end is not None:
            self.ends[tag] = end


def test_one_that_comes_later_and_one_that_is_stopped_change_nothing_for_the_others(engine: Engine) -> None:
    asked = {tag: wanted(engine, seed) for seed, tag in enumerate("abcd")}
    expected = {tag: alone(engine, one) for tag, one in asked.items()}
    run = Run(engine)
    run.begin("a", asked["a"])
    run.step()
    run.begin("b", asked["b"])
    run.begin("c", asked["c"])
    assert run.together.full
    run.step()
    run.together.stop("a")
    assert not run.together.full
    assert sorted(run.together.tags) == ["b", "c"]
    run.begin("d", asked["d"])  # in the place that is free within one step
    while len(run.together):
        run.step()
    assert {tag: run.tokens[tag] for tag in "bcd"} == {tag: expected[tag] for tag in "bcd"}
    assert run.tokens["a"] == expected["a"][: len(run.tokens["a"])]
    assert set(run.ends) == {"b", "c", "d"}


def test_the_end_says_whether_the_model_ended_or_nothing_may_follow(engine: Engine) -> None:
    run = Run(engine)
    run.begin("one", wanted(engine, 1, tokens=1))
    assert run.ends == {"one": "length"}
    assert len(run.together) == 0
    word = Wanted(None, [5, 6], Sampling(max_tokens=50), None, 'root ::= "no"')
    run.begin("word", word)
    while len(run.together):
        run.step()
    assert run.ends["word"] == "stop"
    assert engine.detokenize(run.tokens["word"]) == "no"


def test_a_grammar_holds_one_of_those_that_run_and_no_other(engine: Engine) -> None:
    free, digits = wanted(engine, 3), wanted(engine, 4)._replace(grammar="root ::= [0-9] [0-9] [0-9]")
    expected = alone(engine, free)
    run = Run(engine)
    run.begin("free", free)
    run.begin("digits", digits)
    while len(run.together):
        run.step()
    assert run.tokens["free"] == expected
    assert len(engine.detokenize(run.tokens["digits"])) == 3
    assert engine.detokenize(run.tokens["digits"]).isdigit()


def test_a_grammar_that_cannot_be_read_is_refused_and_leaves_the_others(engine: Engine) -> None:
    run = Run(engine)
    run.begin("a", wanted(engine, 1))
    with pytest.raises(ModelRefused, match="cannot read the grammar"):
        run.begin("bad", wanted(engine, 2)._replace(grammar="root = what"))
    run.step()
    assert run.together.tags == ["a"]
    run.together.close()
    assert run.together.step() == []
    run.together.stop("a")  # has ended: no error


def test_two_people_who_take_turns_keep_their_prefixes_in_the_context(engine: Engine) -> None:
    shelf = PersonShelf(PrefixMemory(0))  # keeps nothing: what is not in the context is computed
    before = engine.sequences.reached.copy()
    run = Run(engine)
    for turn in range(6):
        asked = wanted(engine, turn % 2, tokens=2)
        run.begin(str(turn), asked._replace(prefix=Prefix(20, f"turns {turn % 2}", shelf)))
        while len(run.together):
            run.step()
    found = engine.sequences.reached - before
    assert (found["computed"], found["held"]) == (2, 4)
