"""Every bundle as a model of the program `llm`: a person as an option, conversations, streaming, schemas, vectors.

    llm -m copersona -o person ana "Write a review. Title: good strings"
    llm embed -m copersona-encoder -c "good strings"

`copersona` is the demo's bundle. Each bundle, or GGUF, in the folder `bundles` beside the people store (links count) is
`copersona/NAME`. What is typed is a request and no evidence; the store learns nothing of it, `llm` keeps its own log.
"""

from __future__ import annotations

import atexit
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import llm
from llm.models import EmbeddingModel
from pydantic import Field

from copersona.runtime.chat.ask import Message
from copersona.runtime.common.errors import CoPersonaError
from copersona.runtime.common.places import data_home

if TYPE_CHECKING:
    from copersona.runtime.session.session import Session

NAME = "copersona"


@llm.hookimpl
def register_models(register: Callable[[llm.Model], None]) -> None:
    """Called by `llm` at its start, so nothing is opened."""
    for name, folder in bundles().items():
        register(BundleModel(name, folder))


@llm.hookimpl
def register_embedding_models(register: Callable[[EmbeddingModel], None]) -> None:
    """The encoder of each."""
    for name, folder in bundles().items():
        register(BundleEncoder(f"{name}-encoder", folder))


def bundles() -> dict[str, Path | None]:
    """Names of models and their bundles or GGUFs; None is the demo's bundle."""
    folder = data_home() / "bundles"
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    named = {f"{NAME}/{path.name.removesuffix('.gguf')}": path for path in found if not path.name.startswith(".")}
    return {NAME: None, **named}


class BundleModel(llm.Model):
    """A bundle that answers as a person of this device, or as nobody."""

    can_stream = True
    supports_schema = True

    class Options(llm.Options):
        """What `-o NAME VALUE` may say."""

        person: str | None = Field(None, description="Who answers: a name in the people store. Without it nobody.")
        recall: Literal["always", "relevant", "never"] = Field(
            "relevant", description="When the person is recalled: always, where the request has to do with them, never."
        )
        temperature: float = Field(0.8, ge=0, le=2, description="0 always takes the likeliest token.")
        top_p: float = Field(0.95, gt=0, le=1, description="Tokens are drawn from the likeliest of this sum.")
        max_tokens: int = Field(256, ge=1, le=1 << 20, description="Tokens of an answer at most.")
        seed: int = Field(0, ge=0, lt=(1 << 32) - 1, description="The same seed gives the same answer.")

    def __init__(self, model_id: str, folder: Path | None) -> None:
        self.model_id, self._folder = model_id, folder

    def execute(
        self, prompt: llm.Prompt, stream: bool, response: llm.Response, conversation: llm.Conversation | None
    ) -> Iterator[str]:
        """The pieces of the answer; the record of how it came to be is the response's JSON."""
        from copersona.runtime.chat.schema_grammar import schema_grammar
        from copersona.runtime.engine.sampling import Sampling
        from copersona.runtime.people.store import PeopleStore
        from copersona.runtime.session.conversing import converse

        said: Any = prompt.options
        with one_line(), PeopleStore() as store:
            session = opened(self._folder)
            grammar = None if prompt.schema is None else schema_grammar(prompt.schema)
            sampling = Sampling(said.temperature, said.top_p, said.max_tokens, said.seed)
            known = None if said.person is None else session.person(store, store.find(said.person))
            turned = converse(session, messages(prompt), known, sampling, grammar, mode=said.recall)
            pieces = 0
            for piece in session.engine.answer(turned.wanted):
                pieces += 1
                yield piece.text
            response.set_usage(input=turned.positions, output=pieces)
            response.response_json = json.loads(replace(turned.receipt(), pieces=pieces).to_json())


class BundleEncoder(EmbeddingModel):
    """The sentence encoder of a bundle."""

    def __init__(self, model_id: str, folder: Path | None) -> None:
        self.model_id, self._folder = model_id, folder

    def embed_batch(self, items: Iterable[str | bytes], *, key: str | None = None) -> Iterator[list[float]]:
        """A unit vector of each text."""
        with one_line():
            encoder = opened(self._folder).encoder
            for item in items:
                yield encoder.encode(str(item)).tolist()


def messages(prompt: llm.Prompt) -> tuple[Message, ...]:
    """The turns of a conversation with the new one; of instructions the latest, which stands first."""
    found: list[Message] = []
    for one in prompt.messages:
        text = "".join(getattr(part, "text", "") for part in one.parts)
        if one.role == "system":
            found = [Message("system", text), *(other for other in found if other.role != "system")]
        elif one.role == "user" or one.role == "assistant":
            found.append(Message("user" if one.role == "user" else "assistant", text))
    return tuple(found)


@contextmanager
def one_line() -> Iterator[None]:
    """What goes wrong is `llm`'s own error, which it shows as one line."""
    try:
        yield
    except (CoPersonaError, ValueError) as error:
        raise llm.ModelError(str(error)) from None


@cache
def opened(folder: Path | None) -> Session:
    """The session of a bundle, open until the program ends."""
    from copersona.runtime.demo.data import demo_bundle
    from copersona.runtime.serve.served_bundle import served_bundle
    from copersona.runtime.session.session import open_bundle

    return _open_until_the_end.enter_context(open_bundle(served_bundle(folder, lambda: demo_bundle(None))))


_open_until_the_end = ExitStack()
atexit.register(_open_until_the_end.close)
