"""A JSON schema that somebody else wrote as a grammar of llama.cpp (GBNF): what it lets through, the schema allows.

Constrained or refused, never ignored: a keyword without a grammar here is named in the refusal. What describes and does
not constrain (title, default) is passed over. The properties of an object come in the schema's order, and no others
where some are named. Bounded: depth, size, and how often a part repeats.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from copersona.runtime.common.errors import ModelRefused

ANY_OBJECT: Mapping[str, Any] = {"type": "object"}
MOST_REPEATS = 2_000  # of one part; llama.cpp writes them out
MOST_RULES = 3_000
DEEPEST = 40
MOST_VALUES = 1_000  # of a number between two bounds, each of which becomes a literal

SAID = {"title", "description", "default", "examples", "$schema", "$id", "$comment", "$defs", "definitions",
        "deprecated", "readOnly", "writeOnly", "discriminator"}  # fmt: skip
TYPES = ("string", "number", "integer", "boolean", "null", "array", "object")
OF_TYPE: Mapping[str, frozenset[str]] = {
    "string": frozenset({"minLength", "maxLength", "format"}),
    "integer": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}),
    "array": frozenset({"items", "minItems", "maxItems"}),
    "object": frozenset({"properties", "required", "additionalProperties"}),
}
DIGITS = {n: f"[0-9]{{{n}}}" for n in (2, 4)}
DATE = f'{DIGITS[4]} "-" ("0" [1-9] | "1" [0-2]) "-" ("0" [1-9] | "1" [0-9] | "2" [0-8])'  # a day of every month
TIME = '([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9] ("." [0-9]{1,6})? "Z"'
HEX = "[0-9a-f]"
FORMATS = {
    "date": DATE,
    "time": TIME,
    "date-time": f'{DATE} "T" {TIME}',
    "uuid": f'{HEX}{{8}} "-" {HEX}{{4}} "-4" {HEX}{{3}} "-" [89ab] {HEX}{{3}} "-" {HEX}{{12}}',
}
CHARACTER = r'([ !#-\[\]-~\u00a0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff] | "\\" ["\\/bfnrt])'
"""No control characters and no halves of characters."""
BASE = rf"""blank ::= " "?
char ::= {CHARACTER}
string ::= "\"" char* "\""
integer ::= "-"? ("0" | [1-9] [0-9]{{0,15}})
number ::= integer ("." [0-9]{{1,16}})? ([eE] [-+]? [0-9]{{1,2}})?
boolean ::= "true" | "false"
null ::= "null"
value ::= string | number | boolean | null | anyarray | anyobject
anyarray ::= "[" (value ("," blank value)*)? "]"
anyobject ::= "{{" (string ":" blank value ("," blank string ":" blank value)*)? "}}"
"""
PRIMITIVE = {"number": "number", "integer": "integer", "boolean": "boolean", "null": "null"}


class SchemaRefused(ModelRefused):
    """A JSON schema that has no grammar here, or that no text satisfies; the message says where."""


def schema_grammar(schema: object) -> str:
    """The grammar of texts that the schema allows.

    Raises:
        SchemaRefused: a keyword that is not known here, a schema that nothing satisfies, or one that is too large.
    """
    rules = _Rules(schema)
    root = rules.name(schema, "$", 0)
    if not rules.ends(schema, ()):
        raise SchemaRefused("$: no text satisfies this schema: it asks for itself without an end")
    return f"root ::= {root}\n{BASE}{rules.text()}"


class _Rules:
    """The rules of one schema, each part of it by a name."""

    def __init__(self, root: object) -> None:
        self._root = root
        self._rules: list[str] = []
        self._refs: dict[str, str] = {}
        self._left = MOST_RULES

    def text(self) -> str:
        return "".join(f"r{n} ::= {body}\n" for n, body in enumerate(self._rules))

    def name(self, schema: object, at: str, depth: int) -> str:
        """The name of the rule of a part of the schema, written if it is not there."""
        if depth > DEEPEST:
            raise SchemaRefused(f"{at[:200]}: the schema is nested more than {DEEPEST} deep")
        if schema is True or schema == {}:
            return "value"
        if not isinstance(schema, dict):
            raise SchemaRefused(f"{at}: expected a schema that something satisfies, found {json.dumps(schema)[:40]}")
        if "$ref" in schema:
            return self._ref(schema, at, depth)
        return self._add(self._body(schema, at, depth))

    def _add(self, body: str) -> str:
        self._rules.append(body)
        if len(self._rules) > MOST_RULES:
            raise SchemaRefused(f"the schema has more than {MOST_RULES:,} parts")
        return f"r{len(self._rules) - 1}"

    def _ref(self, schema: dict[str, Any], at: str, depth: int) -> str:
        target = self._target(schema["$ref"], at)
        _only(schema, {"$ref"}, at)
        key = schema["$ref"]
        if key not in self._refs:
            self._refs[key] = name = self._add("")  # its place, so that it may refer to itself
            self._rules[int(name[1:])] = self.name(target, key, depth + 1)
        return self._refs[key]

    def _target(self, ref: object, at: str) -> object:
        if not isinstance(ref, str) or not (ref == "#" or ref.startswith("#/")):
            raise SchemaRefused(f"{at}: $ref {str(ref)[:80]!r}, expected one inside the schema, as #/$defs/name")
        found = self._root
        for part in ref.split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, dict) or key not in found:
                raise SchemaRefused(f"{at}: $ref {ref[:80]!r} leads nowhere")
            found = found[key]
        return found

    def _body(self, schema: dict[str, Any], at: str, depth: int) -> str:
        for choice in ("anyOf", "oneOf"):
            if choice in schema:
                return self._choice(schema, choice, at, depth)
        if "allOf" in schema and isinstance(schema["allOf"], list) and len(schema["allOf"]) == 1:
            _only(schema, {"allOf"}, at)
            return self.name(schema["allOf"][0], f"{at}.allOf", depth + 1)
        if "const" in schema:
            _only(schema, {"const", "type"}, at)
            return _literal(schema["const"], at)
        if "enum" in schema:
            _only(schema, {"enum", "type"}, at)
            values = schema["enum"]
            if not isinstance(values, list) or not values:
                raise SchemaRefused(f"{at}: enum has no values, so no text satisfies this schema")
            return " | ".join(_literal(value, at) for value in values)
        kind = schema.get("type", "object" if "properties" in schema else None)
        if isinstance(kind, list) and kind and all(isinstance(one, str) for one in kind):
            parts = [{**{k: v for k, v in schema.items() if k in OF_TYPE.get(one, ())}, "type": one} for one in kind]
            _only(schema, {"type"}.union(*(OF_TYPE.get(one, ()) for one in kind)), at)
            return " | ".join(self.name(part, at, depth + 1) for part in parts)
        if kind not in TYPES:
            raise SchemaRefused(f"{at}: type is {json.dumps(kind)[:40]}, expected one of {', '.join(TYPES)}")
        _only(schema, {"type"} | OF_TYPE.get(kind, frozenset()), at)
        return self._typed(kind, schema, at, depth)

    def _choice(self, schema: dict[str, Any], choice: str, at: str, depth: int) -> str:
        _only(schema, {choice}, at)
        parts = schema[choice]
        if not isinstance(parts, list) or not parts:
            raise SchemaRefused(f"{at}: {choice} has no schemas, so no text satisfies it")
        return " | ".join(self.name(part, f"{at}.{choice}[{n}]", depth + 1) for n, part in enumerate(parts))

    def _typed(self, kind: str, schema: dict[str, Any], at: str, depth: int) -> str:
        if kind == "string":
            return _string(schema, at)
        if kind == "array":
            return self._array(schema, at, depth)
        if kind == "object":
            return self._object(schema, at, depth)
        return _integer(schema, at) if kind == "integer" else PRIMITIVE[kind]

    def _array(self, schema: dict[str, Any], at: str, depth: int) -> str:
        least, most = _span(schema, "minItems", "maxItems", at)
        if most == 0:
            return '"[" "]"'
        item = self.name(schema.get("items", True), f"{at}[]", depth + 1)
        rest = _times(max(least - 1, 0), None if most is None else most - 1)
        some = f'{item} ("," blank {item}){rest}'
        return f'"[" {some} "]"' if least else f'"[" ({some})? "]"'

    def _object(self, schema: dict[str, Any], at: str, depth: int) -> str:
        properties, required = schema.get("properties", {}), schema.get("required", [])
        if not isinstance(properties, dict) or not isinstance(required, list):
            raise SchemaRefused(f"{at}: expected properties as an object and required as a list")
        others = schema.get("additionalProperties", True)
        if missing := [name for name in required if not isinstance(name, str) or name not in properties]:
            raise SchemaRefused(f"{at}: requires {str(missing[0])[:80]!r}, which is none of its properties")
        if not properties:
            if others is False:
                return '"{" "}"'
            value = self.name(others, f"{at}.*", depth + 1)
            pair = f'string ":" blank {value}'
            return f'"{{" ({pair} ("," blank {pair})*)? "}}"'
        pairs = [
            (f'{_literal(name, at)} ":" blank {self.name(part, f"{at}.{name}", depth + 1)}', name in required)
            for name, part in properties.items()
        ]
        return f'"{{" {self._pairs(pairs)} "}}"'

    def _pairs(self, pairs: list[tuple[str, bool]]) -> str:
        """The pairs in order, those that are not required there or not: the name of a rule for none written so far."""
        first, more = '""', '""'  # what may follow where no pair, or where some pair stands before
        for pair, needed in reversed(pairs):
            then = more
            more = self._add(f'"," blank {pair} {then}' + ("" if needed else f" | {then}"))
            first = self._add(f"{pair} {then}" + ("" if needed else f" | {first}"))
        return first

    def ends(self, schema: object, within: tuple[str, ...]) -> bool:
        """Whether some text of this part has an end; `within` are the references that lead here."""
        self._left -= 1
        if self._left < 0:
            raise SchemaRefused("the schema refers to itself in too many ways")
        if not isinstance(schema, dict):
            return True
        if "$ref" in schema:
            ref = schema["$ref"]
            return ref not in within and self.ends(self._target(ref, "$"), (*within, ref))
        for choice in ("anyOf", "oneOf", "allOf"):
            if choice in schema:
                return any(self.ends(part, within) for part in schema[choice])
        if schema.get("minItems", 0) and not self.ends(schema.get("items", True), within):
            return False
        properties = schema.get("properties", {})
        return all(self.ends(properties[name], within) for name in schema.get("required", ()))


def _only(schema: dict[str, Any], known: set[str] | frozenset[str], at: str) -> None:
    if unknown := sorted(set(schema) - known - SAID):
        raise SchemaRefused(f"{at}: {unknown[0][:80]!r} is not supported in a JSON schema here")


def _literal(value: object, at: str) -> str:
    written = json.dumps(value, ensure_ascii=False)
    if len(written) > MOST_REPEATS:
        raise SchemaRefused(f"{at}: a value of more than {MOST_REPEATS:,} characters")
    return json.dumps(written, ensure_ascii=False)


def _times(least: int, most: int | None) -> str:
    return f"{{{least},{'' if most is None else most}}}"


def _whole(schema: dict[str, Any], name: str, at: str) -> int | None:
    value = schema.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise SchemaRefused(f"{at}: {name} is {json.dumps(value)[:40]}, expected a whole number")
    return value


def _span(schema: dict[str, Any], low: str, high: str, at: str) -> tuple[int, int | None]:
    least, most = _whole(schema, low, at) or 0, _whole(schema, high, at)
    if most is not None and most < least:
        raise SchemaRefused(f"{at}: {low} is {least} and {high} {most}, so no text satisfies this schema")
    if not 0 <= max(least, most or 0) <= MOST_REPEATS or least < 0:
        raise SchemaRefused(f"{at}: {low} and {high} may be 0 to {MOST_REPEATS:,}")
    return least, most


def _string(schema: dict[str, Any], at: str) -> str:
    form = schema.get("format")
    least, most = _span(schema, "minLength", "maxLength", at)
    if form is None:
        return "string" if not least and most is None else rf'"\"" char{_times(least, most)} "\""'
    if form not in FORMATS or least or most is not None:
        raise SchemaRefused(f"{at}: format {json.dumps(form)[:40]} is not supported, with no length: {list(FORMATS)}")
    return rf'"\"" {FORMATS[form]} "\""'


def _integer(schema: dict[str, Any], at: str) -> str:
    low, high = _whole(schema, "minimum", at), _whole(schema, "maximum", at)
    above, below = _whole(schema, "exclusiveMinimum", at), _whole(schema, "exclusiveMaximum", at)
    low = max((n for n in (low, None if above is None else above + 1) if n is not None), default=None)
    high = min((n for n in (high, None if below is None else below - 1) if n is not None), default=None)
    if low is None and high is None:
        return "integer"
    if high is None and low in (0, 1):
        return '"0" | [1-9] [0-9]{0,15}' if low == 0 else "[1-9] [0-9]{0,15}"
    if low is None or high is None or high - low >= MOST_VALUES:
        raise SchemaRefused(f"{at}: bounds of an integer may be from 0, from 1, or {MOST_VALUES:,} values apart")
    if high < low:
        raise SchemaRefused(f"{at}: minimum is {low} and maximum {high}, so no text satisfies this schema")
    return " | ".join(f'"{n}"' for n in range(low, high + 1))
