"""What the server answers: the table of its routes, and what each of them does."""

from __future__ import annotations

import asyncio
import base64
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from copersona.runtime.common.errors import UnknownPerson
from copersona.runtime.people.store import PeopleStore
from copersona.runtime.prompt.conversation import TooLong
from copersona.runtime.prompt.settings import RecallMode
from copersona.runtime.serve.answering import answered, as_json
from copersona.runtime.serve.chat_body import ChatBody, read_chat
from copersona.runtime.serve.completion_body import read_completion
from copersona.runtime.serve.embedding_body import read_embedding
from copersona.runtime.serve.fault import Fault, unknown_person
from copersona.runtime.serve.fields import read_body
from copersona.runtime.serve.form import Form
from copersona.runtime.serve.job import Job, Ready
from copersona.runtime.serve.keeping import Keeper, Keeping, KeptLine
from copersona.runtime.serve.line import Line
from copersona.runtime.serve.naming import ENCODER, MODEL, PLAIN, model_of, person_of, said_by
from copersona.runtime.serve.response_form import ResponseForm
from copersona.runtime.serve.responses_body import read_responses
from copersona.runtime.serve.side_tasks import is_side_task
from copersona.runtime.serve.worker import Worker
from copersona.runtime.session.conversing import converse, go_on
from copersona.runtime.session.session import Session

SIDE = ("a front end's",)  # whose turn its own requests take
LOOK_UP = 16  # texts between two looks at whether the client is still there


class Routes:
    """The routes of one worker; `recall` is when a person is recalled for a request that does not say."""

    def __init__(self, worker: Worker, recall: RecallMode = "always") -> None:
        self._recall = recall
        self._worker, self._since = worker, int(time.time())
        self._encoding = asyncio.Semaphore(1)
        self._keeper = Keeper()

    def table(self) -> list[Route]:
        """All of them."""
        return [
            Route("/health", self.health, methods=["GET"]),
            Route("/v1/models", self.models, methods=["GET"]),
            Route("/v1/models/{model:path}", self.model, methods=["GET"]),
            Route("/v1/chat/completions", self.chat, methods=["POST"]),
            Route("/v1/responses", self.responses, methods=["POST"]),
            Route("/v1/completions", self.completion, methods=["POST"]),
            Route("/v1/embeddings", self.embeddings, methods=["POST"]),
        ]

    async def health(self, request: Request) -> Response:
        """Whether it answers, or what is being loaded."""
        if self._worker.loading:
            return as_json({"status": "loading", "loading": self._worker.loading}, 503)
        return as_json({"status": "ok"})

    async def models(self, request: Request) -> Response:
        """Nobody, whoever is named, and each person."""
        people = await asyncio.to_thread(self._worker.store.people)
        ids = [MODEL, PLAIN, *(model_of(person.name) for person in people)]
        return as_json({"object": "list", "data": [self._model(id_) for id_ in ids]})

    async def model(self, request: Request) -> Response:
        """One of them."""
        id_ = request.path_params["model"]
        if id_ != ENCODER:
            await self._find(person_of(id_, {}))
        return as_json(self._model(id_))

    def _model(self, id_: str) -> dict[str, Any]:
        return {"id": id_, "object": "model", "created": self._since, "owned_by": MODEL}

    async def chat(self, request: Request) -> Response:
        """An answer to a conversation, as a person or as nobody."""
        body = read_chat(read_body(await request.body()), said_by(request))
        job, line, ours = await self._conversation(body)
        form = Form("chat", body.model, self._fingerprint(), ours, body.sent.usage)
        return await answered(self._worker, job, line, request, form, body.sent.stream)

    async def responses(self, request: Request) -> Response:
        """The same in the words of the newer API, of which nothing is kept either."""
        body = read_responses(read_body(await request.body()), said_by(request))
        job, line, ours = await self._conversation(body.chat, whole=body.whole)
        form = ResponseForm(body.chat.model, body.told, ours)
        return await answered(self._worker, job, line, request, form, body.chat.sent.stream)

    async def _conversation(self, body: ChatBody, *, whole: bool = False) -> tuple[Job, Line, dict[str, Any]]:
        """The job of an answer to a conversation, its line, and what is said of it under "copersona"; where it is to be
        read `whole`, no turn is left out. Raises Fault."""
        person = await self._find(body.person)
        keeping = body.keeping
        aside = keeping is None and is_side_task(body.messages)
        person = None if aside else person
        ours = _ours(body, person, aside)
        line = Line() if keeping is None else self._kept_line(keeping, body, ours)

        def prepare(session: Session, store: PeopleStore) -> Ready:
            known = None if person is None else session.person(store, person)
            earlier = [] if keeping is None else keeping.earlier(store)
            said, mode = [*body.messages[:-1], *earlier, body.messages[-1]], body.recall or self._recall
            turned = converse(session, said, known, body.sampling, body.grammar, body.begun, mode, body.guard)
            if whole and turned.left_out:
                raise TooLong(f"{turned.left_out} earlier turns do not fit, and truncation is disabled")
            receipt = turned.receipt if body.receipt or keeping is not None else None
            return Ready(turned.wanted, turned.positions, turned.left_out, receipt)

        return Job(SIDE if aside else person, prepare, line.tell, body.stops), line, ours

    def _kept_line(self, keeping: Keeping, body: ChatBody, ours: dict[str, Any]) -> Line:
        bundle, said = self._worker.session.manifest.bundle_id, body.messages[-1].content
        store, begun = self._worker.store, body.begun
        return KeptLine(store, self._keeper, keeping, said, bundle, ours=ours, receipt=body.receipt, begun=begun)

    async def completion(self, request: Request) -> Response:
        """A text that the model goes on with, as nobody."""
        body = read_completion(read_body(await request.body()), said_by(request))
        line = Line()
        job = Job(None, lambda session, _: Ready(*go_on(session, body.text, body.sampling)), line.tell, body.stops)
        ours = {"person": None, "seed": body.sampling.seed}
        form = Form("completion", body.model, self._fingerprint(), ours, body.sent.usage)
        return await answered(self._worker, job, line, request, form, body.sent.stream)

    async def embeddings(self, request: Request) -> Response:
        """Vectors of texts, by the bundle's encoder, one text at a time."""
        body = read_embedding(read_body(await request.body()))
        encoder = self._worker.session.encoder
        if body.dimensions not in (None, encoder.width):
            raise Fault(400, f"dimensions must be {encoder.width}", param="dimensions", code="unsupported_parameter")
        data, tokens, cut = [], 0, []
        for number, text in enumerate(body.texts):
            if not number % LOOK_UP and await request.is_disconnected():
                return Response(status_code=499)
            async with self._encoding:
                vector = await asyncio.to_thread(encoder.encode, text)
            count, more = encoder.tokens(text)
            tokens += count
            cut += [number] if more else []
            raw = vector.astype("<f4")
            said: Any = base64.b64encode(raw.tobytes()).decode() if body.base64 else raw.tolist()
            data.append({"object": "embedding", "index": number, "embedding": said})
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        ours = {"cut": cut}
        return as_json({"object": "list", "data": data, "model": body.model, "usage": usage, "copersona": ours})

    def _fingerprint(self) -> str:
        return f"fp_{self._worker.session.manifest.bundle_id[:12]}"

    async def _find(self, person: str | None) -> str | None:
        """The name as the store has it. Raises Fault where nobody has it."""
        store = self._worker.store
        try:
            return None if person is None else await asyncio.to_thread(store.find, person)
        except UnknownPerson as error:
            raise unknown_person(error) from None


def _ours(body: ChatBody, person: str | None, aside: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"person": person, "seed": body.sampling.seed}
    return found | {"side_task": True} if aside else found
