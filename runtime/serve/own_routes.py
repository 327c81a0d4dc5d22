"""What people change of what is known of them: revisions, own texts, forgetting, and themselves as a file.

All that is said here is committed before it is answered. What the model's thread remembers of the person is dropped by
that thread, so that the next answer is made from what holds then.
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import time
from collections.abc import Callable
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from copersona.runtime.history.interactions import MAX_TEXT, Interaction
from copersona.runtime.people.erasing import Forgotten
from copersona.runtime.people.person_files import person_json, read_person
from copersona.runtime.people.revisions import known_facet
from copersona.runtime.people.store import PeopleStore
from copersona.runtime.people.texts import OwnText
from copersona.runtime.people.wishes import LONGEST_QUOTE, About, Revision, Target, Wishes, undone
from copersona.runtime.serve.answering import as_json
from copersona.runtime.serve.errand import Errand
from copersona.runtime.serve.fault import Fault
from copersona.runtime.serve.fields import Fields, read_body
from copersona.runtime.serve.gate import RESTORE
from copersona.runtime.serve.worker import Worker
from copersona.runtime.session.session import Session

PERSON = "/copersona/v1/people/{person:path}"
REVISIONS, TEXTS = 100, 50  # of one list
LONGEST_ASKED = 400  # characters of a name, or of words that are searched for
CHECK = "copersona people traces"

T = TypeVar("T")


class OwnRoutes:
    """These routes of one worker."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def table(self) -> list[Route]:
        """All of them; the one that takes any name comes last."""
        return [
            Route(RESTORE, self.restore, methods=["POST"]),
            Route(f"{PERSON}/revisions", self.revisions, methods=["GET"]),
            Route(f"{PERSON}/revisions", self.revise, methods=["POST"]),
            Route(f"{PERSON}/own-texts", self.own_texts, methods=["GET"]),
            Route(f"{PERSON}/texts", self.adopt, methods=["POST"]),
            Route(f"{PERSON}/export", self.export, methods=["GET"]),
            Route(f"{PERSON}/texts/{{digest}}", self.forget_text, methods=["DELETE"]),
            Route(f"{PERSON}/facets/{{facet:path}}", self.forget_facet, methods=["DELETE"]),
            Route(PERSON, self.forget, methods=["DELETE"]),
        ]

    async def revisions(self, request: Request) -> Response:
        """A person's revisions, the newest first, those before a number."""
        given = request.query_params.get("before", "")
        if given and not (given.isascii() and given.isdecimal() and len(given) < 19):
            raise Fault(400, f"before is {given[:30]!r}, expected the number of a revision", param="before")

        def found(store: PeopleStore, person: str) -> tuple[tuple[Revision, ...], int]:
            last = store.wishes(person)[0]  # first: what comes meanwhile was not seen
            return store.revisions(person), last

        rows, last = await self._asked(request, found)
        back = undone(rows)
        wanted = [one for one in reversed(rows) if not given or one.number < int(given)]
        shown = [_revision(one, one.number in back) for one in wanted[:REVISIONS]]
        return as_json({"revisions": shown, "last": last, "more": len(wanted) > REVISIONS})

    async def revise(self, request: Request) -> Response:
        """One revision more; 409 where its target was revised since `base`."""
        fields = read_body(await request.body())
        fields.only("kind", "facet", "words", "digest", "quote", "number", "base")
        base = _must(fields, fields.whole("base", 0), "base")
        made = await self._asked(request, lambda store, person: self._revise(store, person, fields, base))
        return as_json({"revision": _revision(made, False), "last": made.number}, 201)

    async def own_texts(self, request: Request) -> Response:
        """A page of what the person wrote, the latest first."""
        before, words = request.query_params.get("before") or None, request.query_params.get("q", "")
        if len(words) > LONGEST_ASKED:
            raise Fault(400, f"q has {len(words):,} characters, at most {LONGEST_ASKED}", param="q")

        def found(store: PeopleStore, person: str) -> tuple[list[OwnText], Wishes]:
            return store.own_texts(person, words, before=before, limit=TEXTS + 1), store.wishes(person)[1]

        rows, wishes = await self._asked(request, found)
        more = len(rows) > TEXTS
        shown = [_text(one, wishes) for one in rows[:TEXTS]]
        return as_json({"texts": shown, "more": more, "next": rows[TEXTS - 1].place if more else None})

    async def adopt(self, request: Request) -> Response:
        """An answer that the person edited becomes a text of theirs."""
        fields = read_body(await request.body())
        fields.only("text", "title", "answer")
        text, answer = (_must(fields, fields.text(name, MAX_TEXT), name) for name in ("text", "answer"))
        title = " ".join((fields.text("title", LONGEST_ASKED) or "").split()) or None
        given = f"Write a text: {title}" if title else "Write a text."
        one = Interaction(request.path_params["person"], text, given, time.time(), title=title)
        made = await self._asked(request, lambda store, person: store.adopt(one, answer))
        return as_json({"text": _text(made, Wishes())}, 201)

    async def export(self, request: Request) -> Response:
        """The person as a file."""
        whole = await self._asked(request, lambda store, person: store.whole(person))
        name = {"Content-Disposition": 'attachment; filename="person.json"'}
        pieces = (piece.encode("utf-8") for piece in person_json(whole))
        return StreamingResponse(pieces, media_type="application/json", headers=name)

    async def restore(self, request: Request) -> Response:
        """A person out of such a file, all or nothing; 409 where somebody of that name is here."""
        raw = await request.body()
        try:
            one = await asyncio.to_thread(lambda: read_person(raw.decode("utf-8")))
        except UnicodeDecodeError as error:
            raise Fault(400, f"the body is not UTF-8 at byte {error.start + 1}") from None
        await asyncio.to_thread(self._worker.store.restore, one)
        counts = {"texts": len(one.texts), "revisions": len(one.revisions), "conversations": len(one.conversations)}
        return as_json({"person": one.name, **counts}, 201)

    async def forget_text(self, request: Request) -> Response:
        """One text is gone to the byte."""
        digest = request.path_params["digest"]
        gone = await self._asked(request, lambda store, person: store.forget_text(person, digest))
        return await self._forgotten(request, gone, {"texts": gone.interactions, "vectors": gone.vectors}, CHECK)

    async def forget_facet(self, request: Request) -> Response:
        """What was said of a facet is gone to the byte, and the facet left out."""
        facet = known_facet(request.path_params["facet"], self._worker.session.schema.names)
        gone = await self._asked(request, lambda store, person: store.forget_facet(person, facet))
        return await self._forgotten(request, gone, {}, CHECK)

    async def forget(self, request: Request) -> Response:
        """Everything about a person is gone to the byte."""
        gone = await self._asked(request, lambda store, person: store.forget(person))
        counts = {"texts": gone.interactions, "vectors": gone.vectors, "chats": gone.chats}
        return await self._forgotten(request, gone, counts, f"{CHECK} {shlex.quote(request.path_params['person'])}")

    # -- inside -----------------------------------------------------------------------------------------------------

    async def _asked(self, request: Request, do: Callable[[PeopleStore, str], T]) -> T:
        """What the store found of, or made for, the person of the path."""
        store, person = self._worker.store, request.path_params["person"]
        return await asyncio.to_thread(lambda: do(store, store.find(person)))

    def _revise(self, store: PeopleStore, person: str, fields: Fields, base: int) -> Revision:
        kind = fields.text("kind", LONGEST_ASKED)
        if kind == "undo":
            return store.undo(person, _must(fields, fields.whole("number", 1), "number"), base)
        if kind == "pin":
            return store.pin(person, _must(fields, fields.text("digest", LONGEST_ASKED), "digest"), base)
        if kind not in ("correct", "leave_out"):
            shown = "missing" if kind is None else repr(kind[:30])
            raise Fault(400, f"kind is {shown}, expected correct, pin, leave_out or undo", param="kind")
        abouts: tuple[About, ...] = ("facet",) if kind == "correct" else ("facet", "digest", "quote")
        given = [about for about in abouts if fields.has(about)]
        if len(given) != 1:
            raise Fault(400, f"{kind} needs one of {', '.join(abouts)}, {len(given)} are given", param=abouts[0])
        name = _must(fields, fields.text(given[0], 4 * LONGEST_QUOTE), given[0])
        if given[0] == "facet":
            name = known_facet(name, self._worker.session.schema.names)
        if kind == "correct":
            return store.correct(person, name, _must(fields, fields.text("words"), "words"), base)
        return store.leave_out(person, Target(given[0], name), base)

    async def _forgotten(self, request: Request, gone: Forgotten, counts: dict[str, int], check: str) -> Response:
        """The receipt, once the model's thread remembers nothing of it either."""
        person = request.path_params["person"]

        def drop(session: Session, _: PeopleStore) -> None:
            session.personas.forget(person)
            session.prefixes.forget(person)

        errand = Errand(person, drop)
        with contextlib.suppress(Fault):  # it is forgotten all the same, and opened anew when next asked for
            self._worker.submit(errand)
            await errand.result
        removed = counts | {"revisions": gone.revisions, "receipts": gone.receipts}
        more = {"elsewhere": gone.elsewhere, "pending": bool(gone.pending), "left": gone.left}
        return as_json({"removed": removed, "check": check, **more, "outputs": [str(path) for path in gone.outputs]})


def _must(fields: Fields, value: T | None, name: str) -> T:
    """A field that has to be there. Raises Fault."""
    if value is None:
        raise Fault(400, f"{name} is missing", param=name)
    return value


def _revision(one: Revision, back: bool) -> dict[str, Any]:
    targets = {about: one.target.name if one.target.about == about else None for about in ("facet", "digest", "quote")}
    said = {"words": one.words or None, "undone": back, "undoes": one.undoes}
    return {"number": one.number, "time": one.time, "kind": one.kind, **targets, **said}


def _text(one: OwnText, wishes: Wishes) -> dict[str, Any]:
    return {
        "digest": one.digest,
        "time": one.time,
        "title": one.title,
        "text": one.text,
        "pinned": one.digest in wishes.pinned,
        "left_out": one.digest in wishes.left_texts,
        "adopted": one.adopted,
    }
