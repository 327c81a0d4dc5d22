"""How well a bundle's model expects what a person wrote, as them or as nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from copersona.runtime.common.errors import ModelError
from copersona.runtime.people.known import Known
from copersona.runtime.session.answers import Score

if TYPE_CHECKING:
    from copersona.runtime.session.session import Session


def score(session: Session, request: str, output: str, known: Known | None) -> Score:
    """Bits that the model needs for `output` after the request, as a person or as nobody. What does not fit the
    context is not counted, neither its bits nor its bytes.

    Raises:
        ModelError: the prompt leaves no room for a single token of it.
    """
    prompt = session.prompt(request, known)
    soft = session.nobody if known is None else known.soft
    tokens, context = session.layout.answer(output), session.engine.context
    room = context - len(soft) - len(prompt.tokens)
    if room < 1:
        raise ModelError(f"the prompt has {len(prompt.tokens)} tokens, the context {context}: no room left")
    kept = tokens[:room]
    logs = session.engine.score(soft, prompt.tokens, kept)
    size = len(session.engine.detokenize(kept).encode("utf-8"))
    return Score(float(-logs.sum() / np.log(2)), size, len(kept))
