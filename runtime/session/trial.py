"""What a bundle is tried by: texts encoded, someone placed, two tokens said as someone new and as nobody.

Run as a module, this file is the process of its own in which `first_load` has that done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from copersona.runtime.bundle.opened import Bundle
from copersona.runtime.common.stages import tell_stages
from copersona.runtime.engine.sampling import Sampling
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.profile.encoder import read_tokenizer
from copersona.runtime.session.session import Session

TEXTS = (
    "I bought this for my brother, and he uses it every day. The sound is warm, and it was easy to set up!",
    "Not what I expected: it broke after two weeks, and nobody answered my letters.",
    "Gut gemacht, klingt sehr schön. 好听的吉他。 " * 40,
)
REQUEST = "Write a review."


def stages(session: Session) -> Iterator[str]:
    """The parts of a bundle, each named before it is tried.

    Raises:
        CoPersonaError: a part fails at it; the message says which.
    """
    yield "encoder's tokenizer"
    tokenizer = read_tokenizer(session.bundle.path("encoder_tokenizer"))
    for text in TEXTS:
        tokenizer.encode(text)
    yield "encoder"
    for text in TEXTS:
        session.encoder.encode(text)
    if session.manifest.trained:
        yield "personalizer"
        session.personalizer  # noqa: B018 - loading it checks names, shapes and values
    yield "model"
    session.engine  # noqa: B018 - loads it
    yield "prompt"
    history = tuple(Interaction("someone", text, REQUEST) for text in TEXTS)
    session.answer(REQUEST, session.know(history))  # it has room; answering it would take as long as an answer
    yield "answer"
    for known in (session.know(history[:2]), None):
        session.answer(REQUEST, known, Sampling(max_tokens=2)).finish()


def try_out(session: Session) -> None:
    """All stages. Raises CoPersonaError."""
    deque(stages(session), maxlen=0)


# The other side


def _stages(body: Mapping[str, Any]) -> Iterator[str]:
    yield "bundle"
    with Session(Bundle(body["bundle"], checked=True)) as session:
        yield from stages(session)


if __name__ == "__main__":
    tell_stages(_stages)
