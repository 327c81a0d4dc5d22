"""What the grammar lets a model of random weights write is JSON that the schema allows, judged by another validator."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from copersona.runtime.chat.schema_grammar import ANY_OBJECT, SchemaRefused, schema_grammar
from copersona.runtime.common.errors import ModelRefused
from copersona.runtime.engine.engine import Engine, Sampling


@pytest.fixture(scope="module")
def engine(tiny_gguf: Path) -> Iterator[Engine]:
    with Engine(tiny_gguf, n_ctx=512, threads=1) as opened:
        yield opened


NAME = {"type": "string", "maxLength": 6}
SCHEMAS: dict[str, Any] = {
    "all required": {
        "type": "object",
        "title": "T",
        "properties": {"name": NAME, "age": {"type": "integer", "minimum": 3, "maximum": 12}},
        "required": ["name", "age"],
        "additionalProperties": False,
    },
    "some optional": {
        "type": "object",
        "properties": {"a": {"type": "null"}, "b": {"type": "boolean"}, "c": {"enum": [1, "x", None]}},
        "required": ["b"],
    },
    "none required": {"type": "object", "properties": {"a": {"const": "α\"\\"}, "b": {"const": 2.5}}},
    "a choice": {"anyOf": [{"type": "boolean"}, {"type": ["integer", "null"], "minimum": 0}]},
    "references": {
        "$defs": {"Leaf": {"type": "object", "properties": {"v": {"type": "boolean"}}, "required": ["v"]}},
        "type": "array",
        "items": {"$ref": "#/$defs/Leaf"},
        "minItems": 1,
        "maxItems": 3,
    },
    "recursive": {
        "$defs": {"N": {"type": "object", "properties": {"next": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/N"}]}},
                        "required": ["next"]}},
        "$ref": "#/$defs/N",
    },
    "dates": {"type": "array", "items": {"type": "string", "format": "date"}, "minItems": 2, "maxItems": 2},
    "lengths": {"type": "string", "minLength": 2, "maxLength": 4},
    "a map": {"type": "object", "additionalProperties": {"type": "boolean"}},
    "empty": {"type": "object", "additionalProperties": False},
}  # fmt: skip


def allowed(value: Any, schema: Any, root: Any) -> bool:
    """A second reading of the keywords used above, which looks at values and knows nothing of grammars."""
    if "$ref" in schema:
        return allowed(value, root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if "anyOf" in schema:
        return any(allowed(value, one, root) for one in schema["anyOf"])
    if "const" in schema:
        return bool(value == schema["const"])
    if "enum" in schema:
        return value in schema["enum"]
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    python = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null", list: "array",
              dict: "object"}  # fmt: skip
    if python[type(value)] not in kinds:
        return False
    if isinstance(value, str):
        dated = "format" not in schema or re.fullmatch(r"\d{4}-\d\d-\d\d", value)
        return bool(schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 9999) and dated)
    if isinstance(value, int) and not isinstance(value, bool):
        return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))
    if isinstance(value, list):
        return schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 9999) and all(
            allowed(one, schema["items"], root) for one in value
        )
    if isinstance(value, dict):
        known = schema.get("properties", {})
        others = schema.get("additionalProperties", True)
        return set(schema.get("required", ())) <= set(value) and all(
            allowed(one, known[key], root) if key in known else isinstance(others, dict) and allowed(one, others, root)
            for key, one in value.items()
        )
    return True


@pytest.mark.parametrize("name", SCHEMAS)
def test_what_is_written_is_what_the_schema_allows(engine: Engine, name: str) -> None:
    grammar, seen = schema_grammar(SCHEMAS[name]), set()
    for seed in range(12):
        sampling = Sampling(temperature=1.5, top_p=1.0, max_tokens=400, seed=seed)
        pieces = list(engine.generate(None, [5, 6, 7], sampling, grammar=grammar))
        text = "".join(piece.text for piece in pieces)
        if len(pieces) == sampling.max_tokens:  # it may go on for long where no length is asked for
            assert name in ("recursive", "a map")
            continue
        seen.add(text)
        if "\ufffd" in text:  # bytes of random weights that are no UTF-8, each of which is shown as a sign
            continue
        assert allowed(json.loads(text), SCHEMAS[name], SCHEMAS[name]), text
    assert seen


def test_any_object_is_json_or_is_cut(engine: Engine) -> None:
    whole = 0
    for seed in range(12):
        sampling = Sampling(temperature=1.5, top_p=1.0, max_tokens=300, seed=seed)
        pieces = list(engine.generate(None, [5, 6, 7], sampling, grammar=schema_grammar(ANY_OBJECT)))
        text = "".join(piece.text for piece in pieces)
        assert text.startswith("{")
        if len(pieces) < sampling.max_tokens:
            assert isinstance(json.loads(text), dict)
            whole += 1
    assert whole


REFUSED: dict[str, tuple[Any, str]] = {
    "a keyword": ({"type": "string", "pattern": "a+"}, "'pattern' is not supported"),
    "false": (False, "something satisfies"),
    "no schema": ("string", "something satisfies"),
    "a type": ({"type": "float"}, 'type is "float"'),
    "no values": ({"enum": []}, "no text satisfies"),
    "no choice": ({"anyOf": []}, "no text satisfies"),
    "items": ({"type": "array", "minItems": 3, "maxItems": 2}, "no text satisfies"),
    "lengths": ({"type": "string", "minLength": 3, "maxLength": 2}, "no text satisfies"),
    "bounds": ({"type": "integer", "minimum": 3, "maximum": 2}, "no text satisfies"),
    "an open bound": ({"type": "integer", "minimum": 17}, "bounds of an integer"),
    "many": ({"type": "string", "maxLength": 10**9}, "0 to 2,000"),
    "fewer than none": ({"type": "string", "minLength": -1}, "0 to 2,000"),
    "no number": ({"type": "array", "minItems": "3"}, "expected a whole number"),
    "required": ({"type": "object", "properties": {}, "required": ["a"]}, "none of its properties"),
    "elsewhere": ({"$ref": "https://example.org/x"}, "inside the schema"),
    "nowhere": ({"$ref": "#/$defs/x"}, "leads nowhere"),
    "format": ({"type": "string", "format": "ipv9"}, "is not supported"),
    "no end": ({"$defs": {"A": {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "required": ["a"]}},
                "$ref": "#/$defs/A"}, "without an end"),
    "only itself": ({"$ref": "#"}, "without an end"),
    "two at once": ({"allOf": [{"type": "string"}, {"type": "null"}]}, "is not supported|expected one of"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_held_to_is_refused_by_name(name: str) -> None:
    schema, words = REFUSED[name]
    with pytest.raises(SchemaRefused, match=words):
        schema_grammar(schema)


def test_a_schema_without_measure_is_refused() -> None:
    deep: Any = {"type": "null"}
    for _ in range(200):
        deep = {"type": "array", "items": deep}
    with pytest.raises(SchemaRefused, match="nested more than"):
        schema_grammar(deep)
    wide = {"type": "object", "properties": {f"p{n}": {"type": "string", "maxLength": 5} for n in range(2_000)}}
    with pytest.raises(SchemaRefused, match="parts"):
        schema_grammar(wide)
    names = {f"D{n}": {"anyOf": [{"$ref": f"#/$defs/D{m}"} for m in range(20)]} for n in range(20)}
    with pytest.raises(SchemaRefused, match="in too many ways"):
        schema_grammar({"$defs": names, "$ref": "#/$defs/D0"})


def test_a_choice_that_begins_with_itself_is_refused_and_does_not_end_the_process(engine: Engine) -> None:
    left = {"$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]}}, "$ref": "#/$defs/A"}
    with pytest.raises(ModelRefused, match="cannot read the grammar"):
        list(engine.generate(None, [5], Sampling(max_tokens=5), grammar=schema_grammar(left)))
