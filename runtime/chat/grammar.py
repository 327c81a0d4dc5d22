"""A JSON schema as a grammar of llama.cpp (GBNF), for the schemas that `ask.py` allows.

Strings hold no control characters and no \\u escapes, so that what the grammar lets through is JSON that can be read,
and space is one blank at most, so that a model cannot fill its answer with it.
"""

from __future__ import annotations

import json

from copersona.runtime.chat.ask import JsonSchema
from copersona.runtime.common.errors import ModelError

CHARACTER = r'([^"\\\x00-\x1f\x7f] | "\\" ["\\/bfnrt])'


def grammar_of(schema: JsonSchema) -> str:
    """The grammar of the JSON texts that the schema allows. Raises ModelError for a schema of another kind."""
    return f'root ::= {_rule(schema)}\nblank ::= " "?\n'


def _rule(schema: JsonSchema) -> str:
    if "enum" in schema:
        return f"({' | '.join(_literal(value) for value in schema['enum'])})"
    match schema.get("type"):
        case "string":
            return rf'"\"" {CHARACTER}{_times(0, schema.get("maxLength"))} "\""'
        case "array":
            return _array(_rule(schema["items"]), schema.get("minItems", 0), schema.get("maxItems"))
        case "object":
            pairs = (f'{_literal(key)} ":" blank {_rule(value)}' for key, value in schema["properties"].items())
            return f'"{{" {_COMMA.join(pairs)} "}}"'
        case other:
            raise ModelError(f"a JSON schema of type {other!r} has no grammar here")


_COMMA = ' "," blank '


def _array(item: str, least: int, most: int | None) -> str:
    if most == 0:
        return '"[" "]"'
    rest = _times(max(least - 1, 0), None if most is None else most - 1)
    some = f'{item} ("," blank {item}){rest}'
    return f'"[" {some} "]"' if least else f'"[" ({some})? "]"'


def _times(least: int, most: int | None) -> str:
    return f"{{{least},{'' if most is None else most}}}"


def _literal(value: object) -> str:
    """The JSON of a value as a literal of the grammar, whose escapes are those of JSON."""
    return json.dumps(json.dumps(value, ensure_ascii=False), ensure_ascii=False)
