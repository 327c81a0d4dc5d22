"""How tokens are chosen: the settings, and the sampler of one sequence."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from copersona.runtime.common.arrays import F32, I64
from copersona.runtime.common.errors import ModelError, ModelRefused
from copersona.runtime.engine.llama import complaint, library, no_complaint
from copersona.runtime.engine.nucleus import nucleus

TOKEN = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
"""llama.cpp's llama_token_data."""


class Piece(NamedTuple):
    """One generated token and the text that it completes, which is empty inside a character of several tokens; of a
    generation that is weighed, also the token's natural-log probability before any sampling."""

    token: int
    text: str
    log: float | None = None


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen; the same values give the same text. A temperature of 0 takes the likeliest token.

    Raises:
        ModelError: a value out of its range.
    """

    temperature: float = 0.8
    top_p: float = 0.95
    max_tokens: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        ranges = {
            "temperature": 0.0 <= self.temperature <= 10.0,
            "top_p": 0.0 < self.top_p <= 1.0,
            "max_tokens": 1 <= self.max_tokens <= 1 << 20,
            "seed": 0 <= self.seed < 2**32 - 1,  # the largest one means "random" to llama.cpp
        }
        expected = {"temperature": "0 to 10", "top_p": "above 0, up to 1", "max_tokens": "1 to 1048576"}
        for name, fits in ranges.items():
            if not fits:
                raise ModelError(f"{name} is {getattr(self, name)}, expected {expected.get(name, '0 to 2**32 - 2')}")


def log_probability(logits: F32, token: int) -> float:
    """Natural-log probability of a token by logits, (V,) float32."""
    shifted = logits.astype(np.float64) - logits.max()
    return float(shifted[token] - np.log(np.exp(shifted).sum()))


class Sampler:
    """Chooses tokens within a grammar or without one, with random numbers of its own; give it back with `close`.

    The nucleus is taken here: llama.cpp sorts the whole vocabulary for it. A grammar is asked about the token that was
    drawn, and about all tokens only where it forbids that one: asking about all costs as much as a small model's step.

    Raises:
        ModelRefused: a grammar that cannot be read.
    """

    def __init__(self, sampling: Sampling, vocab: Any, grammar: str | None = None) -> None:
        self._llama = llama = library()
        self._sampling = sampling
        self._grammar = None if grammar is None else _grammar(vocab, grammar)
        self._chain = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
        for part in (llama.llama_sampler_init_temp(sampling.temperature), llama.llama_sampler_init_dist(sampling.seed)):
            llama.llama_sampler_chain_add(self._chain, part)

    def __call__(self, logits: F32) -> int:
        """The next token from logits, (V,) float32, which must be finite.

        Raises:
            ModelRefused: the grammar allows none.
        """
        token = self._draw(logits)
        if self._grammar is not None:
            drawn = np.array([token])
            if not np.isfinite(self._apply(self._grammar, drawn, logits[drawn]).logits).all():
                token = self._draw(self._allowed(logits))
            self._llama.llama_sampler_accept(self._grammar, token)
        return token

    def close(self) -> None:
        """Give the memory back; closing twice is no error."""
        for sampler in (self._grammar, self._chain):
            if sampler:
                self._llama.llama_sampler_free(sampler)
        self._grammar = self._chain = None

    def _draw(self, logits: F32) -> int:
        if not self._sampling.temperature:
            return int(logits.argmax())
        ids = nucleus(logits, self._sampling.top_p)
        return self._apply(self._chain, ids, logits[ids]).token

    def _allowed(self, logits: F32) -> F32:
        """The logits, minus infinity where the grammar allows no such token."""
        found = self._apply(self._grammar, np.arange(len(logits)), logits).logits
        if not np.isfinite(found).any():
            raise ModelRefused("no token of this model goes on as the grammar wants it")
        return found

    def _apply(self, sampler: Any, ids: I64, logits: F32) -> _Applied:
        rows = np.zeros(len(ids), TOKEN)
        rows["id"], rows["logit"] = ids, logits
        llama = self._llama
        data = ctypes.cast(rows.ctypes.data, ctypes.POINTER(llama.llama_token_data))
        array = llama.llama_token_data_array(data=data, size=len(rows), selected=-1, sorted=False)
        llama.llama_sampler_apply(sampler, ctypes.byref(array))
        return _Applied(int(rows["id"][array.selected]), rows["logit"])


class _Applied(NamedTuple):
    """What a sampler made of some tokens: the one that it chose, if it chooses, and their logits."""

    token: int
    logits: F32


def _grammar(vocab: Any, grammar: str) -> Any:
    no_complaint()
    sampler = library().llama_sampler_init_grammar(vocab, grammar.encode("utf-8"), b"root")
    if not sampler:
        raise ModelRefused(f"llama.cpp cannot read the grammar{complaint()}")
    return sampler
