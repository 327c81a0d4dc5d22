"""copersona's runtime: open a bundle, open a person, answer as they would.

    from copersona import runtime

    with runtime.open_bundle("bundle/") as session, runtime.PeopleStore() as people:
        session.add(people, runtime.read_history("history.jsonl"))
        ana = session.person(people, "ana")
        for piece in session.answer("Write a review.\\nTitle: good strings", ana):
            print(piece, end="")

Importing this loads neither the language model's library nor the encoder's; they are loaded at first use. It switches
off the telemetry of onnxruntime for the process, as long as that was not imported before.
"""

from __future__ import annotations

import os
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

os.environ["ORT_DISABLE_TELEMETRY"] = (
    "1"  # read when onnxruntime is imported; else it writes a device id and looks up its maker
)

if TYPE_CHECKING:
    from copersona.runtime.demo.data import demo_folder
    from copersona.runtime.engine.sampling import Sampling
    from copersona.runtime.history.importers import read_history
    from copersona.runtime.people.known import Known
    from copersona.runtime.people.store import PeopleStore
    from copersona.runtime.session.answers import Answer, Asked, Score
    from copersona.runtime.session.receipt import Receipt
    from copersona.runtime.session.session import Session, open_bundle

    __version__: str

__all__ = [
    "Answer",
    "Asked",
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
    "Receipt",
    "Sampling",
    "Score",
    "Session",
    "__version__",
    "demo_folder",
    "open_bundle",
    "read_history",
]

_LAZY = {
    "Answer": "session.answers",
    "Asked": "session.answers",
    "Known": "people.known",
    "PeopleStore": "people.store",
    "Receipt": "session.receipt",
    "Sampling": "engine.sampling",
    "Score": "session.answers",
    "Session": "session.session",
    "demo_folder": "demo.data",
    "open_bundle": "session.session",
    "read_history": "history.importers",
}
"""Where the names are that are loaded when they are first asked for."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("copersona")
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
