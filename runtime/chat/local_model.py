"""A language model in a GGUF file of the owner's choice, asked on this machine: the answer is held to its JSON schema.

The file goes through the same checks as a bundle's model, for C code reads it. Chats are laid out in the turns of its
chat template; text in messages is tokenised with control tokens off. Nothing leaves the machine.
"""

from __future__ import annotations

import threading
from pathlib import Path

from copersona.runtime.chat.ask import Ask, Reply
from copersona.runtime.chat.grammar import grammar_of
from copersona.runtime.common.errors import BundleError, ModelError, ModelRefused
from copersona.runtime.common.hashes import file_sha256
from copersona.runtime.engine.chat_template import model_turns
from copersona.runtime.engine.engine import Engine
from copersona.runtime.engine.sampling import Sampling

CONTEXT = 16_384  # positions; less where the model was trained on less


def local_name(path: Path) -> str:
    """A GGUF's name and the start of its hash. Raises ModelError where it cannot be read."""
    try:
        return f"{path.name}@{file_sha256(path.resolve()).sha256[:12]}"
    except BundleError as error:
        raise ModelError(str(error)) from None


class LocalModel:
    """The model of a GGUF file; calls from several threads wait for each other.

    Raises:
        ModelError: the file is refused, cannot be loaded, or its chat template cannot be separated into turns.
    """

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        self._name = local_name(path)
        self._engine = Engine(path, n_ctx=CONTEXT, threads=threads, any_model=True)
        self._lock = threading.Lock()
        try:
            self._turns = model_turns(self._engine)
        except ModelError as error:
            self._engine.close()
            raise ModelError(f"{path}: {error}") from None
        self._engine.end_at(self._turns.end)

    @property
    def name(self) -> str:
        return self._name

    def complete(self, ask: Ask) -> Reply:
        """Sample an answer that the schema's grammar allows; one that reaches `max_tokens` is cut."""
        sampling = Sampling(ask.temperature, max_tokens=ask.max_tokens, seed=ask.seed)
        with self._lock:
            prompt = self._layout(ask)
            if len(prompt) + ask.max_tokens > self._engine.context:
                raise ModelRefused(
                    f"{self._name}: {len(prompt)} tokens and an answer of up to {ask.max_tokens} do not fit "
                    f"its context of {self._engine.context}"
                )
            pieces = list(self._engine.generate(None, prompt, sampling, grammar=grammar_of(ask.schema)))
        return Reply("".join(piece.text for piece in pieces), len(prompt), len(pieces))

    def close(self) -> None:
        """Give the memory back."""
        self._engine.close()

    def _layout(self, ask: Ask) -> list[int]:
        texts = [(message.role, self._engine.tokenize(message.content)) for message in ask.messages]
        return self._turns.conversation(texts, self._engine.tokenize("\n\n"))
