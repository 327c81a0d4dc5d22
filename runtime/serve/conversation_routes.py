"""Kept conversations by HTTP: listed, read, searched, renamed, exported, imported, deleted.

A person's own alone: each request names the person, by `?person=` or by the header.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from copersona.runtime.common.errors import UnknownConversation
from copersona.runtime.people.conversation_files import (
    LONGEST_LINE,
    Whole,
    export_json,
    export_markdown,
    read_export,
)
from copersona.runtime.people.conversations import NUMBERS, Conversation, KeptMessage
from copersona.runtime.people.store import PeopleStore
from copersona.runtime.serve.answering import as_json
from copersona.runtime.serve.fault import Fault
from copersona.runtime.serve.fields import as_text, read_body
from copersona.runtime.serve.naming import MODEL, person_of, said_by
from copersona.runtime.serve.worker import Worker

PATH = "/copersona/v1/conversations"
PAGE, MOST = 50, 500  # conversations or messages of a list


class ConversationRoutes:
    """The routes of one worker's store."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def table(self) -> list[Route]:
        """All of them."""
        return [
            Route(PATH, self.listed, methods=["GET"]),
            Route(f"{PATH}/search", self.search, methods=["GET"]),
            Route(f"{PATH}/export", self.export, methods=["GET"]),
            Route(f"{PATH}/import", self.take, methods=["POST"]),
            Route(f"{PATH}/{{id}}", self.one, methods=["GET"]),
            Route(f"{PATH}/{{id}}", self.rename, methods=["PATCH"]),
            Route(f"{PATH}/{{id}}", self.delete, methods=["DELETE"]),
        ]

    async def listed(self, request: Request) -> Response:
        """A page of conversations, the last changed first."""
        store, person = self._asked(request)
        before, limit = request.query_params.get("before"), _number(request, "limit", PAGE, MOST)
        found = await asyncio.to_thread(store.conversations, person, before=before, limit=limit + 1)
        return _page([_row(one) for one in found], limit)

    async def search(self, request: Request) -> Response:
        """A page of messages that hold all words of `q`, the latest first."""
        store, person = self._asked(request)
        words = as_text(request.query_params.get("q"), "q", LONGEST_LINE)
        before, limit = _number(request, "before", NUMBERS, NUMBERS), _number(request, "limit", PAGE, MOST)
        find = store.search_conversations
        found = await asyncio.to_thread(find, person, words, before=before, limit=limit + 1)
        return _page([{"object": "conversation.found", **asdict(one)} for one in found], limit)

    async def one(self, request: Request) -> Response:
        """A conversation with its messages."""
        store, person = self._asked(request)
        one, messages = await asyncio.to_thread(store.conversation, person, request.path_params["id"])
        return as_json({**_row(one), "messages": [_message(message) for message in messages]})

    async def rename(self, request: Request) -> Response:
        """Another title."""
        store, person = self._asked(request)
        fields = read_body(await request.body())
        fields.only("title")
        title = " ".join((fields.text("title", LONGEST_LINE) or "").split())
        if not title:
            raise Fault(400, "title is missing or blank", param="title")
        one = await asyncio.to_thread(store.rename_conversation, person, request.path_params["id"], title)
        return as_json(_row(one))

    async def delete(self, request: Request) -> Response:
        """No byte of it stays in the store; where the file is still to be rewritten, `pending` says why."""
        store, person = self._asked(request)
        id_ = request.path_params["id"]
        pending = await asyncio.to_thread(store.delete_conversation, person, id_)
        return as_json({"id": id_, "object": "conversation.deleted", "deleted": True, "pending": bool(pending)})

    async def export(self, request: Request) -> Response:
        """All conversations, or the one of `id`, as a file: JSON that `import` reads, or Markdown."""
        store, person = self._asked(request)
        kind, id_ = request.query_params.get("format", "json"), request.query_params.get("id")
        if kind not in ("json", "markdown"):
            raise Fault(400, f"format is {kind[:30]!r}, expected json or markdown", param="format")
        found = await asyncio.to_thread(store.conversations, person)
        if id_ is not None:
            found = [(await asyncio.to_thread(store.conversation, person, id_))[0]]
        write, media, end = (export_json, "application/json", "json")
        if kind == "markdown":
            write, media, end = (export_markdown, "text/markdown; charset=utf-8", "md")
        name = {"Content-Disposition": f'attachment; filename="conversations.{end}"'}
        pieces = (piece.encode("utf-8") for piece in write(_all(store, found)))
        return StreamingResponse(pieces, media_type=media, headers=name)

    async def take(self, request: Request) -> Response:
        """Conversations of an export are kept with the person; those that are there already stay as they are."""
        store, person = self._asked(request)
        raw = await request.body()
        read_body(raw)
        whole = await asyncio.to_thread(read_export, raw.decode("utf-8"), person, "the body")
        new, known = await asyncio.to_thread(store.import_conversations, person, whole)
        return as_json({"object": "conversation.imported", "new": new, "known": known})

    def _asked(self, request: Request) -> tuple[PeopleStore, str]:
        """The store, and whose conversations are asked for. Raises Fault."""
        store = self._worker.store
        person = person_of(MODEL, {**said_by(request), "person": request.query_params.get("person")})
        if person is None:
            raise Fault(400, "say whose conversations: ?person=NAME", param="person", code="person_missing")
        return store, person


def _all(store: PeopleStore, found: list[Conversation]) -> Iterator[Whole]:
    """Each with its messages, read when it is wanted; what is deleted meanwhile is left out."""
    for one in found:
        try:
            whole = store.conversation(one.person, one.id)
        except UnknownConversation:
            continue
        yield whole


def _row(one: Conversation) -> dict[str, Any]:
    return {"object": "conversation", **asdict(one)}


def _message(one: KeptMessage) -> dict[str, Any]:
    receipt = None if one.receipt is None else json.loads(one.receipt)
    return {"object": "message", **asdict(one), "receipt": receipt}


def _page(rows: list[dict[str, Any]], limit: int) -> Response:
    """A list of at most so many, and whether there are more."""
    return as_json({"object": "list", "data": rows[:limit], "has_more": len(rows) > limit})


def _number(request: Request, name: str, default: int, most: int) -> int:
    given = request.query_params.get(name)
    if given is None:
        return default
    if not given.isascii() or not given.isdecimal() or len(given) > 19 or not 1 <= int(given) <= most:
        raise Fault(400, f"{name} is {given[:30]!r}, expected 1 to {most}", param=name)
    return int(given)
