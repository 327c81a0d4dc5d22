"""The JSON of a request read field by field: a wrong type or a value out of range is a refusal that names the field."""

from __future__ import annotations

import json
from typing import Any

from copersona.runtime.common.strict_json import strict_json
from copersona.runtime.serve.fault import Fault


def read_body(raw: bytes) -> Fields:
    """The object that a body is. Raises Fault where it is none."""
    try:
        body = strict_json(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise Fault(400, f"the body is not UTF-8 at byte {error.start + 1}") from None
    except json.JSONDecodeError as error:
        raise Fault(400, f"the body is not JSON: {error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise Fault(400, "the body is nested too deeply") from None
    except ValueError as error:
        raise Fault(400, f"the body is not JSON that means one thing: {str(error)[:120]}") from None
    if not isinstance(body, dict):
        raise Fault(400, f"the body is {_kind(body)}, expected an object")
    return Fields(body)


class Fields:
    """The fields of one object; `at` is where it stands, for messages. One that is null is not there."""

    def __init__(self, body: dict[str, Any], at: str = "") -> None:
        self._body, self._at = body, at

    def path(self, name: str) -> str:
        """How a field is called in messages."""
        return f"{self._at}.{name}" if self._at else name

    def has(self, name: str) -> bool:
        """Whether the field is there."""
        return self._body.get(name) is not None

    def raw(self, name: str) -> Any:
        """The field as it is."""
        return self._body.get(name)

    def text(self, name: str, most: int | None = None) -> str | None:
        """A text. Raises Fault."""
        return None if not self.has(name) else as_text(self.raw(name), self.path(name), most)

    def flag(self, name: str) -> bool | None:
        """True or false. Raises Fault."""
        value = self.raw(name)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(name, "true or false")
        return value

    def whole(self, name: str, least: int | None = None) -> int | None:
        """A whole number. Raises Fault."""
        value = self.raw(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.wrong(name, "a whole number")
        if least is not None and value < least:
            raise Fault(400, f"{self.path(name)} is {str(value)[:30]}, expected {least} or more", param=self.path(name))
        return value

    def number(self, name: str, low: float, high: float) -> float | None:
        """A number within these, both included. Raises Fault."""
        value = self.raw(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(name, "a number")
        if not low <= value <= high:
            found = f"{self.path(name)} is {str(value)[:30]}, expected {low:g} to {high:g}"
            raise Fault(400, found, param=self.path(name))
        return float(value)

    def items(self, name: str, most: int) -> list[Any] | None:
        """A list. Raises Fault."""
        value = self.raw(name)
        if value is None:
            return None
        if not isinstance(value, list):
            raise self.wrong(name, "a list")
        if len(value) > most:
            raise Fault(400, f"{self.path(name)} has {len(value):,} items, at most {most:,}", param=self.path(name))
        return value

    def object(self, name: str) -> Fields:
        """An object; an empty one where there is none. Raises Fault."""
        value = self.raw(name)
        if value is not None and not isinstance(value, dict):
            raise self.wrong(name, "an object")
        return Fields(value or {}, self.path(name))

    def only(self, *known: str) -> None:
        """Raises Fault for fields that are not known: of an object that is ours alone."""
        if unknown := sorted(set(self._body) - set(known)):
            name = self.path(unknown[0])
            raise Fault(400, f"{name[:80]} is not known; known are {', '.join(known)}", param=name[:80])

    def refuse(self, **idle: Any) -> None:
        """Raises Fault where a field that is not supported has another value than one that changes nothing."""
        for name, value in idle.items():
            if self.has(name) and self.raw(name) not in (value, [], {}):
                raise Fault(
                    400, f"{self.path(name)} is not supported", param=self.path(name), code="unsupported_parameter"
                )

    def wrong(self, name: str, expected: str) -> Fault:
        """The refusal of a field's type."""
        path = self.path(name)
        return Fault(400, f"{path} is {_kind(self.raw(name))}, expected {expected}", param=path, code="invalid_type")


def as_text(value: object, path: str, most: int | None = None) -> str:
    """A value as a text. Raises Fault where it is none, is too long, or has half a character."""
    if not isinstance(value, str):
        raise Fault(400, f"{path} is {_kind(value)}, expected a text", param=path, code="invalid_type")
    if most is not None and len(value) > most:
        raise Fault(400, f"{path} has {len(value):,} characters, at most {most:,}", param=path)
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise Fault(400, f"{path} is no text: half a character at {error.start + 1}", param=path) from None
    return value


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
