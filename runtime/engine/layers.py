"""What a model's layers put out, read and changed while llama.cpp computes.

Layer k is what llama.cpp calls `l_out-k`: the residual stream behind block k, counted from 0, before the next block and
before the final norm. In Transformers that is `hidden_states[k + 1]`, but for the last layer, of which Transformers
gives what comes out of the final norm. Of the last layer llama.cpp computes only the rows whose logits are wanted.

Only a context that was made for it calls back; it does so for every tensor, a thousand times a token. So a tensor is
known by its address, once its name was seen in a batch of the same form, and asked for its name again when it is met.
"""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from copersona.runtime.common.arrays import F32
from copersona.runtime.common.errors import ModelError

if TYPE_CHECKING:
    from copersona.runtime.engine.engine import Engine
    from copersona.runtime.engine.vocabulary import TokenIds

CONVENTION = "l_out"
"""How layers are counted here, and what llama.cpp calls what they put out."""

Meet = Callable[[int, int, F32], F32 | None]
"""Called with a layer, the place of its first row among those of the batch, and rows (n, H) float32 in the batch's
order; gives the rows that it is to go on with, None to leave them."""


class Layers:
    """The layers of one context of width H. Nothing is met but within `meeting`, and of a batch without wanted logits
    nothing at all.

    Raises:
        ModelError: this build of llama.cpp lets nobody at its tensors.
    """

    def __init__(self, llama: Any, width: int) -> None:
        core: Any = getattr(llama.llama_cpp, "_lib", None)  # the symbols of ggml are found through it
        try:
            self._name, self._bytes = core.ggml_get_name, core.ggml_nbytes
            self._get, self._set = core.ggml_backend_tensor_get, core.ggml_backend_tensor_set
        except AttributeError:
            raise ModelError("the layers of a model cannot be read with this build of llama.cpp") from None
        self._name.restype, self._bytes.restype = ctypes.c_char_p, ctypes.c_size_t
        self._name.argtypes = self._bytes.argtypes = [ctypes.c_void_p]
        self._get.restype = self._set.restype = None
        self._get.argtypes = self._set.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t]
        self.callback = llama.ggml_backend_sched_eval_callback(self._called)
        self._width = width
        self._names: dict[bytes, int] = {}
        self._meet: Meet | None = None
        self._find: Callable[[int], int | None] | None = None  # within a batch that is met
        self._form: Hashable = None
        self._known: dict[Hashable, dict[int, int]] = {}  # of a form of batch, by address
        self._learned: dict[int, int] = {}
        self._rows = Counter[int]()
        self._error: BaseException | None = None

    @contextmanager
    def meeting(self, layers: Collection[int], meet: Meet) -> Iterator[None]:
        """Have these layers met in the batches decoded within. What `meet` raises is raised by the decoding."""
        self._names, self._meet = {f"{CONVENTION}-{layer}".encode(): layer for layer in layers}, meet
        try:
            yield
        finally:
            self._names, self._meet = {}, None

    def begin(self, form: Hashable) -> None:
        """A batch is decoded; batches of one form have their tensors at the same places."""
        if not self._names:
            return
        self._form = (form, *self._names)
        self._learned, self._error = {}, None
        self._rows.clear()
        known = self._known.get(self._form)
        self._find = self._by_name if known is None else known.get

    def end(self, count: int, wanted: int, *, decoded: bool) -> None:
        """A batch of so many positions, with so many wanted logits, was decoded, or llama.cpp could not.

        Raises:
            ModelError: a layer was not met in all its rows. What `meet` raised is raised as it was.
        """
        find, self._find = self._find, None
        error, self._error = self._error, None
        if error is not None:
            raise error
        if find is None or not decoded:
            return
        for layer in self._names.values():
            if (rows := self._rows[layer]) not in (count, wanted):
                self._known.pop(self._form, None)
                raise ModelError(f"layer {layer} cannot be read: llama.cpp shows {rows} rows of {count}")
        if self._learned:
            self._known[self._form] = self._learned

    def _called(self, tensor: int, ask: bool, _: object) -> bool:
        """llama.cpp's question whether a tensor is wanted, and then its being there. An exception would go unseen."""
        if self._find is None:
            return False
        layer = self._find(tensor)
        if ask or layer is None:
            return layer is not None
        try:
            if self._error is None and self._names.get(self._name(tensor)) == layer:
                self._met(layer, tensor)
        except BaseException as error:
            self._error = error
        return True

    def _by_name(self, tensor: int) -> int | None:
        layer = self._names.get(self._name(tensor))
        if layer is not None:
            self._learned[tensor] = layer
        return layer

    def _met(self, layer: int, tensor: int) -> None:
        size, first = self._bytes(tensor), self._rows[layer]
        rows = np.empty((size // (4 * self._width), self._width), np.float32)
        if rows.nbytes != size:
            raise ModelError(f"layer {layer} cannot be read: it has {size} bytes, no rows of {self._width} numbers")
        self._get(tensor, rows.ctypes.data, 0, size)
        self._rows[layer] += len(rows)
        changed = None if self._meet is None else self._meet(layer, first, rows)
        if changed is not None:
            changed = np.ascontiguousarray(changed, np.float32)
            self._set(tensor, changed.ctypes.data, 0, size)


def layer_states(engine: Engine, soft: F32 | None, tokens: TokenIds, *, last: int = 1) -> F32:
    """What every layer puts out at the `last` of the tokens, (layers, last, H) float32, after a soft prompt, (L, H)
    float32; layer k as above. The engine must be opened with `reads`.

    Raises:
        ModelError: the engine reads no layers, this model's cannot be read, or as `Engine.logits`.
        ValueError: as `Engine.logits`; `last` is not from 1 to the number of tokens.
    """
    if not 1 <= last <= len(tokens):
        raise ValueError(f"last is {last}, expected 1 to {len(tokens)}")
    if engine.layers is None:
        raise ModelError("this engine reads no layers; open it with reads=True")
    found: list[list[F32]] = [[] for _ in range(engine.facts.layers)]
    with engine.layers.meeting(range(len(found)), lambda layer, first, rows: found[layer].append(rows)):
        engine.logits(soft, tokens, last=last)
    return np.stack([np.concatenate(parts) for parts in found])
