"""A GGUF language model by llama.cpp, with a soft prompt in front of the tokens.

Everything works on a soft prompt and token ids; the engine knows nothing of people. The soft prompt, (L, H) float32,
stands at the positions 0 to L - 1, the tokens follow from L; nothing is added (no beginning-of-text token, no
template). Text is data: what reads like a control token in it stays text, and control tokens come from
`Engine.control` alone.

An engine is for one thread at a time, and a call ends the generations of the calls before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from copersona.runtime.common.arrays import F32, F64, I32, check_f32
from copersona.runtime.common.closing import Closing
from copersona.runtime.common.errors import ModelError, ModelRefused
from copersona.runtime.common.threads import MAX_THREADS
from copersona.runtime.engine.llama import build_info, default_threads, quantize
from copersona.runtime.engine.llama_context import LlamaContext
from copersona.runtime.engine.sampling import Piece, Sampling
from copersona.runtime.engine.sequences import NOT_FINITE, Prefix, Sequences, Start
from copersona.runtime.engine.together import Task, Together, run_together
from copersona.runtime.engine.vocabulary import TokenIds, Vocabulary
from copersona.runtime.engine.wanted import Wanted
from copersona.runtime.filecheck.gguf_any import check_any_gguf
from copersona.runtime.filecheck.gguf_check import check_gguf

if TYPE_CHECKING:
    from copersona.runtime.engine.marked_chats import ChatTemplate

__all__ = ["Engine", "Piece", "Prefix", "Sampling", "Wanted", "build_info", "quantize"]

T = TypeVar("T")


class Engine(Closing):
    """One loaded model with room for `sequences` generations at once, each of up to `n_ctx` positions, soft prompt
    included.

    `exact` keeps the attention cache in float32, for parity checks. `n_ctx` is cut to what the
    model was trained on; `context` has the result. `threads` is by default what `default_threads` says. With
    `any_model` the architecture may be any that llama.cpp knows, checked by its form alone. With `reads`
    the `layers` can be met; without, they are None.

    Raises:
        ModelError: the file is missing, refused by `check_gguf` or `check_any_gguf`, or llama.cpp cannot load it.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        n_ctx: int = 2_048,
        threads: int | None = None,
        exact: bool = False,
        sequences: int = 1,
        any_model: bool = False,
        reads: bool = False,
    ) -> None:
        facts = check_any_gguf(path) if any_model else check_gguf(path)
        if min(n_ctx, sequences, 1 if threads is None else threads) < 1:
            raise ModelError(f"n_ctx is {n_ctx}, threads {threads}, sequences {sequences}: expected 1 or more")
        if threads is not None and threads > MAX_THREADS:
            raise ModelError(f"threads is {threads}: expected at most {MAX_THREADS}")
        self.context = min(n_ctx, facts.context)  # longer than trained reads as noise to the model
        self.trained_context, self.width, self.facts = facts.context, facts.width, facts
        self._context = LlamaContext(
            path, width=facts.width, positions=self.context, sequences=sequences, threads=threads or default_threads(),
            exact=exact, reads=reads,
        )  # fmt: skip
        self.layers = self._context.layers
        self.vocabulary = Vocabulary(self._context.vocab, self._context.vocabulary_size, facts.added)
        self.vocabulary_size, self.make = self.vocabulary.size, self._context.make
        self.sequences = Sequences(self._context, self.vocabulary)
        self._turn = 0

    def close(self) -> None:
        """Give the memory back; the engine cannot be used afterwards. Closing twice is fine."""
        self._context.close()

    # Text and tokens

    def tokenize(self, text: str) -> list[int]:
        """Token ids of `text` in NFC; nothing in it becomes a control token, or markup of the model's own."""
        self._check_open()
        return self.vocabulary.tokenize(text)

    def control(self, token: str) -> int:
        """Id of the control token written as `token`, such as "<|im_start|>".

        Raises:
            ModelError: it is not exactly one control token of this vocabulary.
        """
        self._check_open()
        return self.vocabulary.control(token)

    def detokenize(self, ids: TokenIds) -> str:
        """Text of `ids`; control tokens are left out, and so is a character of which the end is missing."""
        self._check_open()
        return self.vocabulary.text(self.vocabulary.check(ids))

    def is_end(self, token: int) -> bool:
        """Whether a generation ends at this token."""
        self._check_open()
        return self.vocabulary.is_end(int(self.vocabulary.check([token])[0]))

    def end_at(self, token: int) -> None:
        """Have generations end at this token too, such as the end of a turn that llama.cpp does not know by name.

        Raises:
            ModelError: it is none of this vocabulary.
        """
        self._check_open()
        self.vocabulary.ends |= {int(self.vocabulary.check([token])[0])}

    @property
    def template(self) -> ChatTemplate | None:
        """The chat template in the file, None where there is none."""
        from copersona.runtime.engine.marked_chats import ChatTemplate

        self._check_open()
        if not self.facts.chat_template:
            return None
        ids = {"bos_token": self.facts.bos, "eos_token": self.facts.eos}
        special = {name: self.vocabulary.written(token) for name, token in ids.items() if token is not None}
        return ChatTemplate(self.facts.chat_template, special, self.vocabulary.controls())

    # Numbers

    def logits(self, soft: F32 | None, tokens: TokenIds, *, last: int | None = None) -> F32:
        """Logits at every token, or at the `last` ones, (n, V) float32, after the soft prompt, (L, H) float32.

        Raises:
            ModelError: an id out of the vocabulary, numbers that are not finite, or more positions than the context.
            ValueError: a soft prompt of another dtype or width.
        """
        soft, ids = self._check_input(soft, tokens)
        out = np.empty((len(ids) if last is None else last, self.vocabulary_size), np.float32)
        at = 0
        for rows in self._feed(soft, ids, len(soft) + len(ids) - len(out)):
            out[at : at + len(rows)] = rows
            at += len(rows)
        return out

    def score(self, soft: F32 | None, prompt_tokens: TokenIds, target_tokens: TokenIds) -> F64:
        """Natural-log probability of each target token after all before it, (len(target_tokens),) float64.

        Raises:
            ModelError: as `logits`; nothing stands before the target, or the logits are not finite.
            ValueError: as `logits`.
        """
        targets = self.vocabulary.check(target_tokens)
        soft, ids = self._check_input(soft, np.concatenate([self.vocabulary.check(prompt_tokens), targets[:-1]]))
        first = len(soft) + len(prompt_tokens) - 1
        if not len(targets):
            return np.empty(0, np.float64)
        if first < 0:
            raise ModelError("the first target token has nothing before it: give a soft prompt or a prompt token")
        found: list[float] = []
        for rows in self._feed(soft, ids, first):
            for row in rows:  # one by one: (V,) float64 at a time, however long the target is
                shifted = row.astype(np.float64) - row.max()
                found.append(float(shifted[targets[len(found)]] - np.log(np.exp(shifted).sum())))
        if not np.isfinite(found).all():
            raise ModelError(NOT_FINITE)
        return np.array(found, np.float64)

    # Generation

    def generate(
        self,
        soft: F32 | None,
        tokens: TokenIds,
        sampling: Sampling,
        *,
        grammar: str | None = None,
        prefix: Prefix | None = None,
    ) -> Iterator[Piece]:
        """Tokens after the prompt, until the model ends (that token is not given), `max_tokens`, or a full context.

        The texts of all pieces joined are `detokenize` of all tokens. Another call on this engine ends the generation.
        `grammar` (GBNF, its root is "root") allows only the texts that it describes; they may be cut by `max_tokens`.
        `prefix` says which start of the prompt need not be computed again.

        Raises:
            ModelError: as `logits`; nothing to continue, the logits are not finite, or a grammar that cannot be read.
            ValueError: as `logits`; a prefix that is no start of the prompt.
        """
        return self.answer(Wanted(soft, tokens, sampling, prefix, grammar))

    def answer(self, wanted: Wanted) -> Iterator[Piece]:
        """`generate` of what is wanted."""
        return self._generate(self._check_start(wanted), wanted.sampling, wanted.grammar)

    def _generate(self, start: Start, sampling: Sampling, grammar: str | None) -> Iterator[Piece]:
        turn = self._take_turn()
        generation, row = self.sequences.begin(0, start, sampling, grammar), -1
        try:
            while (piece := generation.take(row)) is not None:
                yield piece
                self._check_turn(turn)
                if generation.full:
                    return
                self.sequences.step([generation])
                row = 0
        finally:
            generation.close()

    def generate_many(
        self, asked: Iterable[tuple[T, Wanted | ModelRefused]]
    ) -> Iterator[tuple[T, list[Piece] | ModelRefused]]:
        """Generate for all that is asked, as many at once as there are sequences: each is given with its tag when it
        has ended, and the next one, taken from `asked` only then, goes on in its place. With q8_0 weights, what one
        gets is what `generate` gives; with others llama.cpp multiplies several rows in another order than one.

        Raises:
            ModelError: llama.cpp fails as a whole. What is wrong with one of them is its result.
        """
        turn = self._take_turn()
        for found in run_together(self.sequences, self._tasks(asked)):
            yield found
            self._check_turn(turn)

    def _tasks(self, asked: Iterable[tuple[T, Wanted | ModelRefused]]) -> Iterator[Task[T] | tuple[T, ModelRefused]]:
        for tag, wanted in asked:
            try:
                yield (tag, wanted) if isinstance(wanted, ModelRefused) else self.task(tag, wanted)
            except ModelRefused as error:
                yield tag, error

    def task(self, tag: T, wanted: Wanted) -> Task[T]:
        """What is wanted, checked, for `together`. Raises as `generate`; ModelRefused for what is its own fault."""
        return Task(tag, self._check_start(wanted), wanted.sampling, wanted.grammar)

    def together(self) -> Together[Any]:
        """Generations that the caller begins, steps and stops; until it is closed nothing else is to be asked."""
        self._take_turn()
        return Together(self.sequences)

    def _feed(self, soft: F32, ids: I32, wanted_from: int) -> Iterator[F32]:
        """Start from an empty context and decode everything; yields the logits of the positions from `wanted_from` on.

        What is yielded, (1 to OUTPUTS, V) float32, is llama.cpp's own memory and holds until the next step. Where
        they are wanted of a soft prompt's position, it is its last one.
        """
        self._take_turn()
        self.sequences.clear()
        context = self._context
        context.rows(0, soft, 0, last=wanted_from < len(soft))
        if wanted_from < len(soft):
            yield context.all_logits(1)
        split = max(wanted_from - len(soft), 0)
        context.tokens(0, ids[:split], len(soft), "none")
        for at in range(split, len(ids), context.outputs):
            part = ids[at : at + context.outputs]
            context.tokens(0, part, len(soft) + at, "all")
            yield context.all_logits(len(part))

    # Checks at the border: what is wrong inside C ends the process

    def _take_turn(self) -> int:
        self._check_open()
        self._turn += 1
        return self._turn

    def _check_turn(self, turn: int) -> None:
        if turn != self._turn or self._context.closed:
            raise ModelError("the engine was used for something else before this generation was at its end")

    def _check_open(self) -> None:
        if self._context.closed:
            raise ModelError("the engine is closed")

    def _check_input(self, soft: F32 | None, tokens: TokenIds) -> tuple[F32, I32]:
        self._check_open()
        soft = np.empty((0, self.width), np.float32) if soft is None else check_f32("soft", soft, None, self.width)
        ids = self.vocabulary.check(tokens)
        if not np.isfinite(soft).all():
            raise ModelRefused(f"the soft prompt has {int((~np.isfinite(soft)).sum())} numbers that are not finite")
        if len(soft) + len(ids) > self.context:
            raise ModelRefused(f"{len(soft)} soft and {len(ids)} other tokens do not fit the context of {self.context}")
        return soft, ids

    def _check_start(self, wanted: Wanted) -> Start:
        soft, ids = self._check_input(wanted.soft, wanted.tokens)
        prefix, other = wanted.prefix, wanted.other
        if not len(soft) + len(ids):
            raise ModelError("nothing to continue: give a soft prompt or a token")
        if prefix is not None and not 0 <= prefix.tokens < len(ids):
            raise ValueError(f"a prefix of {prefix.tokens} tokens is no start of a prompt of {len(ids)}")
        return Start(soft, ids, prefix, wanted.watch, None if other is None else self._check_start(other))
