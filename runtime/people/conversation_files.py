"""Kept conversations outside the store: as JSON without loss, which is read back, and as Markdown for people."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, get_args

from copersona.runtime.common.errors import HistoryError
from copersona.runtime.common.strict_json import strict_json
from copersona.runtime.history.checks import seconds
from copersona.runtime.people.conversations import Conversation, KeptMessage, Role, State

FORMAT = "copersona-conversations"
VERSION = 1
LONGEST_TEXT = 2 << 20  # characters of a message
LONGEST_LINE = 200  # characters of a title or of the id of a bundle
MOST_MESSAGES = 100_000  # of a conversation
ID = re.compile(r"[0-9a-f]{32}")

T = TypeVar("T")
Whole: TypeAlias = tuple[Conversation, tuple[KeptMessage, ...]]
"""A conversation and its messages."""


def conversation_json(one: Conversation, messages: Iterable[KeptMessage]) -> dict[str, Any]:
    """A conversation as JSON has it; the numbers of its messages belong to the store and are left out."""
    rows = list[dict[str, Any]]()
    for message in messages:
        row = asdict(message)
        del row["number"]
        rows.append({**row, "receipt": None if message.receipt is None else json.loads(message.receipt)})
    return {"id": one.id, "title": one.title, "created": one.created, "changed": one.changed, "messages": rows}


def export_json(found: Iterable[Whole]) -> Iterator[str]:
    """Several conversations as one JSON object, in pieces, one conversation at a time."""
    yield f'{{"format": "{FORMAT}", "version": {VERSION}, "conversations": ['
    for number, (one, messages) in enumerate(found):
        yield (",\n" if number else "\n") + json.dumps(conversation_json(one, messages), ensure_ascii=False)
    yield "\n]}\n"


def export_markdown(found: Iterable[Whole]) -> Iterator[str]:
    """Several conversations as Markdown, one after the other."""
    for one, messages in found:
        yield f"# {one.title}\n\n{_moment(one.created)}\n\n"
        for message in messages:
            who = {"user": one.person, "assistant": "Answer" if message.persona else "Answer, as nobody"}
            more = "" if message.state == "whole" else " (stopped)"
            yield f"**{who.get(message.role, 'Instructions')}**{more}\n\n{message.text.strip()}\n\n"


def read_envelope(text: str, format_: str, version: int) -> dict[str, Any]:
    """The JSON object of one of our files, which says so and in which version. Raises ValueError, RecursionError."""
    body = strict_json(text)
    if not isinstance(body, dict) or body.get("format") != format_:
        raise ValueError(f'expected an object with "format": "{format_}"')
    if body.get("version") != version:
        raise ValueError(f"version {str(body.get('version'))[:20]}, this copersona reads {version}")
    return body


def read_export(text: str, person: str, where: str = "the conversations") -> list[Whole]:
    """Conversations out of what `export_json` wrote, as this person's. `where` names the source in errors.

    Raises:
        HistoryError: it is something else, or a field of it cannot be kept; the message says which.
    """
    try:
        body = read_envelope(text, FORMAT, VERSION)
        rows: list[Any] = of_kind(list, body.get("conversations"), "conversations")
        return [read_conversation(row, person, f"conversations[{n}]") for n, row in enumerate(rows)]
    except RecursionError:
        raise HistoryError(f"{where}: nested too deeply") from None
    except ValueError as error:
        raise HistoryError(f"{where}: no export of conversations ({error})") from None


def read_export_file(path: Path, person: str) -> list[Whole]:
    """The same of a file. Raises HistoryError, OSError."""
    try:
        return read_export(path.read_text(encoding="utf-8"), person, str(path))
    except UnicodeDecodeError as error:
        raise HistoryError(f"{path}: byte {error.start + 1} is not UTF-8") from None


def read_conversation(given: object, person: str, at: str) -> Whole:
    """One row of an export as a conversation of this person. `at` is where it stands. Raises ValueError."""
    row: dict[str, Any] = of_kind(dict, given, at)
    id_ = any_line(row.get("id"), f"{at}.id")
    if not ID.fullmatch(id_):
        raise ValueError(f"{at}.id is {id_[:40]!r}, expected 32 hexadecimal digits")
    rows: list[Any] = of_kind(list, row.get("messages"), f"{at}.messages")
    if len(rows) > MOST_MESSAGES:
        raise ValueError(f"{at}.messages has {len(rows):,}, at most {MOST_MESSAGES:,}")
    messages = tuple(_message(one, f"{at}.messages[{n}]") for n, one in enumerate(rows))
    created, changed = (any_time(row.get(name), f"{at}.{name}") for name in ("created", "changed"))
    title = any_line(row.get("title"), f"{at}.title")
    return Conversation(id_, person, title, created, changed, len(messages)), messages


def _message(given: object, at: str) -> KeptMessage:
    row: dict[str, Any] = of_kind(dict, given, at)
    role: Role = one_of(get_args(Role), row.get("role"), f"{at}.role")
    state: State = one_of(get_args(State), row.get("state"), f"{at}.state")
    receipt = row.get("receipt")
    return KeptMessage(
        role=role,
        text=any_text(row.get("text"), f"{at}.text", LONGEST_TEXT),
        time=any_time(row.get("time"), f"{at}.time"),
        state="stopped" if state == "writing" else state,
        persona=of_kind(bool, row.get("persona"), f"{at}.persona"),
        bundle=any_line(row.get("bundle"), f"{at}.bundle"),
        receipt=None if receipt is None else json.dumps(of_kind(dict, receipt, f"{at}.receipt"), ensure_ascii=False),
    )


def of_kind(kind: type[T], value: object, at: str) -> T:
    """A value of this type. Raises ValueError."""
    if not isinstance(value, kind):
        raise ValueError(f"{at} is not of type {kind.__name__}")
    return value


def one_of(known: tuple[Any, ...], value: object, at: str) -> Any:
    """A value that is one of these. Raises ValueError."""
    if value not in known:
        raise ValueError(f"{at} is {str(value)[:30]!r}, expected one of {', '.join(known)}")
    return value


def any_text(value: object, at: str, most: int) -> str:
    """A text of at most so many characters that UTF-8 can write. Raises ValueError."""
    text = of_kind(str, value, at)
    if len(text) > most:
        raise ValueError(f"{at} has {len(text):,} characters, at most {most:,}")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"{at} is no text: half a character at {error.start + 1}") from None
    return text


def any_line(value: object, at: str) -> str:
    """A short text, on one line. Raises ValueError."""
    return " ".join(any_text(value, at, LONGEST_LINE).split())


def any_time(value: object, at: str) -> float:
    """Seconds since 1970. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{at} is no number")
    return seconds(at, float(value))


def _moment(time: float) -> str:
    """A moment as people write it, in UTC."""
    return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M} UTC"
