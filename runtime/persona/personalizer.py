"""The parametric branch in numpy: gates, message passing, cross-facet attention, projector.

* gate: one monotone scalar a reliability label, shared across facets (paper, appendix C, "Monotone label-to-gate
  mapping")
* message passing: masked mean over the shared neighbours that are observed on the facet, else the layer's mean
* one shared projection with ReLU (equation 11), one cross-facet self-attention with residual, concatenation
  (equation 12)
* two-layer projector with Tanh to L x H (appendix C), scaled to the size of the model's token embeddings
* a person with nothing observed is the learned "nobody" state, which is also what *no persona* means

`export/training/personalizer.py` is its torch twin; a parity test and the packing step compare the two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from copersona.runtime.common.arrays import F32, I32, Bool, check_f32
from copersona.runtime.common.errors import BundleError
from copersona.runtime.filecheck.values import bounded
from copersona.runtime.profile.facets import Reliability

HEADS = 4
MOST_WEIGHT = 1e4  # larger ones, multiplied along the way, leave what float32 can hold


class PersonaInputs(NamedTuple):
    """What the parametric branch sees of one person."""

    own: F32
    """(M, D) float32 centred unit vectors, the neutral placeholder where not observed."""
    labels: I32
    """(M,) int32 reliabilities."""
    neighbors: F32
    """(K, M, D) float32 vectors of the shared neighbours."""
    present: Bool
    """(K, M) bool: this neighbour exists and is observed on this facet."""


@dataclass(frozen=True, slots=True)
class Personalizer:
    """Weights of the parametric branch; every array float32, matrices stored (in, out)."""

    gate_start: F32  # (1,)      z_0
    gate_steps: F32  # (3,)      δ̃_i
    layer_means: F32  # (M, D)    population mean of a layer, for a facet no neighbour is observed on
    graph_weight: F32  # (D, G)
    graph_bias: F32  # (G,)
    attention: F32  # (4, G, G) query, key, value, output
    hidden_weight: F32  # (M*G, P)
    hidden_bias: F32  # (P,)
    output_weight: F32  # (P, L*H)
    output_bias: F32  # (L*H,)
    scale: F32  # (1,)
    nobody: F32  # (M*G,)
    soft_tokens: int

    @property
    def width(self) -> int:
        """H, the width of the language model."""
        return len(self.output_bias) // self.soft_tokens

    def gates(self) -> F32:
        """γ by label, rising: sigmoid(z_0 + Σ softplus(δ̃)). (4,) float32 in (0, 1)."""
        z = self.gate_start[0] + np.concatenate([[0.0], np.cumsum(np.logaddexp(0.0, self.gate_steps))])
        gates: F32 = (1.0 / (1.0 + np.exp(-z))).astype(np.float32)
        return gates

    def persona_vector(self, inputs: PersonaInputs) -> F32:
        """Equations 9 to 12. -> (M*G,) float32; `nobody` when no facet is observed."""
        facets, width = self.layer_means.shape
        check_f32("own vectors", inputs.own, facets, width)
        check_f32("neighbour vectors", inputs.neighbors, None, facets, width)
        if not (inputs.labels >= Reliability.MODERATE).any():
            return self.nobody
        mixed = self._mix(inputs)  # (M, D)
        state = np.maximum(mixed @ self.graph_weight + self.graph_bias, 0)  # (M, G)
        return np.ascontiguousarray(state + self._attend(state)).reshape(-1)

    def _mix(self, inputs: PersonaInputs) -> F32:
        """γ own + (1 - γ) mean of the neighbours observed on the facet. -> (M, D)."""
        weight = inputs.present.astype(np.float32)[..., None]  # (K, M, 1)
        count = weight.sum(axis=0)  # (M, 1)
        mean = (inputs.neighbors * weight).sum(axis=0) / np.maximum(count, 1)
        peers = np.where(count > 0, mean, self.layer_means)
        gate = self.gates()[inputs.labels][:, None]  # (M, 1)
        mixed: F32 = gate * inputs.own + (1 - gate) * peers
        return mixed

    def _attend(self, state: F32) -> F32:
        """Self-attention across the M facets, HEADS heads. (M, G) -> (M, G)."""
        facets, graph = state.shape
        query, key, value = (
            (state @ weight).reshape(facets, HEADS, -1).transpose(1, 0, 2) for weight in self.attention[:3]
        )  # (heads, M, G / heads)
        scores = query @ key.transpose(0, 2, 1) / np.float32(math.sqrt(graph // HEADS))
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        mixed: F32 = (scores @ value).transpose(1, 0, 2).reshape(facets, graph) @ self.attention[3]
        return mixed

    def soft_prompt(self, inputs: PersonaInputs | None) -> F32:
        """Virtual token embeddings of a person; None is nobody. -> (L, H) float32 (equation 13, appendix C)."""
        vector = self.nobody if inputs is None else self.persona_vector(inputs)
        hidden = np.tanh(vector @ self.hidden_weight + self.hidden_bias)
        soft = self.scale[0] * (hidden @ self.output_weight + self.output_bias)
        return check_f32("soft prompt", soft.reshape(self.soft_tokens, self.width), self.soft_tokens, None)


def tensor_shapes(
    facets: int, width: int, graph: int, hidden: int, soft_tokens: int, model_width: int
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of `personalizer.safetensors`."""
    return {
        "gate_start": (1,),
        "gate_steps": (3,),
        "layer_means": (facets, width),
        "graph_weight": (width, graph),
        "graph_bias": (graph,),
        "attention": (4, graph, graph),
        "hidden_weight": (facets * graph, hidden),
        "hidden_bias": (hidden,),
        "output_weight": (hidden, soft_tokens * model_width),
        "output_bias": (soft_tokens * model_width,),
        "scale": (1,),
        "nobody": (facets * graph,),
    }


def load_personalizer(path: Path, *, facets: int, width: int, soft_tokens: int, model_width: int) -> Personalizer:
    """Read the weights and check that names, shapes and dtype fit the bundle and that all are finite.

    Raises:
        BundleError: the file cannot be read, or a tensor is missing, too many, of another shape, or not finite.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors: Mapping[str, F32] = load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise BundleError(f"{path}: the personalizer cannot be read ({error})") from error
    graph = tensors["graph_bias"].size if "graph_bias" in tensors else 0
    hidden = tensors["hidden_bias"].size if "hidden_bias" in tensors else 0
    expected = tensor_shapes(facets, width, graph, hidden, soft_tokens, model_width)
    if set(tensors) != set(expected):
        odd = sorted(set(tensors) ^ set(expected))
        raise BundleError(f"{path}: tensors missing or not known: {', '.join(odd)}; export the bundle again")
    for name, shape in expected.items():
        array = tensors[name]
        if array.shape != shape or array.dtype != np.float32:
            raise BundleError(f"{path}: {name} is {array.dtype} {array.shape}, the bundle needs float32 {shape}")
        try:
            bounded(name, array, MOST_WEIGHT)
        except ValueError as error:
            raise BundleError(f"{path}: {error}; export the bundle again") from None
    if not graph or graph % HEADS:
        raise BundleError(f"{path}: graph width {graph} is not a multiple of {HEADS} heads")
    return Personalizer(soft_tokens=soft_tokens, **tensors)
