"""The body of a chat request: its messages and everything that says how they are answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

from copersona.runtime.chat.ask import Message
from copersona.runtime.chat.schema_grammar import ANY_OBJECT, SchemaRefused, schema_grammar
from copersona.runtime.engine.sampling import Sampling
from copersona.runtime.prompt.settings import GUARD_MODES, RECALL_MODES, GuardMode, RecallMode
from copersona.runtime.serve.fault import Fault
from copersona.runtime.serve.fields import Fields, as_text
from copersona.runtime.serve.keeping import Keeping, read_keeping
from copersona.runtime.serve.naming import person_of
from copersona.runtime.serve.sampled import MOST_TOKENS, Sent, read_sampling, read_sent, read_stops, refuse_unsupported

T = TypeVar("T", bound=str)
MOST_MESSAGES = 2_000
ROLES: dict[str, Literal["system", "user", "assistant"]] = {
    "system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "user",
    "function": "user",
}  # fmt: skip
TEXT_PARTS = ("text", "input_text", "output_text", "refusal")


@dataclass(frozen=True, slots=True)
class ChatBody:
    """What a chat request asks for; `person` None is nobody, `begun` an answer that is to be gone on with."""

    model: str
    messages: tuple[Message, ...]
    person: str | None
    receipt: bool
    sampling: Sampling
    stops: tuple[str, ...]
    sent: Sent
    grammar: str | None
    keeping: Keeping | None = None
    begun: str = ""
    recall: RecallMode | None = None
    guard: GuardMode | None = None


def read_chat(fields: Fields, header: dict[str, str | None]) -> ChatBody:
    """The request in a body; `header` is what the header names. Raises Fault."""
    refuse_unsupported(fields)
    fields.refuse(logprobs=False, top_logprobs=0, modalities=["text"], audio=None)
    goes_on = bool(fields.object("copersona").flag("continue"))
    messages, begun = read_messages(fields, "messages", goes_on=goes_on)
    return asked(
        fields,
        header,
        messages=messages,
        sampling=read_sampling(fields, MOST_TOKENS),
        grammar=read_grammar(fields, "response_format"),
        begun=begun,
    )


def asked(
    fields: Fields,
    header: dict[str, str | None],
    *,
    messages: tuple[Message, ...],
    sampling: Sampling,
    grammar: str | None,
    begun: str = "",
) -> ChatBody:
    """These messages, and what requests of every kind say in the same fields. Raises Fault."""
    model = fields.text("model")
    if model is None:
        raise Fault(400, "model is missing", param="model")
    ours = fields.object("copersona")
    ours.only("persona", "receipt", "continue", "recall", "guard", "conversation", "from")
    if ours.flag("continue") and not begun:
        raise Fault(400, "an answer is gone on with in chat completions alone", param=ours.path("continue"))
    personal = ours.flag("persona") is not False
    said = {name: fields.text(name) for name in ("user", "safety_identifier")}
    person = person_of(model, {**header, **said})
    _check_tools(fields)
    return ChatBody(
        model=model,
        messages=messages,
        person=person if personal else None,
        receipt=bool(ours.flag("receipt")),
        sampling=sampling,
        stops=read_stops(fields),
        sent=read_sent(fields),
        grammar=grammar,
        begun=begun,
        recall=_one_of(ours, "recall", RECALL_MODES),
        guard=_one_of(ours, "guard", GUARD_MODES),
        keeping=read_keeping(ours, person, messages),
    )


def _one_of(ours: Fields, name: str, modes: tuple[T, ...]) -> T | None:
    """Which of these the request says, if it does."""
    said = ours.text(name)
    for mode in modes:
        if said in (None, mode):
            return None if said is None else mode
    path = ours.path(name)
    raise Fault(400, f"{path} is {str(said)[:30]!r}, expected one of {', '.join(modes)}", param=path)


def _check_tools(fields: Fields) -> None:
    """Tools that may be called are passed over, for a text is an answer too; ones that must be are refused."""
    for name in ("tool_choice", "function_call"):
        if fields.raw(name) not in (None, "none", "auto"):
            raise Fault(
                400, f"{name}: no tool is called here, so none can be required", param=name,
                code="unsupported_parameter",
            )  # fmt: skip


def read_messages(fields: Fields, name: str, *, goes_on: bool = False) -> tuple[tuple[Message, ...], str]:
    """The messages in a field up to the user's last one, and the answer behind it that is to be gone on with. Raises
    Fault."""
    given = fields.items(name, MOST_MESSAGES)
    if not given:
        raise Fault(400, f"{name} is missing or empty", param=name)
    found = []
    for number, one in enumerate(given):
        path = f"{name}[{number}]"
        if not isinstance(one, dict):
            raise Fault(400, f"{path} is no object", param=path, code="invalid_type")
        message = Fields(one, path)
        role = message.text("role")
        if role not in ROLES:
            raise Fault(400, f"{path}.role is {str(role)[:30]!r}, expected one of {', '.join(ROLES)}", param=path)
        text = _content(message)
        if text.strip() or ROLES[role] == "user":
            found.append(Message(ROLES[role], text))
    begun = found.pop().content if goes_on and found and found[-1].role == "assistant" else ""
    if goes_on and not begun:
        raise Fault(400, "there is no answer to go on with: the last message must be the assistant's", param=name)
    if found and found[-1].role == "system":  # some front ends ask so for a title
        found[-1] = Message("user", found[-1].content)
    if not found or found[-1].role != "user" or not found[-1].content.strip():
        raise Fault(400, "the last message must be the user's, with a text", param=name)
    return tuple(found), begun


def _content(message: Fields) -> str:
    """The text of a message: as it is, or the texts of its parts."""
    content, path = message.raw("content"), message.path("content")
    if content is None:
        return ""
    if not isinstance(content, list):
        return as_text(content, path)
    texts = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in TEXT_PARTS:
            raise Fault(
                400, f"{path} has a part of type {str(kind)[:30]!r}; only text is read here", param=path,
                code="unsupported_content",
            )  # fmt: skip
        texts.append(as_text(part.get("refusal" if kind == "refusal" else "text"), path))
    return "\n".join(texts)


def read_grammar(fields: Fields, name: str) -> str | None:
    """The form of an answer that a field wants, as a grammar; a schema may stand in it or one level further down.
    Raises Fault."""
    form = fields.object(name)
    if not fields.has(name):
        return None
    kind = form.text("type")
    if kind == "text":
        return None
    if kind not in ("json_object", "json_schema"):
        what = f"{form.path('type')} is {str(kind)[:30]!r}, expected text, json_object or json_schema"
        raise Fault(400, what, param=form.path("type"))
    nested = form.object("json_schema")
    schema = nested.raw("schema") if nested.has("schema") else form.raw("schema")
    if schema is None and kind == "json_schema":
        schema = form.raw("json_schema")
        if schema is None or nested.has("name"):
            where = nested.path("schema") if name == "response_format" else form.path("schema")
            raise Fault(400, f"{where} is missing", param=where.removesuffix(".schema"))
    try:
        grammar = schema_grammar(ANY_OBJECT if schema is None else schema)
        grammar.encode("utf-8")
    except (SchemaRefused, UnicodeEncodeError, RecursionError) as error:
        what = str(error) if isinstance(error, SchemaRefused) else "the schema is no text, or too deep"
        raise Fault(400, what, param=fields.path(name), code="invalid_json_schema") from None
    return grammar
