"""Training examples: a target, what is known of its author by then, and the prompt as the runtime lays it out.

The prompt is built by the runtime's own `Layout` on the same tokens. Dropping the persona, the text context and single
input fields at random is what makes their absence at run time something the model has seen.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from copersona.export.population.profile import State
from copersona.runtime.history.interactions import History, Interaction, without_fields
from copersona.runtime.persona.persona import Persona
from copersona.runtime.persona.personalizer import PersonaInputs
from copersona.runtime.profile.profiler import Encode
from copersona.runtime.prompt.layout import Layout
from copersona.runtime.prompt.prompt import person_prompt


@dataclass(frozen=True, slots=True)
class Situation:
    """One target of one person and what is known of them when they write it."""

    state: State
    target: Interaction
    history: History
    persona: Persona


@dataclass(frozen=True, slots=True)
class Dropout:
    """Chances of leaving things out of a training example.

    `texts`: of own texts giving way to facets and peers where they are served first, since the model would hardly meet
    facets in the prompts of people who wrote much.
    """

    persona: float = 0.12
    context: float = 0.12
    field: float = 0.1
    texts: float = 0.5


@dataclass(frozen=True, slots=True)
class Example:
    """Tokens of prompt and answer, and the persona (None: nobody)."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    inputs: PersonaInputs | None


def make_example(
    situation: Situation,
    layout: Layout,
    encode: Encode,
    *,
    answer_tokens: int,
    drop: random.Random | None,
    rates: Dropout,
) -> Example:
    """Lay out one situation as the device does. With `drop`, persona, context and fields are left out at random;
    without, all is there."""
    target, with_persona, with_context = situation.target, True, True
    if drop is not None:
        with_persona = drop.random() >= rates.persona
        with_context = drop.random() >= rates.context
        item, rating, title = (drop.random() < rates.field for _ in range(3))
        target = without_fields(target, item=item, rating=rating, title=title)
        if layout.settings.served == "texts" and drop.random() < rates.texts:
            layout = layout.changed(served="facets")
    request, answer = target.request(), layout.answer(target.output)
    if with_context:
        prompt = person_prompt(layout, request, situation.history, situation.persona, encode)
    else:
        prompt = layout.prompt(request)
    return Example(tuple(prompt.tokens), answer[:answer_tokens], situation.persona.inputs if with_persona else None)


def batches(lengths: Sequence[int], size: int, shuffle: random.Random) -> list[list[int]]:
    """Indices in batches of like length (little padding), in random order."""
    order = sorted(range(len(lengths)), key=lambda i: (lengths[i], i))
    groups = [order[i : i + size] for i in range(0, len(order), size)]
    shuffle.shuffle(groups)
    return groups
