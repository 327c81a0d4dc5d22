"""What goes into a prompt and how much of it: the settings, their checks, and how older files of them are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from copersona.runtime.common.errors import ModelError
from copersona.runtime.filecheck.values import shown, whole

Matcher = Literal["bm25", "dense", "blend"]
Show = Literal["outputs", "inputs", "both"]
Place = Literal["first", "middle", "last"]
Served = Literal["facets", "texts"]
RecallMode = Literal["always", "relevant", "never"]
"""When a person is recalled for a request to them: always, where it has to do with them, or never."""
RECALL_MODES: tuple[RecallMode, ...] = get_args(RecallMode)
GuardMode = Literal["off", "S", "H", "M", "regenerate"]
"""What the factuality guard does about a person's answer; see `session/guarding.py`."""
GUARD_MODES: tuple[GuardMode, ...] = get_args(GuardMode)
MOST = {"peers": 64, "recent": 10_000, "matched": 10_000}
MOST_TOKENS = 1 << 20  # more than the context of any model here
NAMED = {"matcher": get_args(Matcher), "show": get_args(Show), "place": get_args(Place), "served": get_args(Served)}


@dataclass(frozen=True, slots=True)
class ContextSettings:
    """How much of what goes into the prompt. Token counts exclude the request and the soft prompt.

    budget bounds everything; profile and peers are shares of it that roll over to the history when not used.
    recent and matched are the numbers of own interactions by recency and by likeness to the request, as `matcher`
    judges it. `show` says what of an interaction stands in the prompt, and so what is matched; `place`
    where facets and peers stand. `served` has its part of the budget first: facets and peers, whose shares roll over to
    the history when not used, or own texts, of which facets and peers fill what is left.

    Raises:
        ValueError: a number below 0 or above what there can be, or a name that is not known.
    """

    budget: int = 512
    profile_tokens: int = 128
    peer_tokens: int = 128
    item_tokens: int = 192
    request_tokens: int = 256
    recent: int = 4
    matched: int = 0
    peers: int = 3
    matcher: Matcher = "bm25"
    show: Show = "outputs"
    place: Place = "first"
    served: Served = "facets"

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if name in NAMED:
                if value not in NAMED[name]:
                    raise ValueError(f"{name} is {shown(value)}, expected one of {', '.join(NAMED[name])}")
            else:
                whole(name, value, 0, MOST.get(name, MOST_TOKENS))

    @property
    def encodes(self) -> bool:
        """Whether retrieval needs vectors of texts."""
        return self.matched > 0 and self.matcher != "bm25"


def read_context(body: Mapping[str, Any]) -> ContextSettings:
    """Settings from the JSON of a manifest or a run; a field that is left out has its default.

    Raises:
        ValueError: a field that is not known or out of range.
    """
    return changed(ContextSettings(), body)


def changed(settings: ContextSettings, changes: Mapping[str, Any]) -> ContextSettings:
    """The settings with some fields changed. Raises ValueError as `ContextSettings` does, and for unknown fields."""
    names = [field.name for field in fields(ContextSettings)]
    unknown = sorted(set(changes) - set(names))
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: no context settings; known are {', '.join(names)}")
    return replace(settings, **changes)


def check_room(settings: ContextSettings, soft_tokens: int, trained: int) -> None:
    """That the longest prompt leaves room for an answer. `trained`: tokens of context that the base was trained on.

    Raises:
        ModelError: it does not.
    """
    most = soft_tokens + settings.budget + settings.request_tokens
    if most >= trained:
        raise ModelError(
            f"a prompt may have {most:,} tokens ({soft_tokens} soft, {settings.budget} of context, "
            f"{settings.request_tokens} of the request), the base was trained on {trained:,}: no room is left for an "
            "answer; lower the budget or request_tokens"
        )
