"""Tokens that a model was given for markup, such as <tool_call>: what people write must not become them.

A tokenizer takes added tokens out of any text before it looks at words, also those that are no control tokens. Those
that read like markup say what a text is, as control tokens do; a run of blanks, or a word, is text. Where such a token
stands in a text, the text is cut behind its first character, and the pieces are tokenised one by one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence

OPENING, CLOSING = ("Ps", "Pi", "Sm"), ("Pe", "Pf", "Sm")  # categories of brackets, and of < | >
OPENED, CLOSED = "<[{(|", ">]})|"


def is_markup(token: str) -> bool:
    """Whether a token reads like markup: something between brackets of any kind."""
    if len(token) < 3 or not any(character.isalnum() for character in token):
        return False
    first, last = token[0], token[-1]
    opens = first in OPENED or (not first.isascii() and _kind(first) in OPENING)
    return opens and (last in CLOSED or (not last.isascii() and _kind(last) in CLOSING))


def _kind(character: str) -> str:
    return unicodedata.category(character)


class Markup:
    """The added tokens of a vocabulary that read like markup."""

    def __init__(self, added: Iterable[str]) -> None:
        self.tokens = frozenset(filter(is_markup, added))
        sizes: dict[str, set[int]] = {}
        for token in self.tokens:
            sizes.setdefault(token[0], set()).add(len(token))
        self._sizes = {first: sorted(found) for first, found in sizes.items()}
        self._first = re.compile("|".join(map(re.escape, sizes))) if sizes else None

    def pieces(self, text: str) -> list[str]:
        """The text in pieces of which none holds such a token; one piece where the text holds none."""
        if self._first is None:
            return [text]
        cuts = [at + 1 for found in self._first.finditer(text) if self._starts(text, at := found.start())]
        return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]

    def _starts(self, text: str, at: int) -> bool:
        return any(text[at : at + size] in self.tokens for size in self._sizes[text[at]])


def tokens_of_pieces(pieces: Sequence[str], tokenize: Callable[[str], list[int]]) -> list[int]:
    """The tokens of a text in pieces, without the space that some tokenizers put in front of every text but the
    first."""
    ids = tokenize(pieces[0])
    lead: list[int] | None = None
    seen: dict[str, list[int]] = {}
    for piece in pieces[1:]:
        if lead is None:
            lead = tokenize("\n") if adds_space(tokenize) else []
        if piece not in seen:
            found = tokenize(f"\n{piece}" if lead else piece)
            seen[piece] = found[len(lead) :] if found[: len(lead)] == lead else tokenize(piece)
        ids += seen[piece]
    return ids


def adds_space(tokenize: Callable[[str], list[int]]) -> bool:
    """Whether the tokenizer puts a space in front of every text: then two texts are read as parted by one."""
    return any(tokenize(f"{a} {b}") == [*tokenize(a), *tokenize(b)] for a, b in ("ab", "ov", "13"))
