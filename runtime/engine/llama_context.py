"""One model in memory, and one context of llama.cpp that holds several sequences of positions.

The border to C: what is wrong there ends the process, so callers check ids, widths and positions before. Every answer
of a call that can fail is looked at. Knows nothing of text and of what a position means.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from copersona.runtime.common.arrays import F32, I32
from copersona.runtime.common.errors import ModelError
from copersona.runtime.engine.layers import Layers
from copersona.runtime.engine.llama import complaint, exact_build, library, no_complaint

BATCH = 512  # positions of one call into llama.cpp
OUTPUTS = 64  # positions of one call whose logits are wanted: (64, V) float32 is what llama.cpp then has to hold

State = NDArray[np.uint8]
"""What a sequence holds at one moment, in llama.cpp's own form; only a context of the same make can read it."""


class _Batch:
    """A llama_batch of up to `size` positions in numpy's memory: of tokens (width 0) or of rows, never of both."""

    def __init__(self, llama: Any, size: int, width: int) -> None:
        self.inputs: Any = np.zeros((size, width), np.float32) if width else np.zeros(size, np.int32)
        self.positions, self.sequences = np.zeros(size, np.int32), np.zeros(size, np.int32)
        self.wanted, self._ones = np.zeros(size, np.int8), np.ones(size, np.int32)
        start, step = self.sequences.ctypes.data, self.sequences.itemsize
        self._pointers = np.arange(start, start + size * step, step, dtype=np.uintp)  # one id a position
        self.raw = llama.llama_batch()
        fields = {name: kind for name, kind in self.raw._fields_}
        self._point(fields, "embd" if width else "token", self.inputs)  # the other one stays NULL
        self._point(fields, "pos", self.positions)
        self._point(fields, "n_seq_id", self._ones)
        self._point(fields, "seq_id", self._pointers)
        self._point(fields, "logits", self.wanted)

    def _point(self, fields: dict[str, Any], name: str, array: Any) -> None:
        setattr(self.raw, name, ctypes.cast(array.ctypes.data, fields[name]))

    def fill(self, inputs: F32 | I32, positions: Any, sequences: Any) -> None:
        count = self.raw.n_tokens = len(inputs)
        self.inputs[:count] = inputs
        self.positions[:count], self.sequences[:count] = positions, sequences


class LlamaContext:
    """A model of width H and vocabulary V with room for `sequences` sequences of up to `positions` each.

    `exact` keeps the attention cache in float32. A state can be read by a context of the same `make`. With `reads`
    there are `layers` to be met; without, llama.cpp calls nothing back.

    Raises:
        ModelError: llama.cpp cannot load the file, has no memory for the context, or its layers cannot be read.
    """

    def __init__(
        self, path: str | Path, *, width: int, positions: int, sequences: int, threads: int, exact: bool,
        reads: bool = False,
    ) -> None:  # fmt: skip
        self._llama = llama = library()
        self.positions, self.sequences = positions, sequences
        self.batch = max(min(BATCH, positions), sequences)
        self.outputs = max(min(OUTPUTS, self.batch), sequences)
        self.layers = Layers(llama, width) if reads else None
        params = llama.llama_model_default_params()
        params.n_gpu_layers, params.use_mmap = 0, True
        no_complaint()
        model = llama.llama_model_load_from_file(os.fsencode(path), params)
        if not model:
            raise ModelError(f"{path}: llama.cpp cannot load it{complaint()}")
        if llama.llama_model_has_encoder(model) or not llama.llama_model_has_decoder(model):
            llama.llama_model_free(model)
            raise ModelError(f"{path}: a model that encodes text; expected one that continues it")
        self.raw = llama.llama_init_from_model(model, self._params(threads, exact))
        if not self.raw:
            llama.llama_model_free(model)
            raise ModelError(f"{path}: no memory for {sequences} contexts of {positions}{complaint()}")
        self.vocab = llama.llama_model_get_vocab(model)
        self.vocabulary_size: int = llama.llama_vocab_n_tokens(self.vocab)
        self._memory = llama.llama_get_memory(self.raw)
        self._recurs = llama.llama_model_is_recurrent(model) or llama.llama_model_is_hybrid(model)
        self._tokens, self._rows = _Batch(llama, self.batch, 0), _Batch(llama, self.batch, width)
        self.make = f"{exact_build()}; {'f32' if exact else 'f16'} cache, no flash attention, {sequences} streams"
        self._finalizer = weakref.finalize(self, _release, llama, model, self.raw)

    def close(self) -> None:
        """Give the model's memory back, once; done too when this is no longer used."""
        self._finalizer()

    @property
    def closed(self) -> bool:
        """Whether the memory was given back."""
        return not self._finalizer.alive

    def _params(self, threads: int, exact: bool) -> Any:
        params = self._llama.llama_context_default_params()
        params.n_ctx, params.n_seq_max = self.positions * self.sequences, self.sequences
        # Cells of its own for each sequence, and no flash attention: what a sequence gets does then not depend on where
        # others stand, nor on the number of threads. (With flash attention, keys are split among threads, and sums are
        # made in float16; on processors it is slower for single tokens, too.)
        params.kv_unified = False
        params.swa_full = True  # so that a sliding window can drop its tail as others do
        params.flash_attn_type = self._llama.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.n_batch = params.n_ubatch = self.batch
        params.n_outputs_max, params.no_perf = self.outputs, True
        params.n_threads = params.n_threads_batch = threads
        if self.layers is not None:
            params.cb_eval = self.layers.callback
        if exact:
            params.type_k = params.type_v = 0  # GGML_TYPE_F32
        return params

    # What sequences hold

    def clear(self) -> None:
        """Empty all sequences."""
        self._llama.llama_memory_clear(self._memory, True)

    def trim(self, sequence: int, length: int) -> bool:
        """Leave a sequence its first positions; False where that cannot be done."""
        return bool(self._llama.llama_memory_seq_rm(self._memory, sequence, length, -1)) and self.holds(
            sequence, length
        )

    def holds(self, sequence: int, length: int) -> bool:
        """Whether a sequence holds exactly the positions from 0 to `length` - 1. Of a memory that keeps a state instead
        of positions, whether it stands behind the last of them."""
        first = self._llama.llama_memory_seq_pos_min(self._memory, sequence)
        last = self._llama.llama_memory_seq_pos_max(self._memory, sequence)
        return last == length - 1 and (not length or first == 0 or self._recurs)

    def state(self, sequence: int) -> State | None:
        """What a sequence holds; None where llama.cpp cannot say."""
        size = self._llama.llama_state_seq_get_size(self.raw, sequence)
        if size <= 0:
            return None
        found = np.empty(size, np.uint8)
        written = self._llama.llama_state_seq_get_data(self.raw, _bytes(found), size, sequence)
        return found[:written] if written else None

    def restore(self, sequence: int, state: State, length: int) -> bool:
        """Have a sequence hold what it held; False, and nothing held, where the state is none of `length` positions.

        The state must come from a context of the same make: llama.cpp looks at its form, not at its numbers.
        """
        read = self._llama.llama_state_seq_set_data(self.raw, _bytes(state), len(state), sequence)
        if read == len(state) and self.holds(sequence, length):
            return True
        no_complaint()
        self.trim(sequence, 0)
        return False

    def save(self, sequence: int, ids: I32, path: Path) -> bool:
        """Write what a sequence holds to llama.cpp's own kind of file, with a token for each position; whether it
        could."""
        tokens = (ctypes.c_int32 * len(ids))(*ids.tolist())
        return bool(self._llama.llama_state_seq_save_file(self.raw, os.fsencode(path), sequence, tokens, len(ids)))

    # Decoding

    def rows(self, sequence: int, rows: F32, position: int, *, last: bool = False) -> None:
        """Decode embeddings, (n, H) float32, from a position on; logits of the last if wanted. Any number of them."""
        for at in range(0, len(rows), self.batch):
            part = rows[at : at + self.batch]
            self._rows.fill(part, np.arange(position + at, position + at + len(part)), sequence)
            self._rows.wanted[: len(part)] = False
            if last and at + self.batch >= len(rows):
                self._rows.wanted[len(part) - 1] = True
            self._decode(self._rows, position + at)

    def tokens(self, sequence: int, ids: I32, position: int, wanted: Literal["none", "last", "all"]) -> None:
        """Decode tokens from a position on. Any number of them; where all logits are wanted, up to `outputs`."""
        for at in range(0, len(ids), self.batch):
            part = ids[at : at + self.batch]
            self._tokens.fill(part, np.arange(position + at, position + at + len(part)), sequence)
            self._tokens.wanted[: len(part)] = wanted == "all"
            if wanted == "last" and at + self.batch >= len(ids):
                self._tokens.wanted[len(part) - 1] = True
            self._decode(self._tokens, position + at)

    def step(self, ids: I32, positions: I32, sequences: I32) -> None:
        """Decode one token of each of several sequences, in rising order; the logits of all of them are wanted."""
        self._tokens.fill(ids, positions, sequences)
        self._tokens.wanted[: len(ids)] = True
        self._decode(self._tokens, int(positions[0]))

    def _decode(self, batch: _Batch, position: int) -> None:
        no_complaint()
        count = batch.raw.n_tokens
        wanted = 0 if self.layers is None else int(batch.wanted[:count].sum())
        if self.layers is not None and wanted:
            sequences = batch.sequences[:count].tobytes() if wanted == count else b""
            self.layers.begin((batch is self._rows, count, wanted, sequences))
        code = self._llama.llama_decode(self.raw, batch.raw)
        if self.layers is not None:
            self.layers.end(count, wanted, decoded=not code)
        if code:
            raise ModelError(f"llama.cpp cannot decode {count} positions from {position}, code {code}{complaint()}")

    def logits(self, row: int) -> F32:
        """Logits at a place of the last batch where they were wanted, -1 the last: (V,) float32.

        llama.cpp's own memory, which holds until the next decoding.
        """
        found = self._llama.llama_get_logits_ith(self.raw, row)
        if not found:
            raise ModelError(f"llama.cpp has no logits at place {row} of its last batch{complaint()}")
        return np.ctypeslib.as_array(found, (self.vocabulary_size,))

    def all_logits(self, count: int) -> F32:
        """All wanted logits of the last batch, (count, V) float32; as `logits`."""
        return np.ctypeslib.as_array(self._llama.llama_get_logits(self.raw), (count, self.vocabulary_size))


def _bytes(array: State) -> Any:
    return ctypes.cast(array.ctypes.data, ctypes.POINTER(ctypes.c_uint8))


def _release(llama: Any, model: Any, ctx: Any) -> None:
    llama.llama_free(ctx)
    llama.llama_model_free(model)
