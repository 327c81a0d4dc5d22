"""The personalizer's forward pass at the width of a 0.5B model against reading its weights once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from population import FACETS, WIDTH
from rows import Row, compare, cpu_ms
from settings import Settings

from copersona.runtime.persona.personalizer import PersonaInputs, Personalizer, tensor_shapes

SOFT, HIDDEN, GRAPH, PROJECTOR, NEIGHBOURS = 20, 896, 512, 512, 5


def rows(settings: Settings) -> Iterator[Row]:
    rng = np.random.default_rng(0)
    shapes = tensor_shapes(FACETS, WIDTH, GRAPH, PROJECTOR, SOFT, HIDDEN)
    weights = {name: rng.normal(0, 0.02, shape).astype(np.float32) for name, shape in shapes.items()}
    personalizer = Personalizer(soft_tokens=SOFT, **weights)
    inputs = PersonaInputs(
        rng.normal(0, WIDTH**-0.5, (FACETS, WIDTH)).astype(np.float32),
        np.array([3, 2, 3, 2, 3], np.int32),
        rng.normal(0, WIDTH**-0.5, (NEIGHBOURS, FACETS, WIDTH)).astype(np.float32),
        np.ones((NEIGHBOURS, FACETS), bool),
    )
    flat = [weight.reshape(-1) for weight in weights.values()]
    words = [weight[: len(weight) // 2 * 2].view(np.int64) for weight in flat]
    size = sum(weight.nbytes for weight in flat) / 1e6
    yield compare(
        f"forward pass, H = {HIDDEN}, {size:.0f} MB, CPU ms, against reading the weights",
        settings.rounds(60),
        lambda: cpu_ms(lambda: personalizer.soft_prompt(inputs)),
        lambda: cpu_ms(lambda: [word.sum() for word in words]),
        "ratio <= 1.5",
    )
