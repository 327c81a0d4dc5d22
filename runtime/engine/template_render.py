"""Renders chats by a chat template, which is a program of someone else's: in a process of its own that is bounded in
time, memory and output, in jinja2's sandbox, with no files to include and nothing to call.

`render` is the side that asks; run as a module, this file is the side that renders: it reads one JSON object from
standard input and writes one list to standard output.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple

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
    asked = json.dumps({"template": template, "special": dict(special), "chats": rows, "seconds": seconds})
    try:
        # -P: nothing of the folder that the command happens to run in is imported; -B: nothing is written
        done = subprocess.run(
            [sys.executable, "-BP", "-m", __name__], input=asked.encode(), capture_output=True, timeout=seconds + 5,
            env=_environment(), check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise ModelError(f"the chat template does not end within {seconds:g} seconds") from None
    except OSError as error:
        raise ModelError(f"the chat template cannot be rendered, no process for it: {error}") from None
    if done.returncode:
        last = one_line(done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2])
        why = f" ({last})" if last else ""
        raise ModelError(f"the chat template does not end within {seconds:g} seconds and {MEMORY >> 20:,} MB{why}")
    found = json.loads(done.stdout)
    if isinstance(found, str):
        raise ModelError(f"the chat template cannot be read: {one_line(found)}")
    return [Rendered(text, None if error is None else one_line(error)) for text, error in found]


def _environment() -> dict[str, str]:
    """Where packages are, and nothing of what else stands in this process's environment: keys may."""
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


# The other side


def main() -> None:
    """Answer what stands on standard input."""
    body = json.load(sys.stdin)
    _bound(body["seconds"])
    json.dump(_render_all(body), sys.stdout)


def _bound(seconds: float) -> None:
    with suppress(ImportError, OSError, ValueError):  # a system without these limits has the time limit outside
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 2))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


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
