"""Turns of a conversation as tokens: the one place that writes them.

How a turn of each role opens and closes is data. A bundle's manifest holds it as token ids; `chat_template` derives it
from a model's chat template, and `chatml` from the vocabulary where there is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Generic, Protocol, TypeVar

START, END = "<|im_start|>", "<|im_end|>"
MOST = 512  # tokens that open or close one turn

T = TypeVar("T")


class Tokens(Protocol):
    """What turns and prompts need of a tokenizer."""

    def tokenize(self, text: str) -> list[int]:
        """Tokens of plain text; control tokens inside it stay text."""
        ...

    def control(self, token: str) -> int:
        """The id of a control token, such as <|im_start|>."""
        ...


@dataclass(frozen=True, slots=True)
class Turn(Generic[T]):
    """What stands before and behind the text of a turn."""

    open: tuple[T, ...]
    close: tuple[T, ...]


@dataclass(frozen=True, slots=True)
class Turns(Generic[T]):
    """How turns open and close, and how an answer begins and ends; T is a token id, or what stands for one.

    first: the turn that every prompt begins with, BOS included: the system's, where there is one.
    system: a later system turn; None where only the first turn can be one.
    answer: what opens the answer, behind a user turn.
    end: the control token that ends an answer.
    system_role: whether there is a system turn. Where not, `first.open` is what opens the first user turn.
    alternates: whether user and assistant must take turns. Then `first.close` leads straight into the user's turn,
    and `user.open` is how a later user turn opens.
    """

    first: Turn[T]
    system: Turn[T] | None
    user: Turn[T]
    assistant: Turn[T]
    answer: tuple[T, ...]
    end: T
    system_role: bool
    alternates: bool

    def __post_init__(self) -> None:
        if not (self.system_role or self.alternates):
            raise ValueError("turns without a system turn must alternate")

    def turn(self, role: str) -> Turn[T]:
        """How a turn of that role opens and closes anywhere but at the beginning: a system turn as the user's where
        there can be no later one. Raises ValueError for a role that is not known."""
        if role not in ("system", "user", "assistant"):
            raise ValueError(f"{role!r} is no role of a conversation")
        found: Turn[T] = {"system": self.system or self.user, "user": self.user, "assistant": self.assistant}[role]
        return found

    def conversation(self, messages: Iterable[tuple[str, Sequence[T]]], blank: Sequence[T]) -> list[T]:
        """A whole conversation, which ends with a user's turn, and the open turn of its answer. `blank` parts texts
        that must share a turn: two of the same role in a row where roles alternate, and the instructions of a system
        that has no turn of its own.

        Raises:
            ValueError: no conversation of these roles, or not a user's turn last.
        """
        rows = [(role, tuple(text)) for role, text in messages]
        head = rows.pop(0)[1] if self.system_role and rows and rows[0][0] == "system" else ()
        first = [*self.first.open, *head, *self.first.close] if self.system_role else [*self.first.open]
        return [*first, *self.continued(rows, blank)]

    def continued(self, messages: Iterable[tuple[str, Sequence[T]]], blank: Sequence[T]) -> list[T]:
        """What follows the first turn, system's or, where roles alternate, the user's that it leads into; as
        `conversation`.

        Raises:
            ValueError: as `conversation`.
        """
        rows = [(role, tuple(text)) for role, text in messages]
        if self.alternates:
            rows = self._merged(rows, tuple(blank))
        if not rows or rows[-1][0] != "user":
            raise ValueError("a conversation ends with a user's turn")
        written: list[T] = []
        for place, (role, text) in enumerate(rows):
            opened = self.alternates and not place  # by what stands before it
            written += [*(() if opened else self.turn(role).open), *text, *self.turn(role).close]
        return [*written, *self.answer]

    def _merged(self, rows: list[tuple[str, tuple[T, ...]]], blank: tuple[T, ...]) -> list[tuple[str, tuple[T, ...]]]:
        merged: list[tuple[str, tuple[T, ...]]] = []
        for role, text in rows:
            role = "user" if role == "system" else role
            if merged and merged[-1][0] == role:
                merged[-1] = (role, (*merged[-1][1], *blank, *text))
            else:
                merged.append((role, text))
        if merged and merged[0][0] != "user":
            raise ValueError("where roles alternate a conversation begins with a user's turn")
        return merged


TurnTokens = Turns[int]


def chatml(tokens: Tokens) -> TurnTokens:
    """ChatML turns of a vocabulary that has its control tokens, without BOS.

    Raises:
        ModelError: it has not.
    """
    start, end = tokens.control(START), tokens.control(END)
    newline = tuple(tokens.tokenize("\n"))
    system, user, assistant = (
        Turn((start, *tokens.tokenize(role), *newline), (end, *newline)) for role in ("system", "user", "assistant")
    )
    return Turns(system, system, user, assistant, assistant.open, end, system_role=True, alternates=False)


def turns_json(turns: TurnTokens) -> dict[str, Any]:
    """The turns as a manifest holds them: ids by role, lists for tuples."""
    body = asdict(turns)
    for name, value in body.items():
        if isinstance(value, dict):
            body[name] = {side: list(ids) for side, ids in value.items()}
        elif isinstance(value, tuple):
            body[name] = list(value)
    return body


def read_turns(body: object, vocabulary: int) -> TurnTokens:
    """Inverse of `turns_json`, for a vocabulary of that many tokens.

    Raises:
        ValueError: a role that is missing or not known, an id out of the vocabulary, more than MOST of them in one
            place, or an answer that would not end.
    """
    names = {field.name for field in fields(Turns)}
    if not isinstance(body, Mapping) or set(body) != names:
        raise ValueError(f"turns have {_keys(body)}, expected {', '.join(sorted(names))}")
    first, user, assistant = (_turn(name, body[name], vocabulary) for name in ("first", "user", "assistant"))
    system = None if body["system"] is None else _turn("system", body["system"], vocabulary)
    (end,) = _ids("end", [body["end"]], vocabulary)
    for name in ("system_role", "alternates"):
        if not isinstance(body[name], bool):
            raise ValueError(f"turns: {name} is {body[name]!r}, expected true or false")
    if end not in assistant.close:
        raise ValueError(f"turns: an answer ends with {end}, but no assistant's turn does")
    if not (user.close or body["answer"]):
        raise ValueError("turns: nothing stands between a request and its answer")
    answer = _ids("answer", body["answer"], vocabulary)
    return Turns(first, system, user, assistant, answer, end, body["system_role"], body["alternates"])


def _turn(name: str, body: object, vocabulary: int) -> Turn[int]:
    if not isinstance(body, Mapping) or set(body) != {"open", "close"}:
        raise ValueError(f"turns: {name} has {_keys(body)}, expected open and close")
    return Turn(*(_ids(f"{name}.{side}", body[side], vocabulary) for side in ("open", "close")))


def _ids(name: str, ids: object, vocabulary: int) -> tuple[int, ...]:
    if not isinstance(ids, list) or len(ids) > MOST:
        raise ValueError(f"turns: {name} is no list of up to {MOST} token ids")
    for token in ids:
        if not isinstance(token, int) or isinstance(token, bool) or not 0 <= token < vocabulary:
            raise ValueError(f"turns: {name} has {token!r}, the vocabulary has {vocabulary:,} tokens")
    return tuple(ids)


def _keys(body: object) -> str:
    return ", ".join(sorted(map(str, body)))[:200] if isinstance(body, Mapping) else type(body).__name__
