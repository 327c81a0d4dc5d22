"""The body of a legacy completion: a text that the model goes on with, as nobody, and without turns."""

from __future__ import annotations

from dataclasses import dataclass

from copersona.runtime.engine.sampling import Sampling
from copersona.runtime.serve.fault import Fault
from copersona.runtime.serve.fields import Fields, as_text
from copersona.runtime.serve.naming import PLAIN, person_of
from copersona.runtime.serve.sampled import Sent, read_sampling, read_sent, read_stops, refuse_unsupported

MAX_TOKENS = 16  # as the API has it where none is given


@dataclass(frozen=True, slots=True)
class CompletionBody:
    """What a completion asks for."""

    model: str
    text: str
    sampling: Sampling
    stops: tuple[str, ...]
    sent: Sent


def read_completion(fields: Fields, header: dict[str, str | None]) -> CompletionBody:
    """The request in a body; `header` is what the header names. Raises Fault."""
    model = fields.text("model")
    if model is None:
        raise Fault(400, "model is missing", param="model")
    if person_of(model, header) is not None:
        raise Fault(400, f"completions are nobody's: use {PLAIN}, or chat/completions to be answered as a person",
                    param="model", code="unsupported_parameter")  # fmt: skip
    refuse_unsupported(fields)
    fields.refuse(echo=False, best_of=1, logprobs=None, suffix="")
    prompt = fields.raw("prompt")
    if isinstance(prompt, list):
        if len(prompt) != 1:
            raise Fault(400, "prompt is a list, expected a text, or a list of one", param="prompt")
        prompt = prompt[0]
    text = as_text(prompt, "prompt")
    if not text:
        raise Fault(400, "prompt is empty; there is nothing to go on with", param="prompt")
    return CompletionBody(model, text, read_sampling(fields, MAX_TOKENS), read_stops(fields), read_sent(fields))
