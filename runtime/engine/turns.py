"""Turns of a conversation as tokens, in ChatML: the one place that writes them."""

from __future__ import annotations

from typing import Protocol

START, END = "<|im_start|>", "<|im_end|>"
ROLES = ("system", "user", "assistant")


class Tokens(Protocol):
    """What turns and prompts need of a tokenizer."""

    def tokenize(self, text: str) -> list[int]:
        """Tokens of plain text; control tokens inside it stay text."""
        ...

    def control(self, token: str) -> int:
        """The id of a control token, such as <|im_start|>."""
        ...


class Turns:
    """How a turn of each role opens and how every turn closes, for one tokenizer.

    Raises:
        ModelError: the vocabulary has no ChatML tokens.
    """

    def __init__(self, tokens: Tokens) -> None:
        start, self.end = tokens.control(START), tokens.control(END)
        self.newline = tuple(tokens.tokenize("\n"))
        self.open = {role: (start, *tokens.tokenize(role), *self.newline) for role in ROLES}
        self.close = (self.end, *self.newline)
