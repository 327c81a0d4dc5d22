"""The factuality guard at work: is a persona about to make this answer wrong, and what is done then.

The probe reads one layer at the last token of the prompt, before the first token of the answer is chosen. By mode:

* S: the layer moves by gamma (p - 0.5) times the guard's vector, towards facts or towards the person
* H: at and above tau it moves by what nobody's prompt gives there minus what the person's gives, held for the answer
* M: below tau as S, else as H
* regenerate: at and above tau the answer is made from nobody's prompt, which removes the persona exactly
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from copersona.runtime.bundle.guard import Guard
from copersona.runtime.bundle.opened import Bundle
from copersona.runtime.common.arrays import F32
from copersona.runtime.common.errors import BundleError, ModelError, ModelRefused
from copersona.runtime.engine.engine import Engine, Wanted
from copersona.runtime.engine.wanted import Act, Watch
from copersona.runtime.people.known import Known
from copersona.runtime.prompt.layout import Prompt
from copersona.runtime.prompt.settings import GuardMode

if TYPE_CHECKING:
    from copersona.runtime.session.session import Session


@dataclass(frozen=True, slots=True)
class Guarded:
    """What was decided on an answer by which `mode`: the probability that the persona makes it wrong, and whether the
    persona was kept, steered (`beta` times the vector), held (its shift taken away) or removed. None where the answer
    was stopped before that."""

    mode: GuardMode
    probability: float | None = None
    decision: Literal["kept", "steered", "held", "removed"] | None = None
    beta: float = 0.0


class Verdict:
    """The decision on one answer, which is there when its first token is; `plain` is nobody's prompt."""

    def __init__(self, guard: Guard, mode: GuardMode, plain: Prompt | None) -> None:
        self._guard, self._plain = guard, plain
        self.found = Guarded(mode)

    def decide(self, state: F32) -> Act:
        """Of what the layer puts out at the prompt's last token, (H,) float32. Raises ModelRefused where that is not
        finite."""
        guard, mode = self._guard, self.found.mode
        probability = guard.probability(state)
        if not math.isfinite(probability):
            raise ModelRefused(f"layer {guard.layer} is not finite: the soft prompt or the model is damaged")
        said = round(probability, 4)
        if mode != "S" and probability >= guard.tau:
            self.found = Guarded(mode, said, "removed" if mode == "regenerate" else "held")
            return Act("instead" if mode == "regenerate" else "hold")
        if mode in ("S", "M"):
            beta = guard.gamma * (probability - 0.5)
            self.found = Guarded(mode, said, "steered", round(beta, 4))
            return Act("shift", (beta * guard.vector).astype(np.float32))
        self.found = Guarded(mode, said, "kept")
        return Act("leave")

    def made_from(self, prompt: Prompt, known: Known | None) -> tuple[Prompt, Known | None]:
        """The prompt and the person that the answer was made from in the end."""
        if self._plain is not None and self.found.decision == "removed":
            return self._plain, None
        return prompt, known


def guarded(
    session: Session, mode: GuardMode | None, wanted: Wanted, known: Known | None, plain: Callable[[], Prompt]
) -> tuple[Wanted, Verdict | None]:
    """What is wanted, watched by the session's guard in this mode (None: the session's own); `plain` makes nobody's
    prompt. An answer as nobody needs no guard.

    Raises:
        ModelRefused: a mode in a session whose guard is off.
    """
    mode = mode or session.guard
    if mode == "off" or known is None:
        return wanted, None
    guard = session.bundle.guard
    if guard is None or session.guard == "off":
        raise ModelRefused(f"the guard is asked for ({mode}) and off here: open the bundle with it, as --guard does")
    prompt = None if mode == "S" else plain()
    other = None if prompt is None else session.wanted(prompt, None, wanted.sampling)
    verdict = Verdict(guard, mode, prompt)
    return wanted._replace(watch=Watch(guard.layer, verdict.decide), other=other), verdict


def check_guarded(bundle: Bundle, mode: GuardMode) -> None:
    """Raises BundleError where a bundle without a guard is to be guarded."""
    if mode != "off" and bundle.guard is None:
        raise BundleError(f"{bundle.folder}: has no guard, {mode} cannot be had; make one with: copersona export guard")


def check_readable(engine: Engine, bundle: Bundle) -> None:
    """Raises ModelError where the layer that a bundle's guard reads cannot be read of its model."""
    if engine.layers is not None and bundle.guard is not None:
        try:
            with engine.layers.meeting([bundle.guard.layer], lambda layer, first, rows: None):
                engine.logits(None, [0])
        except ModelError as error:
            raise ModelError(f"{bundle.path('model')}: no guard can be used with this model: {error}") from None
