"""The JSON that answers have: whole, or as the chunks of a stream."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field
from typing import Any, Literal

from copersona.runtime.serve.fault import Fault
from copersona.runtime.serve.job import Begun, Ended


@dataclass(frozen=True, slots=True)
class Form:
    """One answer's: of a chat or of a completion. `ours` stands under "copersona"; `usage`: whether a stream ends
    with the tokens that it took."""

    kind: Literal["chat", "completion"]
    model: str
    fingerprint: str
    ours: dict[str, Any]
    usage: bool
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, text: str, begun: Begun, ended: Ended) -> dict[str, Any]:
        """The answer as one object."""
        said: dict[str, Any] = {"text": text}
        if self.kind == "chat":
            said = {"message": {"role": "assistant", "content": text, "refusal": None}}
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": ended.reason}
        kind = "chat.completion" if self.kind == "chat" else "text_completion"
        return self._body(kind, [choice]) | {
            "usage": _usage(begun, ended),
            "copersona": record(self.ours, begun, ended),
        }

    def opening(self) -> bytes:
        """What a stream begins with; it says where the turn is kept, if it is."""
        begin = {"role": "assistant", "content": ""}
        return self._chunk(begin, copersona=self.ours) if self.kind == "chat" else b""

    def more(self, text: str) -> bytes:
        """The chunk of some text."""
        return self._chunk({"content": text} if self.kind == "chat" else text)

    def closing(self, begun: Begun, ended: Ended) -> bytes:
        """The chunk that says why the answer ended, and what a stream ends with."""
        last = self._chunk({} if self.kind == "chat" else "", ended.reason, copersona=record(self.ours, begun, ended))
        counts = self._body(self._chunk_kind, []) | {"usage": _usage(begun, ended)}
        return last + (_line(counts) if self.usage else b"") + b"data: [DONE]\n\n"

    def failure(self, fault: Fault) -> bytes:
        """The chunk that says that no more comes."""
        return _line(fault.body())

    def _chunk(self, delta: dict[str, Any] | str, reason: str | None = None, **more: Any) -> bytes:
        said = {"text": delta} if isinstance(delta, str) else {"delta": delta}
        body = self._body(self._chunk_kind, [{"index": 0, **said, "logprobs": None, "finish_reason": reason}])
        return _line(body | ({"usage": None} if self.usage else {}) | more)

    @property
    def _chunk_kind(self) -> str:
        return "chat.completion.chunk" if self.kind == "chat" else "text_completion"

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


def record(ours: dict[str, Any], begun: Begun, ended: Ended) -> dict[str, Any]:
    """What stands under "copersona", with the earlier turns that were left out and the receipt if it was asked for."""
    found = {**ours, "left_out": begun.left_out}
    if ended.receipt is not None:
        found["receipt"] = json.loads(ended.receipt.to_json())
    return found


def _usage(begun: Begun, ended: Ended) -> dict[str, int]:
    """Positions of the prompt, soft prompt included, and tokens of the answer."""
    return {
        "prompt_tokens": begun.positions,
        "completion_tokens": ended.tokens,
        "total_tokens": begun.positions + ended.tokens,
    }


def _line(body: dict[str, Any]) -> bytes:
    """A chunk as one event of a stream."""
    return b"data: " + encoded(body) + b"\n\n"


def encoded(body: dict[str, Any]) -> bytes:
    """JSON in UTF-8; what is no text becomes signs."""
    return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")
