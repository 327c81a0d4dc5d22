"""Tries of what may make the parametric branch pay, trained by `away.py` on another machine.

    python benchmarks/away_tries.py texts RUN TEXTS.npz         here: a vector for each text of the run
    python benchmarks/away_tries.py train PIECES PLAN.json OUT --texts TEXTS.npz [as away.py train]

Beside what `away.py` knows, a row of the plan may say "history_tokens": true (16 virtual tokens computed from the
vectors of all of a person's earlier texts, newest first, by attention) and "thin_only": true (facets and peers in the
prompt only of people with fewer than four texts). What wins moves into `export/training`; what loses goes.
`away_tries.json` is the first plan: each row against "lr 3e-4", chosen on validation.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

if __name__ != "__main__":
    raise ImportError("a script, not a module")

import away
import torch
from torch import Tensor, nn

from copersona.export.training import personalized
from copersona.export.training import personalizer as personalizers
from copersona.export.training.personalizer import PersonaBatch, PersonalizerShape, TorchPersonalizer, batch_personas
from copersona.runtime.prompt import prompt as prompts

TOKENS, WIDTH, MOST, FEW = 16, 256, 64, 4
Vectors = dict[str, np.ndarray[Any, np.dtype[np.float32]]]


def name_of(text: str) -> str:
    """A short name of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True)
class TextBatch(PersonaBatch):
    """With the vectors of earlier texts (B, T, E), newest first, and which of them are there (B, T)."""

    texts: Tensor
    there: Tensor


class HistoryPersonalizer(TorchPersonalizer):
    """The soft prompt, and behind it TOKENS tokens pooled from the vectors of all earlier texts."""

    def __init__(self, shape: PersonalizerShape, means: Any, rms: float, **options: Any) -> None:
        super().__init__(shape, means, rms, **options)
        encoded = 384
        self.queries = nn.Parameter(torch.randn(TOKENS, WIDTH) / math.sqrt(WIDTH))
        self.ranks = nn.Parameter(torch.randn(MOST, WIDTH) * 0.02)
        self.keys, self.values = nn.Linear(encoded, WIDTH), nn.Linear(encoded, WIDTH)
        for layer in (self.keys, self.values):
            layer.weight.data.mul_(4)  # unit vectors have small entries
        self.out = nn.Linear(WIDTH, shape.model_width)
        self.without = nn.Parameter(torch.zeros(TOKENS, WIDTH))
        self.history_scale = nn.Parameter(torch.tensor([rms / 0.6]))

    def forward(self, batch: PersonaBatch) -> Tensor:
        """(B, L + TOKENS, H)."""
        soft = super().forward(batch)
        pooled = self.pooled(batch) if isinstance(batch, TextBatch) else self.without.expand(len(soft), -1, -1)
        return torch.cat([soft, self.history_scale * self.out(torch.tanh(pooled))], 1)

    def pooled(self, batch: TextBatch) -> Tensor:
        """Attention of the queries over the texts, 4 heads. (B, TOKENS, WIDTH)."""
        size, count, _ = batch.texts.shape
        key, value = (
            (layer(batch.texts) + self.ranks[:count]).view(size, count, 4, -1).transpose(1, 2)
            for layer in (self.keys, self.values)
        )
        query = self.queries.view(1, TOKENS, 4, -1).transpose(1, 2).expand(size, -1, -1, -1)
        scores = (2.0 * query @ key.transpose(-1, -2)).masked_fill(~batch.there[:, None, None, :], -1e9)
        mixed = (scores.softmax(-1) @ value).transpose(1, 2).reshape(size, TOKENS, -1)
        return torch.where(batch.there.any(1)[:, None, None], mixed + self.queries, self.without)


def with_texts(vectors: Vectors, targets: Any) -> Any:
    """`batch_personas` with the vectors of each person's earlier texts."""
    known: dict[int, Any] = {}
    for one in [*targets.training, *targets.validation]:
        rows = [vectors[n] for item in one.history[::-1][:MOST] if (n := name_of(item.output)) in vectors]
        if one.persona.inputs is not None and rows:
            known[id(one.persona.inputs.own)] = np.stack(rows)

    def batched(inputs: list[Any], shape: PersonalizerShape, neighbors: int, device: torch.device) -> TextBatch:
        plain = batch_personas(inputs, shape, neighbors, device)
        none = np.zeros((0, 384), np.float32)
        rows = [none if one is None else known.get(id(one.own), none) for one in inputs]
        longest = max(1, *map(len, rows))
        texts, there = torch.zeros(len(rows), longest, 384), torch.zeros(len(rows), longest, dtype=torch.bool)
        for i, row in enumerate(rows):
            texts[i, : len(row)], there[i, : len(row)] = torch.from_numpy(row), True
        parts = (plain.own, plain.labels, plain.neighbors, plain.present, plain.nobody)
        return TextBatch(*parts, texts.to(device), there.to(device))

    return batched


def thin_only() -> None:
    """Facets and peers stand in the prompts of people with few texts alone."""
    whole = prompts.fixed_prompt

    @dataclass(frozen=True)
    class Shown:
        facets: tuple[Any, ...]
        peers: tuple[Any, ...]

    def fixed(layout: Any, history: Any, persona: Any) -> Any:
        few = len(history) < FEW
        return whole(layout, history, Shown(persona.facets if few else (), persona.peers if few else ()))

    prompts.fixed_prompt = fixed


def write_texts(run_folder: Path, target: Path) -> None:
    """The vector of every text of a run, float16."""
    from copersona.export.run.run import Run

    run = Run.open(run_folder)
    texts = sorted({item.output for history in run.histories.values() for item in history})
    vectors = np.stack([run.encode(text) for text in texts]).astype(np.float16)
    np.savez_compressed(target, names=np.array([name_of(text) for text in texts]), vectors=vectors)


def main() -> None:
    """`texts` here, everything else as away.py, with its rows able to say more."""
    if sys.argv[1:2] == ["texts"]:
        write_texts(Path(sys.argv[2]), Path(sys.argv[3]))
        return
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--texts", type=Path)
    given, rest = parser.parse_known_args()
    sys.argv[1:] = rest
    vectors: Vectors = {}
    if given.texts is not None:
        with np.load(given.texts) as file:
            vectors = dict(zip(file["names"].tolist(), file["vectors"].astype(np.float32), strict=True))
    plain = away.train_row

    def row(run: Any, targets: Any, asked: dict[str, Any], out: Path, work: Path, **making: Any) -> None:
        if asked.get("history_tokens"):
            batched = with_texts(vectors, targets)
            personalized.batch_personas = personalizers.batch_personas = batched
            making["make"] = HistoryPersonalizer
        if asked.get("thin_only"):
            thin_only()
        plain(run, targets, asked, out, work, **making)

    away.train_row = row
    away.main()


main()
