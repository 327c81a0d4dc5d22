"""Bits per byte of fixed text under a small base model, through the runtime's engine.

Per UTF-8 byte, so that models with different tokenizers compare. Nothing here knows where the text comes from. What
is compared must be the same text: it is cut by characters, never by tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

from copersona.export.base.text import Question
from copersona.runtime.common.arrays import F64
from copersona.runtime.common.progress import track
from copersona.runtime.engine.engine import Engine, Sampling
from copersona.runtime.prompt.layout import Layout

CHARACTERS = 1_000  # of a text that is scored; after a prompt it fits the 1,024 tokens of the least of the models
BANDS = ((128, 256), (768, 1_024))
ANSWER = Sampling(temperature=0.0, max_tokens=32)


def bits_and_bytes(engine: Engine, prompt: Sequence[int], text: str) -> tuple[float, int]:
    """Bits of `text` after `prompt`, and its bytes in UTF-8; the end of a turn is not counted."""
    tokens = engine.tokenize(text)
    return float(-engine.score(None, prompt, tokens).sum() / np.log(2)), len(text.encode())


def per_byte(rows: Sequence[tuple[float, int]]) -> F64:
    """Bits per byte of each text, from its bits and bytes."""
    bits, sizes = np.array(rows, np.float64).reshape(-1, 2).T
    return np.asarray(bits / sizes)


def score_alone(engine: Engine, texts: Sequence[str]) -> F64:
    """Bits per byte of each text after nothing but a line end, a value a text."""
    start = engine.tokenize("\n")
    return per_byte([bits_and_bytes(engine, start, text[:CHARACTERS]) for text in track(texts, "posts")])


def score_answers(engine: Engine, prompts: Sequence[Sequence[int]], texts: Sequence[str]) -> F64:
    """Bits per byte of what was written after a prompt, a value a text."""
    pairs = track(zip(prompts, texts, strict=True), "answers", len(texts))
    return per_byte([bits_and_bytes(engine, prompt, text[:CHARACTERS]) for prompt, text in pairs])


def packed_windows(engine: Engine, texts: Iterable[str], window: int) -> list[list[int]]:
    """Texts behind one another, as in training, in whole windows that begin anywhere."""
    end = engine.control("<|endoftext|>")
    row = [token for text in texts for token in (*engine.tokenize(text), end)]
    return [row[i : i + window] for i in range(0, len(row) - window + 1, window)]


def score_bands(
    engine: Engine, windows: Sequence[Sequence[int]], bands: Sequence[tuple[int, int]] = BANDS
) -> list[F64]:
    """Bits per byte of each window's tokens in each band of positions, a value a window; ends of text not counted."""
    end = engine.control("<|endoftext|>")
    rows: list[list[float]] = [[] for _ in bands]
    for window in track(windows, "windows"):
        bits = np.concatenate([[0.0], -engine.score(None, window[:1], window[1:]) / np.log(2)])
        for values, (first, last) in zip(rows, bands, strict=True):
            values.append(_band(engine, window, bits, range(first, last), end))
    return [np.array(values) for values in rows]


def _band(engine: Engine, window: Sequence[int], bits: F64, band: range, end: int) -> float:
    counted = [i for i in band if window[i] != end]
    size = sum(len(engine.detokenize(run).encode()) for run in _runs([window[i] for i in band], end))
    return float(bits[counted].sum()) / max(size, 1)


def _runs(tokens: Sequence[int], end: int) -> list[list[int]]:
    """The tokens between ends of text."""
    cuts = [-1, *(i for i, token in enumerate(tokens) if token == end), len(tokens)]
    return [list(tokens[a + 1 : b]) for a, b in pairwise(cuts) if b - a > 1]


def answer(engine: Engine, prompt: Sequence[int], sampling: Sampling = ANSWER) -> str:
    """What the model writes after a prompt."""
    return "".join(piece.text for piece in engine.generate(None, prompt, sampling)).strip()


def right_answers(engine: Engine, layout: Layout, questions: Sequence[Question]) -> list[bool]:
    """Of each question, asked as nobody in particular, whether the greedy answer is one of the listed ones."""
    return [is_right(answer(engine, layout.prompt(q.text).tokens), q) for q in track(questions, "questions")]


def is_right(said: str, question: Question) -> bool:
    """Equal to one of the answers but for case, punctuation and articles."""
    return _plain(said) in {_plain(one) for one in question.answers}


def _plain(text: str) -> str:
    words = re.sub(r"[^\w\s]", " ", text.casefold()).split()
    return " ".join(word for word in words if word not in ("a", "an", "the"))
