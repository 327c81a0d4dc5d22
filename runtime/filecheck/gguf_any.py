"""Checks a GGUF of any architecture by its form alone, for bundles in which nothing is trained.

`check_gguf` knows what each tensor of its few architectures must be; here only names, counts, types, shapes and places
are looked at, and the vocabulary. What the graph of an architecture makes of them, llama.cpp has to find out.
"""

from __future__ import annotations

import os
import re

from copersona.runtime.filecheck.gguf_check import SIZES, Check, GgufFacts, checked
from copersona.runtime.filecheck.gguf_reader import STRING, U32, Value
from copersona.runtime.filecheck.gguf_tensors import TENSOR_TYPES

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
NO_CHAT = ("bert", "t5", "none", "no_vocab")  # vocabularies of encoders
# ggml type -> (name, elements of a block, bytes of a block), beside those of our own exports
OTHER_TYPES = {
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136),
    26: ("I32", 1, 4), 29: ("IQ1_M", 256, 56), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17),
}  # fmt: skip


def check_any_gguf(path: str | os.PathLike[str]) -> GgufFacts:
    """Read and check the header of the GGUF at `path`, whatever its architecture. Heads are 0 where they differ from
    layer to layer.

    Raises:
        ModelError: the file is missing, not a GGUF, damaged, a part of one, or a model that makes no text.
    """
    return checked(path, _AnyCheck)


class _AnyCheck(Check):
    types = TENSOR_TYPES | OTHER_TYPES

    def facts(self) -> GgufFacts:
        architecture = self.scalar("general.architecture", STRING)
        if not isinstance(architecture, str) or not NAME.fullmatch(architecture):
            self.fail(f"general.architecture is {architecture!r}, expected a plain name")
        if self.scalar(f"{architecture}.pooling_type", U32) not in (None, 0):
            self.fail("is a model for embeddings, which writes no text; give a model for chats")
        if self.keys.get("split.count", Value(2, 1))[1] not in (0, 1):
            self.fail("is one part of a model in several files, which is not supported; join them (llama-gguf-split)")

        def size(name: str) -> int:
            return self.size_of(f"{architecture}.{name}", SIZES[name])

        def heads(name: str) -> int:
            found = self.keys.get(f"{architecture}.{name}")
            return found.value if isinstance(found, Value) and isinstance(found.value, int) else 0

        vocabulary = self.array_of("tokenizer.ggml.tokens", STRING).length
        if not vocabulary:
            self.fail("has no tokens")
        sizes = (size("embedding_length"), size("block_count"), heads("attention.head_count"),
                 heads("attention.head_count_kv"))  # fmt: skip
        return self.described(architecture, sizes, vocabulary, size("context_length"))

    def table(self, architecture: str, tensors: object) -> None:
        """Nothing is known of these architectures' tensors."""

    def kind(self) -> str:
        model = self.scalar("tokenizer.ggml.model", STRING)
        if not isinstance(model, str) or model in NO_CHAT or not NAME.fullmatch(model):
            self.fail(f"tokenizer.ggml.model is {model!r}, which is no vocabulary of a model for chats")
        return model
