"""What the page asks of people: who is here, how one of them is known, and the texts that an answer was made from.

Peers are told by how alike they are, never by name.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from copersona.runtime.history.interactions import Interaction
from copersona.runtime.importing.recognise import FORMATS
from copersona.runtime.serve.answering import as_json
from copersona.runtime.serve.fault import Fault
from copersona.runtime.serve.sent import sent
from copersona.runtime.serve.upload import MOST
from copersona.runtime.serve.worker import Worker
from copersona.runtime.session.portrait import FacetMove, FacetShown, Portrait, moved, portrait

PAGE = 200  # people in one list
MOST_TEXTS = 64


class PersonRoutes:
    """These routes of one worker."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def table(self) -> list[Route]:
        """All of them."""
        people = "/copersona/v1/people"
        return [
            Route("/copersona/v1", self.about, methods=["GET"]),
            Route(people, self.people, methods=["GET"]),
            Route(people + "/{person:path}/persona", self.persona, methods=["GET"]),
            Route(people + "/{person:path}/moved", self.moved, methods=["GET"]),
            Route(people + "/{person:path}/texts", self.texts, methods=["GET"]),
        ]

    async def about(self, request: Request) -> Response:
        """The bundle that answers, and where people are kept."""
        manifest = self._worker.session.manifest
        return as_json(
            {
                "model": str(manifest.settings.get("base", "")),
                "trained": manifest.trained,
                "bundle": manifest.bundle_id,
                "population": manifest.population_id,
                "store": str(self._worker.store.path),
                "people": await asyncio.to_thread(self._worker.store.count),
                "exports": [one.title for one in FORMATS.values()],
                "most_upload": MOST,
            }
        )

    async def people(self, request: Request) -> Response:
        """Everyone by name, so many behind `after`."""
        after = request.query_params.get("after", "")
        found = await asyncio.to_thread(lambda: self._worker.store.people(after=after, limit=PAGE + 1))
        rows = [{"name": p.name, "texts": p.interactions, "first": p.first, "last": p.last} for p in found[:PAGE]]
        return as_json({"people": rows, "more": len(found) > PAGE})

    async def persona(self, request: Request) -> Response:
        """A person's facets, with quotes and what is lent to them."""
        person = request.path_params["person"]

        def do(session: Any, store: Any) -> dict[str, Any]:
            known = session.person(store, person)
            return {"person": known.name, **_portrait(portrait(session, known)), "last": known.revision}

        return as_json(await sent(self._worker, request, person, do))

    async def moved(self, request: Request) -> Response:
        """What the person's last text moved."""
        person = request.path_params["person"]

        def do(session: Any, store: Any) -> dict[str, Any]:
            found = moved(session, session.person(store, person))
            facets = [_move(move) for move in found.facets]
            return {"facets": facets, "came": len(found.came), "went": len(found.went)}

        return as_json(await sent(self._worker, request, person, do))

    async def texts(self, request: Request) -> Response:
        """The person's own texts of these digests, each as `digest` in the query."""
        person, wanted = request.path_params["person"], request.query_params.getlist("digest")
        if not 0 < len(wanted) <= MOST_TEXTS:
            raise Fault(400, f"{len(wanted)} texts are asked for, expected 1 to {MOST_TEXTS}", param="digest")

        def do(session: Any, store: Any) -> dict[str, Any]:
            history = session.person(store, person).history
            return {"texts": [_text(one) for one in history if one.digest in wanted]}

        return as_json(await sent(self._worker, request, person, do))


def _portrait(found: Portrait) -> dict[str, Any]:
    quoted = {quote: _text(one) for quote, one in found.sources.items()}
    return {
        "texts": found.texts,
        "facets": [
            {**_facet(facet), "quotes": [{"quote": quote, "from": quoted.get(quote)} for quote in facet.quotes]}
            for facet in found.facets
        ],
        "neighbors": list(found.neighbors),
        "now": time.time(),
    }


def _facet(facet: FacetShown) -> dict[str, Any]:
    lent = [{"similarity": one.similarity, "says": one.says, "in_prompt": one.in_prompt} for one in facet.lent]
    return {
        "facet": facet.facet,
        "says": facet.says,
        "reliability": facet.reliability,
        "own": facet.own,
        "lacking": facet.lacking,
        "corrected": facet.corrected,
        "left_out": facet.left_out,
        "lent": lent,
    }


def _move(move: FacetMove) -> dict[str, Any]:
    return {
        "facet": move.facet,
        "says": [move.before.says, move.after.says],
        "reliability": [move.before.reliability, move.after.reliability],
        "score": [move.score_before, move.score_after],
    }


def _text(one: Interaction) -> dict[str, Any]:
    return {"digest": one.digest, "time": one.time, "title": one.title, "text": one.output}
