"""Text to the tokens of one model and back. Text is data: what reads like a control token in it stays text."""

from __future__ import annotations

import codecs
import ctypes
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from copersona.runtime.common.arrays import I32
from copersona.runtime.common.composed import composed
from copersona.runtime.common.errors import ModelError
from copersona.runtime.engine.llama import library
from copersona.runtime.engine.markup import Markup, tokens_of_pieces

TokenIds = Sequence[int] | I32


class Vocabulary:
    """The `size` tokens of a loaded model, which must outlive this. `added` are ids and texts of tokens that are no
    control tokens and are found in any text."""

    def __init__(self, vocab: Any, size: int, added: Iterable[tuple[int, str]] = ()) -> None:
        self._llama, self.raw, self.size = library(), vocab, size
        self.ends: frozenset[int] = frozenset()
        ids = {text: token for token, text in added}
        self._markup = Markup(ids)
        self._markup_ids = {text: ids[text] for text in self._markup.tokens}

    def tokenize(self, text: str, *, control: bool = False) -> list[int]:
        """Token ids of `text` in NFC; only with `control` may something in it become a control token, or another one
        that is markup to the model."""
        text = composed(text)
        if control:
            return self._ids(text, control=True)
        return tokens_of_pieces(self._markup.pieces(text), self._ids)

    def _ids(self, text: str, *, control: bool = False) -> list[int]:
        data = text.encode("utf-8", "replace")
        size = len(data) + 1
        while data:
            ids = (ctypes.c_int32 * size)()
            count = self._llama.llama_tokenize(self.raw, data, len(data), ids, size, False, control)
            if count >= 0:
                return ids[:count]
            if -count <= size:
                raise ModelError(f"a text of {len(data)} bytes cannot be tokenized, llama.cpp answers {count}")
            size = -count
        return []

    @property
    def beginning(self) -> list[int]:
        """What the model wants before any text: its BOS, or nothing."""
        bos = int(self._llama.llama_vocab_bos(self.raw))
        return [bos] if self._llama.llama_vocab_get_add_bos(self.raw) and bos >= 0 else []

    def control(self, token: str) -> int:
        """Id of the control token written as `token`. Raises ModelError where it is not exactly one."""
        ids = self.tokenize(token, control=True)
        exact = len(ids) == 1 and self._llama.llama_vocab_get_text(self.raw, ids[0]) == token.encode()
        if not (exact and self._llama.llama_vocab_is_control(self.raw, ids[0])):
            raise ModelError(f"{token!r} is not a control token of this model")
        return ids[0]

    def controls(self) -> dict[str, int]:
        """Ids of all tokens that a template writes as such, by how they are written: control tokens and markup."""
        ids = [token for token in range(self.size) if self._llama.llama_vocab_is_control(self.raw, token)]
        return {**self._markup_ids, **{self.written(token): token for token in ids}}

    def written(self, token: int) -> str:
        """How a token stands in the vocabulary; of other than control tokens this is not always its text."""
        return str(self._llama.llama_vocab_get_text(self.raw, token).decode("utf-8", "replace"))

    def text(self, ids: I32) -> str:
        """Text of `ids`; control tokens are left out, and so is a character of which the end is missing."""
        data = b"".join(self.bytes(int(token)) for token in ids)
        return codecs.getincrementaldecoder("utf-8")("replace").decode(data)

    def bytes(self, token: int, size: int = 64) -> bytes:
        """The bytes that a token stands for, none for a control token."""
        buffer = ctypes.create_string_buffer(size)
        count = self._llama.llama_token_to_piece(self.raw, token, buffer, size, 0, False)
        return buffer.raw[:count] if count >= 0 else self.bytes(token, -count)

    def is_end(self, token: int) -> bool:
        """Whether a generation ends at this token: llama.cpp knows it to, or it is in `ends`."""
        return token in self.ends or bool(self._llama.llama_vocab_is_eog(self.raw, token))

    def check(self, tokens: TokenIds) -> I32:
        """The ids as an array. Raises ModelError where one is none of this vocabulary."""
        try:
            ids = np.asarray(tokens, np.int64)
        except (OverflowError, ValueError, TypeError) as error:
            raise ModelError(f"token ids are not whole numbers: {error}") from None
        wrong = ids[(ids < 0) | (ids >= self.size)]
        if ids.ndim != 1 or len(wrong):
            raise ModelError(f"token ids {wrong[:3]} in shape {ids.shape}: the vocabulary has {self.size} tokens")
        return ids.astype(np.int32)
