"""Whether an answer is one to rely on: where neither the person's nor nobody's is confident, the answer says so.

Confidence is the mean log-probability of an answer's tokens, before any sampling; the bundle's guard has the threshold.
Nothing is told before both are made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from copersona.runtime.common.errors import BundleError
from copersona.runtime.engine.engine import Wanted
from copersona.runtime.engine.sampling import Sampling
from copersona.runtime.people.known import Known

if TYPE_CHECKING:
    from copersona.runtime.session.session import Session

UNSURE = "I am not sure."


@dataclass(frozen=True, slots=True)
class Confidence:
    """Mean log-probability a token, in nats, of the answer and, where that is below `least`, of nobody's; `abstained`
    is whether both are."""

    least: float
    answer: float
    plain: float | None
    abstained: bool


class Doubt:
    """The doubt of one answer to a request; `found` is there when the answer is told.

    Raises:
        BundleError: the bundle's guard has no threshold.
    """

    def __init__(self, session: Session, request: str, known: Known | None, sampling: Sampling) -> None:
        bundle = session.bundle
        if bundle.guard is None or bundle.guard.abstain is None:
            raise BundleError(f"{bundle.folder}: has no guard with a threshold, so that no answer can abstain")
        self._session, self._request, self._known, self._sampling = session, request, known, sampling
        self._least = bundle.guard.abstain
        self.found: Confidence | None = None

    def told(self, wanted: Wanted) -> Iterator[str]:
        """The texts of the answer to what is wanted, or that it is not sure."""
        texts, mine = self._made(wanted)
        plain = self._made(self._nobody())[1] if mine < self._least and self._known is not None else None
        unsure = max(mine, mine if plain is None else plain) < self._least
        self.found = Confidence(self._least, round(mine, 4), None if plain is None else round(plain, 4), unsure)
        yield from [UNSURE] if unsure else texts

    def _nobody(self) -> Wanted:
        session = self._session
        return session.wanted(session.prompt(self._request, None), None, self._sampling)

    def _made(self, wanted: Wanted) -> tuple[list[str], float]:
        """Texts and mean log-probability; of no tokens at all it is 0, as that the model ends at once is no doubt."""
        pieces = list(self._session.engine.answer(wanted._replace(weighed=True)))
        logs = [piece.log for piece in pieces if piece.log is not None]
        return [piece.text for piece in pieces], sum(logs) / max(len(logs), 1)
