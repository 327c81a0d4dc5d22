"""The fields that chats and completions share: how it is sampled, where it stops, how it is sent, and who is asking."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from copersona.runtime.engine.sampling import Sampling
from copersona.runtime.serve.fault import Fault
from copersona.runtime.serve.fields import Fields, as_text

MOST_STOPS = 4
LONGEST_STOP = 500  # characters
MOST_TOKENS = 1 << 20
SEEDS = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Sent:
    """How an answer is sent: as a stream, and with the tokens that it took at the end of one."""

    stream: bool
    usage: bool


def read_sampling(
    fields: Fields, max_tokens: int, lengths: tuple[str, ...] = ("max_completion_tokens", "max_tokens")
) -> Sampling:
    """Temperature, nucleus, length (of these fields, or `max_tokens` where none is given), seed (a random one).
    Raises Fault."""
    given = next((found for name in lengths if (found := fields.whole(name, 1))), None)
    temperature, top_p = fields.number("temperature", 0, 2), fields.number("top_p", 0, 1)
    seed = fields.whole("seed")
    return Sampling(
        temperature=0.8 if temperature is None else temperature,
        top_p=0.95 if top_p is None else max(top_p, 1e-6),
        max_tokens=min(given or max_tokens, MOST_TOKENS),
        seed=secrets.randbelow(SEEDS) if seed is None else seed % SEEDS,
    )


def read_stops(fields: Fields) -> tuple[str, ...]:
    """Texts at which an answer ends. Raises Fault."""
    given = fields.raw("stop")
    texts = [given] if isinstance(given, str) else fields.items("stop", MOST_STOPS) or []
    found = tuple(as_text(text, "stop", LONGEST_STOP) for text in texts)
    if "" in found:
        raise Fault(400, "stop is empty: an answer would end before it begins", param="stop")
    return found


def read_sent(fields: Fields) -> Sent:
    """Raises Fault."""
    options = fields.object("stream_options")
    return Sent(bool(fields.flag("stream")), bool(options.flag("include_usage")))


def refuse_unsupported(fields: Fields) -> None:
    """What both kinds of request may ask for and is not done here is refused by name. Raises Fault."""
    count = fields.whole("n", 1)
    if count not in (None, 1):
        raise Fault(400, "n must be 1: one answer a request", param="n", code="unsupported_parameter")
    fields.refuse(logit_bias=None, presence_penalty=0, frequency_penalty=0)
