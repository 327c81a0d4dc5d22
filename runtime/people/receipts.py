"""Receipts of kept answers without what was forgotten since: they quote texts and say facets.

All are JSON objects; of one that was imported with a conversation nothing more is known.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from copersona.runtime.history.interactions import Interaction, clean_text

Clean = Callable[[dict[str, Any]], None]
"""Takes out of a receipt what is to go."""


def cleaned(receipt: str, clean: Clean) -> str | None:
    """The receipt without it; None where nothing of it was there."""
    body = json.loads(receipt)
    before = json.dumps(body)
    clean(body)
    return None if json.dumps(body) == before else json.dumps(body, ensure_ascii=False)


def without_text(text: Interaction) -> Clean:
    """Without a text: where it was retrieved, and quotes that stand in it."""
    digest, words = text.digest, clean_text(text.output)

    def clean(body: dict[str, Any]) -> None:
        body["retrieved"] = [row for row in _rows(body, "retrieved") if row.get("digest") != digest]
        for facet in _rows(body, "facets"):
            facet["quotes"] = [quote for quote in _list(facet, "quotes") if str(quote) not in words]

    return clean


def without_facet(name: str) -> Clean:
    """Without a facet: what it said, quotes, and from whom it was borrowed."""

    def clean(body: dict[str, Any]) -> None:
        body["facets"] = [facet for facet in _rows(body, "facets") if facet.get("facet") != name]

    return clean


def since_forgotten(receipt: str, forgot_at: int) -> str:
    """The receipt of an answer that ended after something was forgotten: without all evidence if the person was opened
    before that."""

    def clean(body: dict[str, Any]) -> None:
        if body.get("revision", 0) < forgot_at:
            body["retrieved"], body["facets"] = [], []

    return cleaned(receipt, clean) or receipt


def _rows(body: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [row for row in _list(body, name) if isinstance(row, dict)]


def _list(body: dict[str, Any], name: str) -> list[Any]:
    found = body.get(name)
    return found if isinstance(found, list) else []
