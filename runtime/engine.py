"""A GGUF language model by llama.cpp, with a soft prompt in front of the tokens.

Everything works on a soft prompt and token ids; the engine knows nothing of people. The soft prompt, (L, H) float32,
stands at the positions 0 to L - 1, the tokens follow from L; nothing is added (no beginning-of-text token, no
template). Text is data: what reads like a control token in it stays text, and control tokens come from
`Engine.control` alone.

The only file that imports llama_cpp. An engine is for one thread at a time, and each call starts from an empty context.
"""

from __future__ import annotations

import codecs
import ctypes
import functools
import os
import unicodedata
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

import numpy as np

from .arrays import F32, F64, I32, check_f32
from .errors import ModelError
from .gguf_check import check_gguf

BATCH = 512  # positions of one call into llama.cpp
OUTPUTS = 64  # positions of one call whose logits are wanted: (64, V) float32 is what llama.cpp then has to hold
NOT_FINITE = "the logits are not finite: the soft prompt or the model is damaged"

TokenIds = Sequence[int] | I32


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


_complaints: deque[str] = deque(maxlen=1)  # llama.cpp's last error line


@functools.cache
def _llama() -> Any:
    """llama_cpp, imported at first use, with its log silenced but for errors, which go into our own messages."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # spinning workers starve every other busy process
    try:
        import llama_cpp
    except (ImportError, OSError, RuntimeError) as error:  # not installed, or its shared library does not load
        what = next(iter(str(error).splitlines()), type(error).__name__)
        raise ModelError(f"llama-cpp-python does not load ({what}); run: copersona doctor") from error

    def listen(level: int, text: bytes, _: object) -> None:
        if level == 4:  # GGML_LOG_LEVEL_ERROR
            _complaints.append(text.decode("utf-8", "replace").strip())

    callback = llama_cpp.llama_log_callback(listen)
    llama_cpp.llama_log_set(callback, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    _keep.append(callback)
    return llama_cpp


_keep: list[Any] = []  # C holds the address of the callback for good


def _complaint() -> str:
    return f" ({_complaints.pop()})" if _complaints else ""


def _cores() -> int:
    return max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def build_info() -> str:
    """Name and version of the library that runs the model, for receipts."""
    return f"llama-cpp-python {_llama().__version__}"


def quantize(source: str | Path, target: str | Path, kind: Literal["q8_0", "q4_k_m"]) -> None:
    """Quantise the F32 or F16 GGUF `source` to `target`, which is replaced in one step.

    Raises:
        ModelError: the source is no such GGUF, the kind is unknown, or llama.cpp fails.
    """
    llama = _llama()
    kinds = {"q8_0": llama.LLAMA_FTYPE_MOSTLY_Q8_0, "q4_k_m": llama.LLAMA_FTYPE_MOSTLY_Q4_K_M}
    if kind not in kinds:
        raise ModelError(f"quantisation {kind!r} is not one of {', '.join(kinds)}")
    check_gguf(source)
    part = Path(f"{target}.part")
    params = llama.llama_model_quantize_default_params()
    params.ftype, params.nthread = kinds[kind], _cores()
    _complaints.clear()
    try:
        if llama.llama_model_quantize(os.fsencode(source), os.fsencode(part), ctypes.byref(params)):
            raise ModelError(f"{source}: cannot be quantised to {kind}{_complaint()}")
        check_gguf(part)
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


class _Batch:
    """A llama_batch of `size` positions, allocated once: of tokens (width 0) or of embedding rows, never of both."""

    def __init__(self, llama: Any, size: int, width: int) -> None:
        self.raw = llama.llama_batch_init(size, width, 1)
        self.positions = np.ctypeslib.as_array(self.raw.pos, (size,))
        self.wanted = np.ctypeslib.as_array(self.raw.logits, (size,))
        if width:
            self.inputs = np.ctypeslib.as_array(self.raw.embd, (size * width,)).reshape(size, width)
        else:
            self.inputs = np.ctypeslib.as_array(self.raw.token, (size,))
        for i in range(size):
            self.raw.n_seq_id[i] = 1
            self.raw.seq_id[i][0] = 0

    def fill(self, inputs: F32 | I32, position: int, wanted: bool) -> Any:
        count = len(inputs)
        self.raw.n_tokens = count
        self.inputs[:count] = inputs
        self.positions[:count] = np.arange(position, position + count)
        self.wanted[:count] = wanted
        return self.raw


class Engine:
    """One loaded model with one context of up to `n_ctx` positions, soft prompt included.

    `exact` keeps the attention cache in float32 and flash attention off, for parity checks. `n_ctx` is cut to what the
    model was trained on; `context` has the result.

    Raises:
        ModelError: the file is missing, refused by `check_gguf`, or llama.cpp cannot load it.
    """

    def __init__(
        self, path: str | Path, *, n_ctx: int = 2_048, threads: int | None = None, exact: bool = False
    ) -> None:
        facts = check_gguf(path)
        if n_ctx < 1 or (threads is not None and threads < 1):
            raise ModelError(f"n_ctx is {n_ctx}, threads is {threads}: expected 1 or more")
        self._llama = llama = _llama()
        self.context = min(n_ctx, facts.context)  # longer than trained reads as noise to the model
        self.trained_context, self.width = facts.context, facts.width
        params = llama.llama_model_default_params()
        params.n_gpu_layers, params.use_mmap = 0, True
        _complaints.clear()
        self._model = llama.llama_model_load_from_file(os.fsencode(path), params)
        if not self._model:
            raise ModelError(f"{path}: llama.cpp cannot load it{_complaint()}")
        self._ctx = llama.llama_init_from_model(self._model, self._context_params(threads or _cores(), exact))
        if not self._ctx:
            llama.llama_model_free(self._model)
            raise ModelError(f"{path}: no memory for a context of {self.context}{_complaint()}")
        self._vocab = llama.llama_model_get_vocab(self._model)
        self.vocabulary: int = llama.llama_vocab_n_tokens(self._vocab)
        self._tokens = _Batch(llama, self._batch, 0)
        self._rows = _Batch(llama, self._batch, self.width)
        self._turn = 0
        self._free = weakref.finalize(self, _release, llama, self._model, self._ctx, [self._tokens.raw, self._rows.raw])

    def _context_params(self, threads: int, exact: bool) -> Any:
        params = self._llama.llama_context_default_params()
        self._batch = min(BATCH, self.context)
        params.n_ctx, params.n_seq_max, params.no_perf = self.context, 1, True
        params.n_batch = params.n_ubatch = self._batch
        params.n_outputs_max = min(OUTPUTS, self._batch)
        params.n_threads = params.n_threads_batch = threads
        if exact:
            params.type_k = params.type_v = 0  # GGML_TYPE_F32
            params.flash_attn_type = self._llama.LLAMA_FLASH_ATTN_TYPE_DISABLED
        return params

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the memory back; the engine cannot be used afterwards. Closing twice is fine."""
        self._free()

    # Text and tokens

    def tokenize(self, text: str) -> list[int]:
        """Token ids of `text` in NFC; nothing in it becomes a control token."""
        return self._tokenize(text, control=False)

    def _tokenize(self, text: str, *, control: bool) -> list[int]:
        self._check_open()
        data = unicodedata.normalize("NFC", text).encode("utf-8", "replace")
        size = len(data) + 1
        while data:
            ids = (ctypes.c_int32 * size)()
            count = self._llama.llama_tokenize(self._vocab, data, len(data), ids, size, False, control)
            if count >= 0:
                return ids[:count]
            if -count <= size:
                raise ModelError(f"a text of {len(data)} bytes cannot be tokenized, llama.cpp answers {count}")
            size = -count
        return []

    def control(self, token: str) -> int:
        """Id of the control token written as `token`, such as "<|im_start|>".

        Raises:
            ModelError: it is not exactly one control token of this vocabulary.
        """
        ids = self._tokenize(token, control=True)
        exact = len(ids) == 1 and self._llama.llama_vocab_get_text(self._vocab, ids[0]) == token.encode()
        if not (exact and self._llama.llama_vocab_is_control(self._vocab, ids[0])):
            raise ModelError(f"{token!r} is not a control token of this model")
        return ids[0]

    def detokenize(self, ids: TokenIds) -> str:
        """Text of `ids`; control tokens are left out, and so is a character of which the end is missing."""
        self._check_open()
        data = b"".join(self._bytes(int(token)) for token in self._check_tokens(ids))
        return codecs.getincrementaldecoder("utf-8")("replace").decode(data)

    def _bytes(self, token: int, size: int = 64) -> bytes:
        buffer = ctypes.create_string_buffer(size)
        count = self._llama.llama_token_to_piece(self._vocab, token, buffer, size, 0, False)
        return buffer.raw[:count] if count >= 0 else self._bytes(token, -count)

    def is_end(self, token: int) -> bool:
        """Whether a generation ends at this token."""
        self._check_open()
        return bool(self._llama.llama_vocab_is_eog(self._vocab, int(self._check_tokens([token])[0])))

    # Numbers

    def logits(self, soft: F32 | None, tokens: TokenIds, *, last: int | None = None) -> F32:
        """Logits at every token, or at the `last` ones, (n, V) float32, after the soft prompt, (L, H) float32.

        Raises:
            ModelError: an id out of the vocabulary, numbers that are not finite, or more positions than the context.
            ValueError: a soft prompt of another dtype or width.
        """
        soft, ids = self._check_input(soft, tokens)
        out = np.empty((len(ids) if last is None else last, self.vocabulary), np.float32)
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
        targets = self._check_tokens(target_tokens)
        soft, ids = self._check_input(soft, np.concatenate([self._check_tokens(prompt_tokens), targets[:-1]]))
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
        self, soft: F32 | None, tokens: TokenIds, sampling: Sampling, *, grammar: str | None = None
    ) -> Iterator[Piece]:
        """Tokens after the prompt, until the model ends (that token is not given), `max_tokens`, or a full context.

        The texts of all pieces joined are `detokenize` of all tokens. Another call on this engine ends the generation.
        `grammar` (GBNF, its root is "root") allows only the texts that it describes; they may be cut by `max_tokens`.

        Raises:
            ModelError: as `logits`; nothing to continue, the logits are not finite, or a grammar that cannot be read.
            ValueError: as `logits`.
        """
        soft, ids = self._check_input(soft, tokens)
        if not len(soft) + len(ids):
            raise ModelError("nothing to continue: give a soft prompt or a token")
        return self._generate(soft, ids, sampling, grammar)

    def _generate(self, soft: F32, ids: I32, sampling: Sampling, grammar: str | None) -> Iterator[Piece]:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        position = len(soft) + len(ids)
        rows = next(self._feed(soft, ids, position - 1))
        turn, sampler = self._turn, self._sampler(sampling, grammar)
        try:
            for count in range(1, sampling.max_tokens + 1):
                if not np.isfinite(rows.sum()):  # llama.cpp's samplers end the process over these
                    raise ModelError(NOT_FINITE)
                token = self._llama.llama_sampler_sample(sampler, self._ctx, -1)
                if self.is_end(token):
                    return
                yield Piece(token, decoder.decode(self._bytes(token)))
                if turn != self._turn or not self._free.alive:
                    raise ModelError("the engine was used for something else before this generation was at its end")
                if count == sampling.max_tokens or position == self.context:
                    return
                rows = self._decode(self._tokens, np.array([token], np.int32), position, wanted=True)
                position += 1
        finally:
            self._llama.llama_sampler_free(sampler)

    def _sampler(self, sampling: Sampling, grammar: str | None) -> Any:
        llama = self._llama
        parts = [] if grammar is None else [self._grammar(grammar)]
        chain = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
        if sampling.temperature == 0:
            parts += [llama.llama_sampler_init_greedy()]
        else:
            parts += [
                llama.llama_sampler_init_top_p(sampling.top_p, 1),
                llama.llama_sampler_init_temp(sampling.temperature),
                llama.llama_sampler_init_dist(sampling.seed),
            ]
        for part in parts:
            llama.llama_sampler_chain_add(chain, part)
        return chain

    def _grammar(self, grammar: str) -> Any:
        _complaints.clear()
        sampler = self._llama.llama_sampler_init_grammar(self._vocab, grammar.encode("utf-8"), b"root")
        if not sampler:
            raise ModelError(f"llama.cpp cannot read the grammar{_complaint()}")
        return sampler

    # Positions

    def _feed(self, soft: F32, ids: I32, wanted_from: int) -> Iterator[F32]:
        """Start from an empty context and decode everything; yields the logits of the positions from `wanted_from` on.

        What is yielded, (1 to OUTPUTS, V) float32, is llama.cpp's own memory and holds until the next step.
        """
        self._turn += 1
        self._llama.llama_memory_clear(self._llama.llama_get_memory(self._ctx), True)
        for batch, inputs, start in ((self._rows, soft, 0), (self._tokens, ids, len(soft))):
            split = min(max(wanted_from - start, 0), len(inputs))
            for at in range(0, split, self._batch):
                self._decode(batch, inputs[at : min(at + self._batch, split)], start + at, wanted=False)
            step = min(OUTPUTS, self._batch)
            for at in range(split, len(inputs), step):
                yield self._decode(batch, inputs[at : at + step], start + at, wanted=True)

    def _decode(self, batch: _Batch, inputs: F32 | I32, position: int, *, wanted: bool) -> F32:
        code = self._llama.llama_decode(self._ctx, batch.fill(inputs, position, wanted))
        if code:
            raise ModelError(
                f"llama.cpp cannot decode {len(inputs)} positions from {position}, code {code}{_complaint()}"
            )
        if not wanted:
            return np.empty((0, self.vocabulary), np.float32)
        return np.ctypeslib.as_array(self._llama.llama_get_logits(self._ctx), (len(inputs), self.vocabulary))

    # Checks at the border: what is wrong inside C ends the process

    def _check_open(self) -> None:
        if not self._free.alive:
            raise ModelError("the engine is closed")

    def _check_tokens(self, tokens: TokenIds) -> I32:
        try:
            ids = np.asarray(tokens, np.int64)
        except (OverflowError, ValueError, TypeError) as error:
            raise ModelError(f"token ids are not whole numbers: {error}") from None
        wrong = ids[(ids < 0) | (ids >= self.vocabulary)]
        if ids.ndim != 1 or len(wrong):
            raise ModelError(f"token ids {wrong[:3]} in shape {ids.shape}: the vocabulary has {self.vocabulary} tokens")
        return ids.astype(np.int32)

    def _check_input(self, soft: F32 | None, tokens: TokenIds) -> tuple[F32, I32]:
        self._check_open()
        soft = np.empty((0, self.width), np.float32) if soft is None else check_f32("soft", soft, None, self.width)
        ids = self._check_tokens(tokens)
        if not np.isfinite(soft).all():
            raise ModelError(f"the soft prompt has {int((~np.isfinite(soft)).sum())} numbers that are not finite")
        if len(soft) + len(ids) > self.context:
            raise ModelError(f"{len(soft)} soft and {len(ids)} other tokens do not fit the context of {self.context}")
        return soft, ids


def _release(llama: Any, model: Any, ctx: Any, batches: list[Any]) -> None:
    for batch in batches:
        llama.llama_batch_free(batch)
    llama.llama_free(ctx)
    llama.llama_model_free(model)
