"""copersona's runtime: open a bundle, know a person, answer as they would.

    from copersona import runtime

    with runtime.open_bundle("bundle/") as session:
        known = session.know(history)
        for piece in session.answer("Write a review.\\nTitle: good strings", known):
            print(piece, end="")

Importing this loads neither the language model's library nor the encoder's; they are loaded at first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from copersona.runtime.common.errors import (
    BundleError,
    CoPersonaError,
    ExportError,
    FacetError,
    HistoryError,
    ModelError,
    PersonError,
)
from copersona.runtime.history.interactions import History, Interaction

if TYPE_CHECKING:
    from copersona.runtime.engine.engine import Sampling
    from copersona.runtime.people.store import PeopleStore
    from copersona.runtime.session.session import Answer, Known, Score, Session, open_bundle

__all__ = [
    "Answer",
    "BundleError",
    "CoPersonaError",
    "ExportError",
    "FacetError",
    "History",
    "HistoryError",
    "Interaction",
    "Known",
    "ModelError",
    "PeopleStore",
    "PersonError",
    "Sampling",
    "Score",
    "Session",
    "open_bundle",
]

_LAZY = {
    "Sampling": "engine.sampling",
    "PeopleStore": "people.store",
    "Answer": "session.session",
    "Known": "session.session",
    "Score": "session.session",
    "Session": "session.session",
    "open_bundle": "session.session",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
