"""Claude: an array of conversations, or one of them as browser extensions save it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from copersona.runtime.importing.json_files import list_at, text_at, time_of, value_at, values
from copersona.runtime.importing.records import (
    ASSISTANTS,
    ATTACHMENT,
    EMPTY,
    UNREADABLE,
    Format,
    Given,
    Left,
    Own,
    Record,
)
from copersona.runtime.importing.source import Source

HEAD = 1 << 20  # bytes in which the messages of the first conversation begin
BRANCH = "in a branch of the conversation that was left"


def files(source: Source) -> list[str]:
    """The files of conversations."""
    found = [name for name in source.names if re.search(r"(?:^|/)conversations[^/]*\.json$", name)]
    if not found:  # one conversation, under any name
        found = [name for name in source.names if name.endswith(".json")]
        found = found if len(found) == 1 else []
    return found if found and re.search(rb'"chat_messages"\s*:', source.head(found[0], HEAD)) else []


def read(source: Source, files: Sequence[str], given: Given) -> Iterator[Record]:
    """The messages of every conversation."""
    for name in files:
        one: dict[str, Any] = {}
        for path, value in values(source, name):
            if path == "[]":
                yield from _conversation(value)
            else:
                one[path] = value
        if one:
            yield from _conversation(one)


def _conversation(conversation: Any) -> Iterator[Record]:
    messages = value_at(conversation, "chat_messages")
    if not isinstance(messages, list):
        yield Left(UNREADABLE, str(conversation)[:200])
        return
    path = _path(messages, text_at(conversation, "current_leaf_message_uuid"))
    for message in messages:
        if not isinstance(message, dict):
            yield Left(UNREADABLE, str(message)[:200])
            continue
        record = _record(message, conversation)
        left = path is not None and text_at(message, "uuid") not in path and isinstance(record, Own)
        yield Left(BRANCH, record.text) if left else record
        for attached in list_at(message, "attachments"):
            if text_at(message, "sender") == "human":
                yield Left(ATTACHMENT, text_at(attached, "file_name") or "")


def _path(messages: list[Any], leaf: str | None) -> set[str] | None:
    """Messages from the current one up; None where it is not said, or leads nowhere: then all count."""
    above = {text_at(one, "uuid"): text_at(one, "parent_message_uuid") for one in messages}
    if leaf is None or leaf not in above or not any(parent in above for parent in above.values()):
        return None
    path: set[str] = set()
    node: str | None = leaf
    while node is not None and node in above and node not in path:
        path.add(node)
        node = above[node]
    return path


def _record(message: Mapping[str, Any], conversation: Any) -> Record:
    parts = [text_at(part, "text") for part in list_at(message, "content") if text_at(part, "type") in ("text", None)]
    text = "\n".join(part for part in parts if part).strip() or (text_at(message, "text") or "").strip()
    if text_at(message, "sender") != "human":
        return Left(ASSISTANTS, text)
    if not text:
        return Left(EMPTY)
    times = (message.get("created_at"), value_at(conversation, "created_at"))
    return Own(text, "", next((time for one in times if (time := time_of(one)) is not None), None), typed=True)


CLAUDE = Format(
    name="claude",
    title="Claude",
    get="the zip of Settings, Privacy, Export data, or its conversations.json",
    own="what you typed, on request alone (`--prompts`): prose of 200 to 3,000 characters, at most weak evidence",
    left="answers, branches that you left, attachments (a long paste becomes one), what you pasted",
    files=files,
    read=read,
)
