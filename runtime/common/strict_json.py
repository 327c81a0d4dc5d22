"""JSON that means one thing: no key twice, no NaN, no infinity."""

from __future__ import annotations

import json
from typing import Any, NoReturn

TRIES = 1_000  # of a text's braces: each fault costs as much as the text before it


def strict_json(text: str) -> Any:
    """JSON without duplicate keys, NaN and infinities. Raises ValueError."""
    return json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)


def first_object(text: str) -> dict[str, Any]:
    """The first whole JSON object with something in it that stands in a text; braces in prose are passed over.

    Raises:
        ValueError: there is none among the first TRIES braces, or it is not strict; of several faults the first.
        RecursionError: nested too deeply.
    """
    decoder = json.JSONDecoder(object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    fault = ValueError("no JSON object")
    start, tries = text.find("{"), 0
    while start >= 0 and tries < TRIES:
        tries += 1
        try:
            body, end = decoder.raw_decode(text, start)
        except json.JSONDecodeError as error:
            fault = fault if tries > 1 else json.JSONDecodeError(error.msg, text[start:], error.pos - start)
            end = max(error.pos, start + 1)  # what stands inside what was begun is no answer
        else:
            if isinstance(body, dict) and body:
                return body
        start = text.find("{", end)
    raise fault


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    body = dict(pairs)
    if len(body) != len(pairs):
        raise ValueError("a key is there twice")
    return body


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
