"""Methods whose lines a language model writes; where it fails, there are none."""

from __future__ import annotations

import json
from typing import Any

from copersona.export.evaluation.bench.bench import BASE, Bench
from copersona.export.evaluation.methods.method import Knowing, Method
from copersona.runtime.chat.ask import Ask, Message, is_answer, object_schema, read_answer
from copersona.runtime.chat.ledger import Ledger
from copersona.runtime.common.errors import ModelRefused

ADAPTED = "adapted: a statistical writer in place of a language model"
MOST, LONGEST = 8, 240  # lines, and characters of one
Lines = tuple[str, ...]


def ask(writer: Ledger, name: str, prompt: str, material: dict[str, Any]) -> Lines:
    """Lines that the writer makes of the material; none where it refuses or its answer is none.

    Raises:
        ModelError: it cannot be reached.
    """
    schema = object_schema({"lines": {"type": "array", "items": {"type": "string"}}})
    messages = (Message("system", prompt), Message("user", json.dumps(material, ensure_ascii=False)))
    try:
        lines = read_answer(writer.complete(Ask(name, messages, schema, 400), is_answer).text).get("lines")
    except (ModelRefused, ValueError):
        return ()
    rows = lines if isinstance(lines, list) else []
    return tuple(" ".join(row.split())[:LONGEST] for row in rows if isinstance(row, str) and row.strip())[:MOST]


def written(bench: Bench, name: str, know: Knowing, what: str) -> Method:
    """A method on the base whose lines a language model writes, the statistical writer where none is given. They may
    fill what facets and peers together have elsewhere."""
    context = bench.run.settings.context
    room = {"profile_tokens": context.profile_tokens + context.peer_tokens, "peer_tokens": 0}
    writer = bench.writer.name if bench.writer else ""
    note = f"{what} by {writer}" if writer else ADAPTED
    return Method(name, know, BASE, room, note, writer, version=2 if writer else 1)  # since 2, lines are counted
