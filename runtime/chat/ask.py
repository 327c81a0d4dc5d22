"""What is asked of a language model and what it answers, whatever the model is and wherever it runs.

An `Ask` is complete: the same ask of the same model may be answered from memory. Text from people stands in it as JSON,
never as instructions. Knows nothing of servers (`endpoint.py`), of files (`local_model.py`) or of what it costs
(`ledger.py`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, Protocol

from copersona.runtime.common.strict_json import first_object

JsonSchema = Mapping[str, Any]
"""A JSON schema: objects with every property required, arrays, strings, enums and integers."""


class Message(NamedTuple):
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: messages, the JSON that may answer it, and how it is sampled.

    `prompt` names the wording and its version, so that a reworded prompt asks anew.
    """

    prompt: str
    messages: tuple[Message, ...]
    schema: JsonSchema
    max_tokens: int
    temperature: float = 0.2
    seed: int = 0

    def key(self, model: str) -> str:
        """Hash of everything that the answer of the model of that name depends on."""
        body = json.dumps([model, asdict(self)], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(body.encode("utf-8", "surrogatepass")).hexdigest()


class Reply(NamedTuple):
    """What came back, as text, and what it took; zeros where the server does not say."""

    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0


class ChatModel(Protocol):
    """A language model that can be asked."""

    @property
    def name(self) -> str:
        """Which model it is, the same for the same answers; no address and no key."""
        ...

    def complete(self, ask: Ask) -> Reply:
        """One call.

        Raises:
            ModelBusy: it may go well if it is made again.
            ModelRefused: it will not go well for this ask.
            ModelError: it will not go well for any.
        """
        ...


def read_answer(text: str) -> dict[str, Any]:
    """The JSON object that an answer is, or is wrapped around: some models talk before and after it.

    Raises:
        ValueError: there is none; the message says what is wrong with it, not what stands in it.
    """
    text = text.rpartition("</think>")[2]
    if "{" not in text:
        raise ValueError("the answer holds no JSON object")
    try:
        return first_object(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"the answer is not JSON: {error.msg} at character {error.pos + 1} of the object") from None
    except RecursionError:
        raise ValueError("the answer is nested too deeply") from None


def is_answer(text: str) -> bool:
    """Whether `read_answer` finds an object."""
    try:
        read_answer(text)
    except ValueError:
        return False
    return True


def object_schema(properties: Mapping[str, JsonSchema]) -> JsonSchema:
    """An object with exactly these properties, all required."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }
