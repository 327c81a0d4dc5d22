"""The body of a request for vectors."""

from __future__ import annotations

from dataclasses import dataclass

from copersona.runtime.serve.fault import Fault
from copersona.runtime.serve.fields import Fields, as_text
from copersona.runtime.serve.naming import ENCODER, MODEL, PLAIN, unknown_model

MOST_TEXTS = 2_048


@dataclass(frozen=True, slots=True)
class EmbeddingBody:
    """The texts, and whether vectors are sent as base64 of little-endian float32."""

    model: str
    texts: tuple[str, ...]
    base64: bool
    dimensions: int | None


def read_embedding(fields: Fields) -> EmbeddingBody:
    """The request in a body. Raises Fault."""
    model = fields.text("model")
    if model is None:
        raise Fault(400, "model is missing", param="model")
    if model not in (ENCODER, MODEL, PLAIN):
        if model.startswith(f"{MODEL}:"):
            raise Fault(400, f"vectors are nobody's: use {ENCODER}", param="model")
        raise unknown_model(model)
    form = fields.text("encoding_format")
    if form not in (None, "float", "base64"):
        raise Fault(400, f"encoding_format is {form[:30]!r}, expected float or base64", param="encoding_format")
    given = fields.raw("input")
    if isinstance(given, list):
        fields.items("input", MOST_TEXTS)
    texts = tuple(as_text(text, "input") for text in (given if isinstance(given, list) else [given]))
    if not texts or not all(text.strip() for text in texts):
        raise Fault(400, "input is empty, or one of its texts is", param="input")
    return EmbeddingBody(model, texts, form == "base64", fields.whole("dimensions", 1))
