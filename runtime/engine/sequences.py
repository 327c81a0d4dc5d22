"""Generations in the sequences of one context: how one begins from a kept prefix, and how several go on together.

What precedes the answer is a soft prompt and tokens; the first of them may be a prefix, of which the state is kept.
The prefix is decoded by itself whether or not its state was kept, so that both give the same numbers, to the bit.
"""

from __future__ import annotations

import codecs
import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from copersona.runtime.common.arrays import F32, I32
from copersona.runtime.common.errors import ModelError, ModelRefused
from copersona.runtime.engine.llama import complaint
from copersona.runtime.engine.llama_context import LlamaContext, State
from copersona.runtime.engine.sampling import Piece, Sampler, Sampling
from copersona.runtime.engine.vocabulary import Vocabulary
from copersona.runtime.engine.watching import Steer, settle, steered

if TYPE_CHECKING:
    from copersona.runtime.engine.wanted import Watch

NOT_FINITE = "the logits are not finite: the soft prompt or the model is damaged"


class Shelf(Protocol):
    """Where states of prefixes are kept. What it gives is whole and was put there under this key."""

    def get(self, key: str) -> State | None:
        """The state, or None; never an error."""
        ...

    def put(self, key: str, state: State) -> None:
        """Keep a state if there is room; never an error."""
        ...

    def drop(self, key: str) -> None:
        """Forget a state that proved to be of no use."""
        ...


@dataclass(frozen=True, slots=True)
class Prefix:
    """The soft prompt and the first `tokens` tokens, under a key made of everything that their state depends on."""

    tokens: int
    key: str
    shelf: Shelf


@dataclass(frozen=True, slots=True)
class Start:
    """What a generation starts from, checked: soft prompt (L, H) float32, token ids, and which of it is a prefix; what
    watches it, and what it may start from instead."""

    soft: F32
    ids: I32
    prefix: Prefix | None = None
    watch: Watch | None = None
    other: Start | None = None

    def __len__(self) -> int:
        return len(self.soft) + len(self.ids)


class Generation:
    """One sequence that is being continued: sample with `take`, have the context decode `token` at `position`."""

    def __init__(
        self,
        context: LlamaContext,
        vocabulary: Vocabulary,
        sequence: int,
        start: Start,
        sampling: Sampling,
        grammar: str | None,
    ) -> None:
        self._context, self._vocabulary, self.sequence = context, vocabulary, sequence
        self._sampler = Sampler(sampling, context.vocab, grammar)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.position, self._left, self.token = len(start), sampling.max_tokens, -1
        self.steer: Steer | None = None

    def take(self, row: int) -> Piece | None:
        """The next piece from the logits at a place of the last batch; None where the model ends.

        Raises:
            ModelRefused: the logits are not finite; llama.cpp's samplers end the process over these.
        """
        logits = self._context.logits(row)
        if not np.isfinite(logits.sum()):
            raise ModelRefused(NOT_FINITE)
        self.token = self._sampler(logits)
        if self._vocabulary.is_end(self.token):
            return None
        self._left -= 1
        return Piece(self.token, self._decoder.decode(self._vocabulary.bytes(self.token)))

    @property
    def full(self) -> bool:
        """Whether nothing may follow: enough tokens, or no position left."""
        return not self._left or self.position >= self._context.positions

    def close(self) -> None:
        self._sampler.close()


class Sequences:
    """The sequences of a context, and which prefix each of them begins with just now.

    `reached` counts how prefixes were come by: held (still in the context), restored, or computed.
    """

    def __init__(self, context: LlamaContext, vocabulary: Vocabulary) -> None:
        self._context, self._vocabulary, self.count = context, vocabulary, context.sequences
        self._held: list[str | None] = [None] * context.sequences
        self.begun = [0] * context.sequences  # when each was last begun, in generations
        self.reached: Counter[str] = Counter()

    def clear(self) -> None:
        """Empty all of them."""
        self._held = [None] * self._context.sequences
        self._context.clear()

    def begins_with(self, sequence: int, prefix: Prefix) -> bool:
        """Whether a sequence holds that prefix just now."""
        return self._held[sequence] == prefix.key

    def begin(self, sequence: int, start: Start, sampling: Sampling, grammar: str | None = None) -> Generation:
        """Decode what a generation starts from, so that its first token can be taken at place -1.

        Raises:
            ModelRefused: a grammar that cannot be read, or what decides on it refuses it.
            ModelError: llama.cpp cannot decode.
        """
        generation = Generation(self._context, self._vocabulary, sequence, start, sampling, grammar)
        self.begun[sequence] = max(self.begun) + 1
        try:
            if start.watch is None:
                self._decode(sequence, start)
            else:
                decode = functools.partial(self._decode, sequence)
                start, generation.steer = settle(self._context.layers, start.watch, start, decode)
                generation.position = len(start)
        except BaseException:
            generation.close()
            raise
        return generation

    def step(self, generations: Sequence[Generation]) -> None:
        """Decode the token that each of these took last; the next ones can be taken at the places 0, 1, and so on."""
        rows = np.array([(g.token, g.position, g.sequence) for g in generations], np.int32)
        with steered(self._context.layers, generations):
            self._context.step(rows[:, 0], rows[:, 1], rows[:, 2])
        for generation in generations:
            generation.position += 1

    def move(self, generation: Generation, sequence: int) -> bool:
        """Have a generation go on in a sequence where none is running; False, and it stays, where that fails."""
        state, self._held[sequence] = self._context.state(generation.sequence), None
        if state is None or not self._context.restore(sequence, state, generation.position):
            return False
        self._held[sequence] = self._held[generation.sequence]
        generation.sequence = sequence
        return True

    def save(self, start: Start, stand_in: int, path: Path) -> None:
        """Write the state after `start` as llama.cpp's own tools read it; `stand_in` is the token that the file names
        for each row of the soft prompt.

        Raises:
            ModelError: llama.cpp cannot decode it, or cannot write.
        """
        self._decode(0, start)
        self._held[0] = None
        if not self._context.save(0, np.concatenate([np.full(len(start.soft), stand_in, np.int32), start.ids]), path):
            raise ModelError(f"{path}: llama.cpp cannot write the state of this model{complaint()}")

    def _decode(self, sequence: int, start: Start) -> None:
        split = start.prefix.tokens if start.prefix is not None else 0
        if start.prefix is not None:
            self._reach(sequence, start, start.prefix)
        else:
            self._held[sequence] = None
            self._context.trim(sequence, 0)
            self._context.rows(sequence, start.soft, 0, last=not len(start.ids))
        self._context.tokens(sequence, start.ids[split:], len(start.soft) + split, "last")

    def _reach(self, sequence: int, start: Start, prefix: Prefix) -> None:
        """Have the sequence hold the prefix and nothing else."""
        length = len(start.soft) + prefix.tokens
        held, self._held[sequence] = self._held[sequence], None
        if held == prefix.key and self._context.trim(sequence, length):
            how = "held"
        elif self._restore(sequence, prefix, length):
            how = "restored"
        else:
            how = "computed"
            self._context.trim(sequence, 0)
            self._context.rows(sequence, start.soft, 0)
            self._context.tokens(sequence, start.ids[: prefix.tokens], len(start.soft), "none")
            if (state := self._context.state(sequence)) is not None:
                prefix.shelf.put(prefix.key, state)
        self._held[sequence] = prefix.key
        self.reached[how] += 1

    def _restore(self, sequence: int, prefix: Prefix, length: int) -> bool:
        state = prefix.shelf.get(prefix.key)
        if state is None:
            return False
        if self._context.restore(sequence, state, length):
            return True
        prefix.shelf.drop(prefix.key)
        return False
