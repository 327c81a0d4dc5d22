"""The body of a request to /v1/responses: the fields of a chat under other names, and nothing that would be kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from copersona.runtime.chat.ask import Message
from copersona.runtime.serve.chat_body import MOST_MESSAGES, ChatBody, asked, read_grammar, read_messages
from copersona.runtime.serve.fault import Fault
from copersona.runtime.serve.fields import Fields, as_text
from copersona.runtime.serve.sampled import MOST_TOKENS, read_sampling, refuse_unsupported

KEPT = ("previous_response_id", "conversation", "prompt", "background", "store")
"""What needs answers or prompts that were kept."""
OUTPUTS = ("function_call_output", "custom_tool_call_output")
PASSED_OVER = ("function_call", "custom_tool_call", "reasoning")
LOGPROBS = "message.output_text.logprobs"


@dataclass(frozen=True, slots=True)
class ResponsesBody:
    """The chat that it is. `whole`: no turn may be left out. `told` is said again in the answer."""

    chat: ChatBody
    whole: bool
    told: dict[str, Any]


def read_responses(fields: Fields, header: dict[str, str | None]) -> ResponsesBody:
    """The request in a body; `header` is what the header names. Raises Fault."""
    _refuse_kept(fields)
    refuse_unsupported(fields)
    fields.refuse(top_logprobs=0)
    if LOGPROBS in (fields.items("include", 100) or ()):
        raise Fault(400, f"include: {LOGPROBS} is not supported", param="include", code="unsupported_parameter")
    truncation = fields.text("truncation")
    if truncation not in (None, "auto", "disabled"):
        raise Fault(400, f"truncation is {truncation[:30]!r}, expected auto or disabled", param="truncation")
    sampling = read_sampling(fields, MOST_TOKENS, ("max_output_tokens",))
    instructions = fields.text("instructions")
    form = fields.object("text")
    messages = _messages(fields)
    if instructions and instructions.strip():
        messages = (Message("system", instructions), *messages)
    chat = asked(fields, header, messages=messages, sampling=sampling, grammar=read_grammar(form, "format"))
    told = {
        "instructions": instructions,
        "max_output_tokens": fields.raw("max_output_tokens"),
        "metadata": _metadata(fields),
        "safety_identifier": fields.text("safety_identifier"),
        "temperature": sampling.temperature,
        "text": {"format": form.raw("format") or {"type": "text"}},
        "top_p": sampling.top_p,
        "truncation": truncation or "auto",
        "user": fields.text("user"),
    }
    return ResponsesBody(chat, truncation == "disabled", told)


def _refuse_kept(fields: Fields) -> None:
    for name in KEPT:
        if fields.raw(name) not in (None, False):
            raise Fault(
                400, f"{name}: answers are not kept here to be gone on with; send the whole conversation as input",
                param=name, code="unsupported_parameter",
            )  # fmt: skip


def _messages(fields: Fields) -> tuple[Message, ...]:
    given = fields.raw("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else fields.items("input", MOST_MESSAGES)
    turns = [_turn(item, f"input[{number}]") for number, item in enumerate(items or ())]
    return read_messages(Fields({"input": turns}), "input")[0]


def _turn(item: Any, path: str) -> Any:
    """An item as a message of a chat; an empty one where it says nothing that is read here."""
    kind = item.get("type") if isinstance(item, dict) else None
    if kind in (None, "message"):
        return item
    if kind in OUTPUTS:
        return {"role": "tool", "content": item.get("output")}
    if kind in PASSED_OVER:
        return {"role": "assistant"}
    raise Fault(
        400, f"{path} is of type {str(kind)[:30]!r}; only messages and what tools gave are read here", param=path,
        code="unsupported_content",
    )  # fmt: skip


def _metadata(fields: Fields) -> dict[str, str]:
    given = fields.object("metadata")
    return {name: as_text(given.raw(name), given.path(name)) for name in fields.raw("metadata") or ()}
