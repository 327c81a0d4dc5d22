"""The torch twin of `copersona.runtime.persona.personalizer`: the same formulas, batched and differentiable.

Shapes as there, with a leading batch B. Paper, section 3.3 and appendix C; a parity test compares it with the numpy
one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from copersona.export.common.files import replacing
from copersona.runtime.common.arrays import F32
from copersona.runtime.common.tensors import as_float16, rows_of, safetensors_chunks
from copersona.runtime.persona.neighbors import SHARED
from copersona.runtime.persona.personalizer import HEADS, PersonaInputs, tensor_shapes


@dataclass(frozen=True, slots=True)
class PersonalizerShape:
    """Sizes of the parametric branch: M facets, D vector width, G graph width, P projector width, L soft tokens, H
    model width."""

    facets: int
    width: int
    graph: int
    hidden: int
    soft_tokens: int
    model_width: int


@dataclass(frozen=True, slots=True)
class PersonaBatch:
    """B personas as tensors: own (B, M, D), labels (B, M), neighbors (B, K, M, D), present (B, K, M), nobody (B,)
    bool."""

    own: Tensor
    labels: Tensor
    neighbors: Tensor
    present: Tensor
    nobody: Tensor


def batch_personas(
    inputs: list[PersonaInputs | None], shape: PersonalizerShape, neighbors: int, device: torch.device
) -> PersonaBatch:
    """Stack personas; None is nobody."""
    blank = PersonaInputs(
        np.zeros((shape.facets, shape.width), np.float32),
        np.zeros(shape.facets, np.int32),
        np.zeros((neighbors, shape.facets, shape.width), np.float32),
        np.zeros((neighbors, shape.facets), np.bool_),
    )
    rows = [blank if one is None else one for one in inputs]
    own, labels, others, present = (torch.from_numpy(np.stack(column)).to(device) for column in zip(*rows, strict=True))
    nobody = torch.tensor([one is None for one in inputs], device=device)
    return PersonaBatch(own, labels.long(), others, present, nobody)


class TorchPersonalizer(nn.Module):
    """Gate, message passing, cross-facet attention, projector. Parameters are named and stored as in the numpy twin."""

    neighbors = SHARED

    def __init__(
        self, shape: PersonalizerShape, layer_means: F32, embedding_rms: float, *, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.shape = shape
        sizes = tensor_shapes(
            shape.facets, shape.width, shape.graph, shape.hidden, shape.soft_tokens, shape.model_width
        )
        for name, size in sizes.items():
            if name != "layer_means":
                self.register_parameter(name, nn.Parameter(torch.zeros(size)))
        self.register_buffer("layer_means", torch.from_numpy(layer_means.copy()))
        self.dropout = nn.Dropout(dropout)
        self._initialise(embedding_rms)

    def _initialise(self, embedding_rms: float) -> None:
        with torch.no_grad():
            self.gate_start.fill_(-1.0)  # γ of none: 0.27; the steps bring strong to about 0.9
            self.gate_steps.fill_(math.log(math.expm1(1.0)))
            for weight in (self.graph_weight, self.hidden_weight, self.output_weight):
                nn.init.normal_(weight, std=1 / math.sqrt(weight.shape[0]))
            nn.init.normal_(self.attention[:3], std=1 / math.sqrt(self.shape.graph))
            nn.init.normal_(self.attention[3], std=0.1 / math.sqrt(self.shape.graph))
            nn.init.normal_(self.nobody, std=0.1)
            self.graph_weight.mul_(math.sqrt(self.shape.width) / 8)  # unit vectors have small entries
            # Unit-variance tanh inputs give outputs of RMS near 0.6; scale brings them to the token embeddings' size.
            self.scale.fill_(embedding_rms / 0.6)

    def gates(self) -> Tensor:
        """γ by label, rising. (4,)"""
        steps = torch.cumsum(functional.softplus(self.gate_steps), 0)
        return torch.sigmoid(self.gate_start + torch.cat([torch.zeros_like(self.gate_start), steps]))

    def forward(self, batch: PersonaBatch) -> Tensor:
        """Soft prompts (B, L, H)."""
        vector = self.persona_vector(batch)  # (B, M*G)
        vector = torch.where(batch.nobody[:, None], self.nobody, vector)
        hidden = torch.tanh(vector @ self.hidden_weight + self.hidden_bias)
        soft = self.scale * (hidden @ self.output_weight + self.output_bias)
        return soft.view(-1, self.shape.soft_tokens, self.shape.model_width)

    def persona_vector(self, batch: PersonaBatch) -> Tensor:
        """Equations 9 to 12. (B, M*G)"""
        weight = batch.present.to(batch.own.dtype)[..., None]  # (B, K, M, 1)
        count = weight.sum(1)  # (B, M, 1)
        mean = (batch.neighbors * weight).sum(1) / count.clamp(min=1)
        peers = torch.where(count > 0, mean, self.layer_means)
        gate = self.gates()[batch.labels][..., None]  # (B, M, 1)
        mixed = gate * batch.own + (1 - gate) * peers
        state = self.dropout(torch.relu(mixed @ self.graph_weight + self.graph_bias))  # (B, M, G)
        return (state + self._attend(state)).flatten(1)

    def _attend(self, state: Tensor) -> Tensor:
        size, facets, graph = state.shape
        query, key, value = (
            (state @ weight).view(size, facets, HEADS, -1).transpose(1, 2) for weight in self.attention[:3]
        )  # (B, heads, M, G / heads)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return mixed.transpose(1, 2).reshape(size, facets, graph) @ self.attention[3]

    def penalty(self, batch: PersonaBatch) -> Tensor | float:
        """What is added to the loss of a token in training; nothing here."""
        return 0.0

    def save(self, path: Path) -> None:
        """Write `personalizer.safetensors` as the runtime reads it: float32, in values that float16 can hold."""
        tensors = {name: as_float16(t.detach().float().cpu().numpy()) for name, t in self.state_dict().items()}
        with replacing(path) as part:
            part.write_bytes(b"".join(safetensors_chunks(rows_of(tensors, "F32"))))
