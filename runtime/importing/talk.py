"""What a message in a conversation answers: what others wrote before it."""

from __future__ import annotations

from collections import OrderedDict

WITHIN = 12 * 3600.0  # seconds that an answer may take
PARTS, CHARACTERS = 3, 1_500  # messages that are answered at once, characters of them
REMEMBERED = 2_000  # messages that a reply may name
QUOTED = 500  # characters of each that are remembered


class Talk:
    """One conversation, message by message; `kind` says what is written where nothing is answered."""

    def __init__(self, kind: str) -> None:
        self._kind, self._heard, self._since = kind, list[str](), float("-inf")
        self._named: OrderedDict[object, str] = OrderedDict()

    def heard(self, text: str, time: float | None) -> None:
        """Someone else's message. What was answered before is forgotten."""
        if self._since == float("inf"):
            self._heard = []
        if text.strip():
            self._heard = [*self._heard[1 - PARTS :], text.strip()[:CHARACTERS]]
        self._since = float("-inf") if time is None else time

    def answered(self, time: float | None, reply_to: object = None) -> str:
        """What a message of the person answers: the one it names, or what others wrote just before; else its kind."""
        if reply_to is not None and reply_to in self._named:
            return self._named[reply_to] or self._kind
        late = time is not None and self._since not in (float("inf"), float("-inf")) and time - self._since > WITHIN
        found = "" if late else "\n".join(self._heard)[-CHARACTERS:]
        self._heard, self._since = [], float("inf")
        return found or self._kind

    def remember(self, name: object, text: str) -> None:
        """A message by its name, for replies."""
        self._named[name] = text.strip()[:QUOTED]
        if len(self._named) > REMEMBERED:
            self._named.popitem(last=False)
