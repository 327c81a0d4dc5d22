"""The JSON of /v1/responses: an answer as one object, or as the events of a stream in the order that clients expect."""

from __future__ import annotations

import time
import uuid
from typing import Any

from copersona.runtime.serve.fault import Fault
from copersona.runtime.serve.form import encoded, record
from copersona.runtime.serve.job import Begun, Ended


class ResponseForm:
    """One answer's. `told` are fields of the request that stand in the answer too, `ours` is under "copersona"."""

    def __init__(self, model: str, told: dict[str, Any], ours: dict[str, Any]) -> None:
        self._ours, name = ours, uuid.uuid4().hex
        self._item, self._events, self._parts = f"msg_{name}", 0, list[str]()
        self._fields = {
            "id": f"resp_{name}",
            "object": "response",
            "created_at": int(time.time()),
            "background": False,
            "error": None,
            "incomplete_details": None,
            "model": model,
            "output": [],
            "parallel_tool_calls": False,
            "previous_response_id": None,
            "store": False,
            "tool_choice": "none",
            "tools": [],
            "usage": None,
            **told,
        }

    def whole(self, text: str, begun: Begun, ended: Ended) -> dict[str, Any]:
        """The answer as one object."""
        status = "completed" if ended.reason == "stop" else "incomplete"
        return {
            **self._fields,
            "status": status,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "output": [self._message(status, text)],
            "usage": {
                "input_tokens": begun.positions,
                "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens": ended.tokens,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": begun.positions + ended.tokens,
            },
            "copersona": record(self._ours, begun, ended),
        }

    def opening(self) -> bytes:
        """The events before the first text."""
        running = {**self._fields, "status": "in_progress"}
        return b"".join(
            (
                self._event("response.created", response=running),
                self._event("response.in_progress", response=running),
                self._event("response.output_item.added", output_index=0, item=self._message("in_progress", None)),
                self._of_part("response.content_part.added", part=_part("")),
            )
        )

    def more(self, text: str) -> bytes:
        """The event of some text."""
        self._parts.append(text)
        return self._of_part("response.output_text.delta", delta=text, logprobs=[])

    def closing(self, begun: Begun, ended: Ended) -> bytes:
        """The events after the last text."""
        text = "".join(self._parts)
        whole = self.whole(text, begun, ended)
        return b"".join(
            (
                self._of_part("response.output_text.done", text=text, logprobs=[]),
                self._of_part("response.content_part.done", part=_part(text)),
                self._event("response.output_item.done", output_index=0, item=whole["output"][0]),
                self._event(f"response.{whole['status']}", response=whole),
            )
        )

    def failure(self, fault: Fault) -> bytes:
        """The event that says that no more comes."""
        code = "server_error" if fault.status >= 500 else "invalid_prompt"
        error = {"code": code, "message": str(fault)}
        return self._event("response.failed", response={**self._fields, "status": "failed", "error": error})

    def _message(self, status: str, text: str | None) -> dict[str, Any]:
        content = [] if text is None else [_part(text)]
        return {"id": self._item, "type": "message", "status": status, "role": "assistant", "content": content}

    def _of_part(self, kind: str, **fields: Any) -> bytes:
        return self._event(kind, item_id=self._item, output_index=0, content_index=0, **fields)

    def _event(self, kind: str, **fields: Any) -> bytes:
        body = {"type": kind, "sequence_number": self._events, **fields}
        self._events += 1
        return f"event: {kind}\n".encode() + b"data: " + encoded(body) + b"\n\n"


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
