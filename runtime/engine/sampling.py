"""How tokens are chosen: the settings, and one chain of llama.cpp's samplers for one sequence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from copersona.runtime.common.errors import ModelError, ModelRefused
from copersona.runtime.engine.llama import complaint, library, no_complaint


class Piece(NamedTuple):
    """One generated token and the text that it completes, which is empty inside a character of several tokens."""

    token: int
    text: str


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


class Sampler:
    """A chain of samplers with its own random numbers; give it back with `close`.

    Raises:
        ModelRefused: a grammar that cannot be read.
    """

    def __init__(self, sampling: Sampling, vocab: Any, grammar: str | None = None) -> None:
        self._llama = llama = library()
        parts = [] if grammar is None else [_grammar(vocab, grammar)]
        self._chain = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
        if sampling.temperature == 0:
            parts += [llama.llama_sampler_init_greedy()]
        else:
            parts += [
                llama.llama_sampler_init_top_p(sampling.top_p, 1),
                llama.llama_sampler_init_temp(sampling.temperature),
                llama.llama_sampler_init_dist(sampling.seed),
            ]
        for part in parts:
            llama.llama_sampler_chain_add(self._chain, part)

    def __call__(self, ctx: Any, row: int) -> int:
        """The next token from the logits at this place of the last batch, which must be finite."""
        return int(self._llama.llama_sampler_sample(self._chain, ctx, row))

    def close(self) -> None:
        """Give the memory back; closing twice is no error."""
        if self._chain:
            self._llama.llama_sampler_free(self._chain)
            self._chain = None


def _grammar(vocab: Any, grammar: str) -> Any:
    no_complaint()
    sampler = library().llama_sampler_init_grammar(vocab, grammar.encode("utf-8"), b"root")
    if not sampler:
        raise ModelRefused(f"llama.cpp cannot read the grammar{complaint()}")
    return sampler
