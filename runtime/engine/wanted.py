"""What is wanted of an engine: a generation, and what is decided on at the last token of its prompt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from copersona.runtime.common.arrays import F32
from copersona.runtime.engine.sampling import Sampling
from copersona.runtime.engine.sequences import Prefix
from copersona.runtime.engine.vocabulary import TokenIds


class Act(NamedTuple):
    """What is done with a generation that was looked at.

    "leave" it; "shift": from the prompt's last token on, what the layer puts out moves by `shift`, (H,) float32;
    "hold": it moves by what the other prompt gives at its last token minus what this one gives; "instead": the
    generation begins anew, from the other prompt.
    """

    kind: Literal["leave", "shift", "hold", "instead"]
    shift: F32 | None = None


class Watch(NamedTuple):
    """`decide` is called with what the layer puts out at the prompt's last token, (H,) float32. What it raises ends
    this generation alone where it is a ModelRefused."""

    layer: int
    decide: Callable[[F32], Act]


class Wanted(NamedTuple):
    """One of several generations: after a soft prompt and tokens, sampled in its own way, within a grammar. It may be
    watched, by an engine that `reads`; `other` is then the prompt for "hold" and "instead", none of which is needed
    otherwise."""

    soft: F32 | None
    tokens: TokenIds
    sampling: Sampling
    prefix: Prefix | None = None
    grammar: str | None = None
    watch: Watch | None = None
    other: Wanted | None = None
