"""The prompt of a person, by one function for the device, for training and for measuring, so that it cannot drift."""

from __future__ import annotations

from copersona.runtime.history.interactions import History
from copersona.runtime.persona.persona import Persona
from copersona.runtime.profile.profiler import Encode
from copersona.runtime.prompt.layout import Fixed, Layout, Prompt
from copersona.runtime.prompt.retrieval import matched, places, recent


def person_prompt(layout: Layout, request: str, history: History, persona: Persona, encode: Encode) -> Prompt:
    """The request to someone with this history and persona, as the layout's settings want it. `encode` is called only
    where matching needs vectors."""
    return request_prompt(layout, fixed_prompt(layout, history, persona), request, history, encode)


def fixed_prompt(layout: Layout, history: History, persona: Persona, pinned: History = ()) -> Fixed:
    """The part of it that no request changes. `pinned` texts come first, and the history is what else there is."""
    return layout.fixed(
        pinned=pinned,
        facets=persona.facets,
        peers=persona.peers,
        recent=recent(history, layout.settings.recent),
        places=places(history, layout.settings),
    )


def request_prompt(layout: Layout, fixed: Fixed, request: str, history: History, encode: Encode) -> Prompt:
    """The whole of it, for one request."""
    return layout.complete(fixed, request, matched(history, request, layout.settings, encode))
