"""Tokens of a `tokenizer.json` as the engine gives them on the device, and the turns of the model in a folder."""

from __future__ import annotations

from functools import cached_property, lru_cache
from pathlib import Path

from copersona.export.convert.gguf_tokenizer import read_json, read_vocabulary
from copersona.runtime.common.errors import ExportError, ModelError
from copersona.runtime.engine.chat_template import model_turns
from copersona.runtime.engine.marked_chats import ChatTemplate
from copersona.runtime.engine.markup import Markup, tokens_of_pieces
from copersona.runtime.engine.turns import TurnTokens


class FileTokens:
    """Tokens of a `tokenizer.json`: control tokens in a text stay text, and so does markup of the model's own.

    Raises:
        ExportError: a base's JSON files beside it cannot be read, once its chat template is asked for.
    """

    def __init__(self, path: Path) -> None:
        from tokenizers import Tokenizer

        self._folder = Path(path).parent
        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.encode_special_tokens = True
        added = self._tokenizer.get_added_tokens_decoder().values()
        self._markup = Markup(token.content for token in added if not token.special)
        self._tokenize = lru_cache(maxsize=200_000)(self._encode)

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(tokens_of_pieces(self._markup.pieces(text), self._ids))

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def tokenize(self, text: str) -> list[int]:
        return list(self._tokenize(text))

    @property
    def size(self) -> int:
        """How many tokens there are, control tokens included."""
        return int(self._tokenizer.get_vocab_size())

    def control(self, token: str) -> int:
        found = self._tokenizer.token_to_id(token)
        if found is None:
            raise ExportError(f"the base model's tokenizer has no control token {token}; use a base that has it")
        return int(found)

    @cached_property
    def template(self) -> ChatTemplate | None:
        """The chat template that a GGUF of the folder will hold, with what it prints; None where there is none."""
        vocabulary = read_vocabulary(self._folder, read_json(self._folder / "config.json"))
        if not vocabulary.template:
            return None
        ids = {f"{name}_token": vocabulary.special.get(name) for name in ("bos", "eos")}
        special = {name: vocabulary.tokens[token] for name, token in ids.items() if token is not None}
        return ChatTemplate(vocabulary.template, special, vocabulary.controls)


def base_turns(folder: Path) -> TurnTokens:
    """The turns of the model in `folder`, by its chat template; ChatML where it has none, but the tokens for it.

    Raises:
        ExportError: the template cannot be separated into turns, or there is neither.
    """
    try:
        return model_turns(FileTokens(folder / "tokenizer.json"))
    except ModelError as error:
        raise ExportError(f"{folder}: {error}") from None
