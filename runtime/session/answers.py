"""What is asked of a session, and what comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

from copersona.runtime.engine.sampling import Sampling
from copersona.runtime.people.known import Known
from copersona.runtime.prompt.settings import GuardMode
from copersona.runtime.session.receipt import Receipt


@dataclass(frozen=True, slots=True)
class Asked:
    """One of several requests: `known` None is nobody, `person` the name that the receipt bears,
    `guard` a mode of the guard other than the session's."""

    id: str
    request: str
    known: Known | None
    sampling: Sampling
    person: str | None = None
    guard: GuardMode | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """How well the model expects a text: bits, UTF-8 bytes and tokens of it, the end of the turn counted."""

    bits: float
    bytes: int
    tokens: int

    @property
    def bits_per_byte(self) -> float:
        """Bits a UTF-8 byte of the text."""
        return self.bits / max(self.bytes, 1)


class Answer:
    """A stream of text; iterate it once. `receipt` is there when the stream has ended, `text` holds what came so
    far. `request_cut` tokens of the request's middle did not fit its room and were left out."""

    def __init__(self, pieces: Iterable[str], receipt: Callable[[], Receipt], request_cut: int = 0) -> None:
        self._pieces = pieces
        self._make_receipt = receipt
        self.request_cut = request_cut
        self._parts: list[str] = []
        self.done = False

    def __iter__(self) -> Iterator[str]:
        for piece in self._pieces:
            self._parts.append(piece)
            yield piece
        self.done = True

    @property
    def text(self) -> str:
        """What came so far, without blanks around it."""
        return "".join(self._parts).strip()

    @cached_property
    def receipt(self) -> Receipt:
        """The record of this answer. Raises RuntimeError before the stream has ended."""
        if not self.done:
            raise RuntimeError("the receipt is there when the answer has ended")
        return replace(self._make_receipt(), pieces=len(self._parts))

    def finish(self) -> Self:
        """Read the stream to its end."""
        for _ in self:
            pass
        return self
