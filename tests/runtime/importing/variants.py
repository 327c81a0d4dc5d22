"""Exports of every format in the variants that are about, made by code."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Variant:
    """An export: its files by name, the marks of what must be found in it, and what is said with it."""

    format: str
    name: str
    files: dict[str, bytes]
    marks: tuple[str, ...]
    me: tuple[str, ...] = ()
    person: str | None = None
    prompts: bool = False
    day_first: bool | None = None
    without: tuple[str, ...] = ()
    answers: dict[str, str] | None = None


MAKERS: list[Callable[[], Iterator[Variant]]] = []


def maker(function: Callable[[], Iterator[Variant]]) -> Callable[[], Iterator[Variant]]:
    """Enter a function that makes variants of one format."""
    MAKERS.append(function)
    return function


def all_variants() -> list[Variant]:
    """Every variant of every format."""
    return [variant for made in MAKERS for variant in made()]


def dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
