"""One small answer of a bundle, so that what is called whole has answered: as someone new, and as nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from copersona.runtime.engine.sampling import Sampling
from copersona.runtime.history.interactions import Interaction

if TYPE_CHECKING:
    from copersona.runtime.session.session import Session

TEXTS = (
    "I bought this for my brother, and he uses it every day. The sound is warm, and it was easy to set up!",
    "Not what I expected: it broke after two weeks, and nobody answered my letters.",
    "Gut gemacht, klingt sehr schön. 好听的吉他。 " * 40,
)


def try_out(session: Session, *, tokens: int = 2) -> None:
    """Encode, profile, place, and answer.

    Raises:
        CoPersonaError: a part fails at it; the message says which.
    """
    history = tuple(Interaction("someone", text, "Write a review.") for text in TEXTS)
    for known in (session.know(history), None):
        session.answer("Write a review.", known, Sampling(max_tokens=tokens)).finish()
