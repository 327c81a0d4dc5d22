"""Renders chats by a chat template, which is a program of someone else's: in a process of its own that is bounded in
time, memory and output (`apart`), in jinja2's sandbox, with no files to include and nothing to call.

`render` is the side that asks; run as a module, this file is the side that renders: it writes one list to standard
output.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from copersona.runtime.common.apart import asked, run_apart
from copersona.runtime.common.errors import ModelError
from copersona.runtime.common.terminal import one_line

SECONDS = 10  # for all chats of one template
MEMORY = 1 << 30  # bytes of address space
MAX_TEMPLATE = 256 << 10  # bytes
MAX_TEXT = 256 << 10  # characters of one rendered chat
DAY = datetime(2024, 7, 26)  # what a template is told when it asks for the date, so that turns are the same on any day


class Chat(NamedTuple):
    """What is rendered: (role, content) of each turn, and whether the answer's turn is opened behind them."""

    messages: tuple[tuple[str, str], ...]
    generate: bool


class Rendered(NamedTuple):
    """The text of a chat, or why the template gives none."""

    text: str
    error: str | None = None


def render(
    template: str, special: Mapping[str, str], chats: Sequence[Chat], *, seconds: float = SECONDS
) -> list[Rendered]:
    """Each chat by the template, as transformers renders it; `special` are texts such as `bos_token`.

    Raises:
        ModelError: the template is too long, cannot be read, or does not end within the bounds.
    """
    if len(template.encode("utf-8", "replace")) > MAX_TEMPLATE:
        raise ModelError(f"the chat template has more than {MAX_TEMPLATE:,} bytes")
    rows = [{"messages": [{"role": r, "content": c} for r, c in chat.messages], "generate": chat.generate}
            for chat in chats]  # fmt: skip
    body = {"template": template, "special": dict(special), "chats": rows}
    done = run_apart(__name__, body, seconds=seconds, memory=MEMORY)
    if done.code is None:
        raise ModelError(f"the chat template does not end within {seconds:g} seconds")
    if done.code:
        why = f" ({done.last})" if done.last else ""
        raise ModelError(f"the chat template does not end within {seconds:g} seconds and {MEMORY >> 20:,} MB{why}")
    found = json.loads(done.out)
    if isinstance(found, str):
        raise ModelError(f"the chat template cannot be read: {one_line(found)}")
    return [Rendered(text, None if error is None else one_line(error)) for text, error in found]


# The other side


def main() -> None:
    """Answer what stands on standard input."""
    json.dump(_render_all(asked()), sys.stdout)


def _render_all(body: Mapping[str, Any]) -> str | list[tuple[str, str | None]]:
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = lambda value, **_: json.dumps(value, ensure_ascii=False)
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: DAY.strftime(str(form)[:100])
    try:
        template = environment.from_string(body["template"])
    except Exception as error:  # whatever it holds, it is no template
        return str(error) or type(error).__name__
    return [_render_one(template, body["special"], chat) for chat in body["chats"]]


def _render_one(template: Any, special: Mapping[str, str], chat: Mapping[str, Any]) -> tuple[str, str | None]:
    parts: list[str] = []
    size = 0
    try:
        for part in template.generate(
            **special, messages=chat["messages"], add_generation_prompt=chat["generate"], tools=None, documents=None,
            enable_thinking=False,
        ):  # fmt: skip
            parts.append(part)
            size += len(part)
            if size > MAX_TEXT:
                return "", f"a chat of {len(chat['messages'])} short turns becomes more than {MAX_TEXT:,} characters"
    except Exception as error:  # a program of someone else's may fail in any way
        return "", str(error) or type(error).__name__
    return "".join(parts), None


if __name__ == "__main__":
    main()
