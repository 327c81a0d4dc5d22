"""The JSON that answers have: whole, or as the chunks of a stream."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field
from typing import Any, Literal

from copersona.runtime.serve.job import Begun, Ended


@dataclass(frozen=True, slots=True)
class Form:
    """One answer's: of a chat or of a completion. `ours` is what stands under "copersona"."""

    kind: Literal["chat", "completion"]
    model: str
    fingerprint: str
    ours: dict[str, Any]
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, text: str, begun: Begun, ended: Ended) -> dict[str, Any]:
        """The answer as one object."""
        said: dict[str, Any] = {"text": text}
        if self.kind == "chat":
            said = {"message": {"role": "assistant", "content": text, "refusal": None}}
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": ended.reason}
        kind = "chat.completion" if self.kind == "chat" else "text_completion"
        return self._body(kind, [choice]) | {"usage": usage(begun, ended), "copersona": self._record(begun, ended)}

    def first(self) -> dict[str, Any] | None:
        """The chunk that begins a stream, if there is one."""
        return (
            self.chunk({"role": "assistant", "content": ""}) | {"copersona": self.ours} if self.kind == "chat" else None
        )

    def text(self, text: str) -> dict[str, Any]:
        """The chunk of some text."""
        return self.chunk({"content": text} if self.kind == "chat" else text)

    def last(self, begun: Begun, ended: Ended) -> dict[str, Any]:
        """The chunk that says why the answer ended."""
        found = self.chunk({} if self.kind == "chat" else "", ended.reason)
        return found | {"copersona": self._record(begun, ended)}

    def usage(self, begun: Begun, ended: Ended) -> dict[str, Any]:
        """The chunk of the tokens that it took, which has no choice."""
        return self._body(self._chunk_kind, []) | {"usage": usage(begun, ended)}

    def chunk(self, delta: dict[str, Any] | str, reason: str | None = None) -> dict[str, Any]:
        """A chunk of a stream."""
        said = {"text": delta} if isinstance(delta, str) else {"delta": delta}
        return self._body(self._chunk_kind, [{"index": 0, **said, "logprobs": None, "finish_reason": reason}])

    @property
    def _chunk_kind(self) -> str:
        return "chat.completion.chunk" if self.kind == "chat" else "text_completion"

    def _record(self, begun: Begun, ended: Ended) -> dict[str, Any]:
        found = {**self.ours, "left_out": begun.left_out}
        if ended.receipt is not None:
            found["receipt"] = json.loads(ended.receipt.to_json())
        return found

    def _body(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        name = ("chatcmpl-" if self.kind == "chat" else "cmpl-") + self.id
        return {
            "id": name,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
            "choices": choices,
        }


def usage(begun: Begun, ended: Ended) -> dict[str, int]:
    """Positions of the prompt, soft prompt included, and tokens of the answer."""
    return {
        "prompt_tokens": begun.positions,
        "completion_tokens": ended.tokens,
        "total_tokens": begun.positions + ended.tokens,
    }


def line_of(body: dict[str, Any]) -> bytes:
    """A chunk as one event of a stream."""
    return b"data: " + encoded(body) + b"\n\n"


def encoded(body: dict[str, Any]) -> bytes:
    """JSON in UTF-8; what is no text becomes signs."""
    return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")
