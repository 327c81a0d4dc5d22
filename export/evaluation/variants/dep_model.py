"""DEP's trained part: a sparse autoencoder over review and difference vectors, and two alignments into the model.

As in DEP (arXiv 2507.20849), adapted: the vectors stand in front of the prompt as one segment of embeddings, not inside
the texts that they are of, so that the tokenizer stays as it is and a stock llama.cpp takes them; steps and learning
rate are the run's, the language model is frozen. The activations' mean is clamped to (0, 1) for the sparsity penalty.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from copersona.export.evaluation.variants.dep_inputs import REVIEWS
from copersona.export.training.personalizer import PersonaBatch, PersonalizerShape, TorchPersonalizer, batch_personas
from copersona.runtime.common.arrays import F32
from copersona.runtime.persona.personalizer import PersonaInputs

SPARSITY, RECONSTRUCTION, KL = 0.05, 100.0, 0.001


def dep_shape(width: int, model_width: int) -> PersonalizerShape:
    """Sizes of DEP's part: 8 reviews of E numbers, half as many inside, 16 rows of the model's width."""
    return PersonalizerShape(REVIEWS, width, width // 2, width // 2, 2 * REVIEWS, model_width)


class DepPersonalizer(TorchPersonalizer):
    """16 rows of embeddings of a person: 8 of reviews, 8 of differences; learned rows where one is missing."""

    neighbors = 1

    def __init__(self, shape: PersonalizerShape, layer_means: F32, embedding_rms: float) -> None:
        nn.Module.__init__(self)
        self.shape = shape
        inner, out = shape.hidden, shape.model_width
        self.encoder = nn.Linear(shape.width, inner)
        self.decoder = nn.Linear(inner, shape.width)
        self.align = nn.ModuleList(
            nn.Sequential(nn.Linear(inner, out), nn.GELU(), nn.Linear(out, out)) for _ in range(2)
        )
        self.scale = nn.Parameter(torch.full((1,), embedding_rms))
        self.blank = nn.Parameter(torch.randn(2 * shape.facets, out) * embedding_rms)

    def gates(self) -> Tensor:
        """DEP has none."""
        return torch.zeros(0)

    def _codes(self, batch: PersonaBatch) -> tuple[Tensor, Tensor, Tensor]:
        vectors = torch.stack([batch.own, batch.neighbors[:, 0]], dim=1)  # (B, 2, 8, E)
        there = (batch.labels > 0)[:, None].expand(-1, 2, -1)  # (B, 2, 8)
        return vectors, there, functional.gelu(self.encoder(vectors))

    def forward(self, batch: PersonaBatch) -> Tensor:
        """Embeddings (B, 16, H)."""
        _, there, codes = self._codes(batch)
        rows = torch.cat([align(codes[:, i]) for i, align in enumerate(self.align)], dim=1)  # (B, 16, H)
        rows = self.scale * functional.layer_norm(rows, rows.shape[-1:])
        shown = there.flatten(1) & ~batch.nobody[:, None]
        return torch.where(shown[..., None], rows, self.blank)

    def penalty(self, batch: PersonaBatch) -> Tensor | float:
        """100 x (smooth-L1 reconstruction + 0.001 x KL of the mean activation to 0.05), over the vectors there are."""
        vectors, there, codes = self._codes(batch)
        if not bool(there.any()):
            return 0.0
        rebuilt = functional.gelu(self.decoder(codes[there]))
        mean = codes[there].mean(0).clamp(1e-4, 1 - 1e-4)
        kl = SPARSITY * (SPARSITY / mean).log() + (1 - SPARSITY) * ((1 - SPARSITY) / (1 - mean)).log()
        return RECONSTRUCTION * (functional.smooth_l1_loss(rebuilt, vectors[there]) + KL * kl.sum())

    @torch.no_grad()
    def rows(self, inputs: PersonaInputs | None) -> F32:
        """Embeddings of one person, (16, H) float32."""
        batch = batch_personas([inputs], self.shape, 1, torch.device("cpu"))
        found: F32 = self.eval()(batch)[0].numpy().astype(np.float32)
        return found
