"""Bits per byte of what a person wrote, split into words, punctuation and case, and the end of the text.

A token's bits are those of its text whatever the case, and those of the case given that: with c(t) all tokens that read
as t in lower case, -log p(t) = -log p(c(t)) - log p(t | c(t)). The first part counts as words where the token holds a
letter or digit, as punctuation where not; the second as case. So the parts add up to the whole, and a persona that only
knows how someone types shows in another place than one that knows what they say.

The reference is an adaptive unigram model over the same tokens: counts of the population, then of the person's own
texts, then of this text as far as it has been read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from copersona.runtime.common.arrays import F32, F64, I32
from copersona.runtime.common.errors import ModelError
from copersona.runtime.engine.engine import Engine
from copersona.runtime.people.known import Known
from copersona.runtime.session.session import Session

STRENGTHS = (50.0, 200.0, 1_000.0, 5_000.0)  # tokens that the population counts for against the person's own
BITS = "bits per byte"
PARTS = ("words", "punctuation and case", "end of text")


class Alphabet:
    """Tokens by what they read as: `cases[t]` are the tokens that read as t does in lower case, t among them."""

    def __init__(self, texts: Sequence[str], end: int) -> None:
        self.end = end
        self.words = np.array([any(c.isalnum() or c == "�" for c in text) for text in texts])
        groups: dict[str, list[int]] = {}
        for token, text in enumerate(texts):
            whole = text and "�" not in text  # a piece of a character reads as nothing else
            groups.setdefault(text.lower() if whole else f"\0{token}", []).append(token)
        arrays = [np.array(group, np.int32) for group in groups.values()]
        self.cases: list[I32] = [arrays[0]] * len(texts)
        for array in arrays:
            for token in array.tolist():
                self.cases[token] = array

    @classmethod
    def of(cls, engine: Engine, end: int) -> Alphabet:
        """The alphabet of a loaded model whose answers end with the token `end`."""
        return cls([engine.detokenize([token]) for token in range(engine.vocabulary_size)], end)


class Bits(NamedTuple):
    """Bits of a text by what they are spent on."""

    words: float
    style: float
    end: float

    @property
    def all(self) -> float:
        return self.words + self.style + self.end

    def per_byte(self, size: int) -> dict[str, float]:
        """The whole and its parts over the bytes of the text."""
        row = (self.all, *self)
        return {name: value / max(size, 1) for name, value in zip((BITS, *PARTS), row, strict=True)}


def split_bits(whole: F64, folded: F64, tokens: Sequence[int], alphabet: Alphabet) -> Bits:
    """Bits of tokens, (n,), and of them in whatever case, (n,), by kind."""
    ids = np.asarray(tokens, np.int32)
    end, word = ids == alphabet.end, alphabet.words[ids]
    words = float(folded[word & ~end].sum())
    return Bits(words, float(whole[~end].sum()) - words, float(whole[end].sum()))


def log_parts(logits: F32, tokens: Sequence[int], alphabet: Alphabet) -> tuple[F64, F64]:
    """Bits of each token and of it in whatever case, each (n,). logits (n, V)."""
    whole, folded = np.empty(len(tokens)), np.empty(len(tokens))
    for i, token in enumerate(tokens):
        row = logits[i].astype(np.float64)
        row -= row.max()
        total = np.log(np.exp(row).sum())
        whole[i] = total - row[token]
        folded[i] = total - np.log(np.exp(row[alphabet.cases[token]]).sum())
    return whole / np.log(2), folded / np.log(2)


def score(
    session: Session, alphabet: Alphabet, request: str, tokens: Sequence[int], known: Known | None
) -> dict[str, float]:
    """Bits per byte of an answer's tokens after the request and their parts, as `Session.score` counts them, with the
    number of bytes and tokens.

    Raises:
        ModelError: the prompt leaves no room for them.
    """
    prompt = session.prompt(request, known).tokens
    soft = session.nobody if known is None else known.soft
    room = session.engine.context - len(soft) - len(prompt)
    if not 0 < len(tokens) <= room:
        raise ModelError(f"{len(tokens)} tokens to score, and the prompt leaves room for {room}")
    logits = session.engine.logits(soft, [*prompt, *tokens[:-1]], last=len(tokens))
    size = len(session.engine.detokenize(tokens).encode("utf-8"))
    found = split_bits(*log_parts(logits, tokens, alphabet), tokens, alphabet)
    return {**found.per_byte(size), "bytes": float(size), "tokens": float(len(tokens))}


class Unigram:
    """The reference without a language model: p(t) = (own and read so far + strength x population) / (n + strength)."""

    def __init__(self, texts: Sequence[Sequence[int]], vocabulary: int, alphabet: Alphabet, strength: float) -> None:
        counts = np.bincount([t for text in texts for t in text], minlength=vocabulary).astype(np.float64) + 0.5
        self.prior: F64 = counts / counts.sum()
        self.alphabet, self.strength = alphabet, strength

    def bits(self, history: Sequence[Sequence[int]], tokens: Sequence[int]) -> Bits:
        """Bits of a text by someone who wrote `history` before."""
        seen = np.zeros(len(self.prior))
        for text in history:
            np.add.at(seen, np.asarray(text, np.int64), 1.0)
        n = seen.sum()
        whole, folded = np.empty(len(tokens)), np.empty(len(tokens))
        for i, token in enumerate(tokens):
            group = self.alphabet.cases[token]
            mass = seen[group] + self.strength * self.prior[group]
            own = seen[token] + self.strength * self.prior[token]
            whole[i], folded[i] = np.log2((n + self.strength) / np.array([own, mass.sum()]))
            seen[token] += 1.0
            n += 1.0
        return split_bits(whole, folded, tokens, self.alphabet)


def fit_unigram(
    texts: Sequence[Sequence[int]],
    validation: Sequence[tuple[Sequence[Sequence[int]], Sequence[int]]],
    vocabulary: int,
    alphabet: Alphabet,
) -> Unigram:
    """The unigram model with the strength, among STRENGTHS, that expects the validation texts best. `texts` are the
    population's before validation, validation is (history, text) of some people."""

    def cost(strength: float) -> float:
        model = Unigram(texts, vocabulary, alphabet, strength)
        return sum(model.bits(history, text).all for history, text in validation)

    return Unigram(texts, vocabulary, alphabet, min(STRENGTHS, key=cost))


def names() -> Mapping[str, str]:
    """What the figures mean, for the report."""
    return {
        BITS: "bits that the model needs for a byte of what the person really wrote, the end of the text counted",
        "words": "bits a byte for letters and digits whatever their case",
        "punctuation and case": "bits a byte for punctuation, blanks alone, and the case of letters",
        "end of text": "bits a byte for where the text ends",
    }
