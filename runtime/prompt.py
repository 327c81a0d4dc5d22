"""The prompt of a person, by one function for the device, for training and for measuring, so that it cannot drift."""

from __future__ import annotations

from copersona.runtime.context import Layout, Prompt
from copersona.runtime.interactions import History
from copersona.runtime.persona import Persona
from copersona.runtime.profiler import Encode
from copersona.runtime.retrieval import select


def person_prompt(layout: Layout, request: str, history: History, persona: Persona, encode: Encode) -> Prompt:
    """The request to someone with this history and persona, as the layout's settings want it. `encode` is called only
    where matching needs vectors."""
    found = select(history, request, layout.settings, encode)
    return layout.prompt(
        request,
        facets=persona.facets,
        peers=persona.peers,
        recent=found.recent,
        matched=found.matched,
        places=found.places,
    )
