"""Whether a person is recalled for a request: always, where it has to do with them, or never.

Who is not recalled answers as nobody does: neither facets nor texts nor a soft prompt of theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from copersona.runtime.people.known import Known
from copersona.runtime.prompt.settings import RecallMode

if TYPE_CHECKING:
    from copersona.runtime.session.session import Session


@dataclass(frozen=True, slots=True)
class Recall:
    """What was decided for a request to a person, by which `mode`. `writing` and `own_words` are as in `Relevance`,
    None where they were not asked for."""

    mode: RecallMode
    recalled: bool
    writing: float | None = None
    own_words: float | None = None


def recall(
    session: Session, request: str, known: Known | None, mode: RecallMode, earlier: str = ""
) -> tuple[Known | None, Recall | None]:
    """The person as far as this request is answered from them (None: as nobody), and why; of nobody nothing is decided.
    `earlier` is the request before this one in a conversation."""
    if known is None:
        return None, None
    if mode != "relevant":
        return (known if mode == "always" else None), Recall(mode, mode == "always")
    found = session.bundle.examples.relevance(request, known.history, earlier)
    numbers = (None if value is None else round(value, 4) for value in (found.writing, found.own_words))
    return (known if found.relevant else None), Recall(mode, found.relevant, *numbers)
