"""Muon: momentum whose update of a matrix is made orthogonal, so that every direction is learned at the same pace.

As in K. Jordan's "Muon" (2024), with the factor 0.2 sqrt(max(rows, columns)) of Moonlight (arXiv 2502.16982), which
gives updates the size of AdamW's, so that one learning rate serves both. For matrices only; embeddings, norms and
biases belong to AdamW. torch has its own since 2.9, with the same formula; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic iteration, Jordan 2024
STEPS = 5


def orthogonal(matrix: Tensor) -> Tensor:
    """The nearest orthogonal matrix, roughly: singular values of about 0.7 to 1.2 by Newton-Schulz. (R, C)."""
    a, b, c = COEFFICIENTS
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(STEPS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, made orthogonal, with decoupled weight decay."""

    def __init__(
        self, parameters: Iterable[Tensor], lr: float = 4e-3, momentum: float = 0.95, weight_decay: float = 0.1
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """One update of every matrix that has a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, weight.grad, group)

    def _update(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        share = 1 - group["momentum"]
        state["momentum"].lerp_(gradient, share)
        update = orthogonal(gradient.lerp(state["momentum"], group["momentum"]))
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        weight.add_(update, alpha=-group["lr"] * 0.2 * max(weight.shape) ** 0.5)
