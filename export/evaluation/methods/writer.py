"""A language model that writes lines for a method; where it fails, there are none."""

from __future__ import annotations

import json
from typing import Any

from copersona.runtime.chat import Ask, Message, object_schema, read_answer
from copersona.runtime.errors import ModelRefused
from copersona.runtime.ledger import Ledger

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
        lines = read_answer(writer.complete(Ask(name, messages, schema, 400)).text).get("lines")
    except (ModelRefused, ValueError):
        return ()
    rows = lines if isinstance(lines, list) else []
    return tuple(" ".join(row.split())[:LONGEST] for row in rows if isinstance(row, str) and row.strip())[:MOST]
