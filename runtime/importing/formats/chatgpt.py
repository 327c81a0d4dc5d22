"""ChatGPT: conversations as trees of messages, in one file or in shards."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from copersona.runtime.importing.json_files import list_at, text_at, time_of, value_at, values
from copersona.runtime.importing.records import (
    ASSISTANTS,
    ATTACHMENT,
    BOTS,
    EMPTY,
    UNREADABLE,
    Format,
    Given,
    Left,
    Own,
    Record,
)
from copersona.runtime.importing.source import Source

NAME = re.compile(r"(?:^|/)conversations(?:-\d+)?\.json$")
HEAD = 1 << 20  # bytes in which the tree of the first conversation begins
BRANCH = "in a branch of the conversation that was left"
HIDDEN = "hidden from the conversation"
TOOL = "said to a tool"


def files(source: Source) -> list[str]:
    """The conversations; Claude's file has the same name and no tree."""
    found = [name for name in source.names if NAME.search(name) or (source.is_file and name.endswith(".json"))]
    return found if found and re.search(rb'"mapping"\s*:', source.head(found[0], HEAD)) else []


def read(source: Source, files: Sequence[str], given: Given) -> Iterator[Record]:
    """The messages of every conversation, those on the path to the current one in their order."""
    for name in files:
        for path, conversation in values(source, name):
            mapping = value_at(conversation, "mapping")
            if path == "[]" and isinstance(mapping, dict):
                yield from _messages(conversation, mapping)
            elif path == "[]":
                yield Left(UNREADABLE, str(conversation)[:200])


def _messages(conversation: Mapping[str, Any], mapping: Mapping[str, Any]) -> Iterator[Record]:
    path = _path(mapping, conversation.get("current_node"))
    on_path = set(path)
    for node in (*reversed(path), *(node for node in mapping if node not in on_path)):
        message = value_at(mapping[node], "message")
        if isinstance(message, dict):
            record = _record(message, conversation)
            branch = isinstance(record, Own) and node not in on_path
            yield Left(BRANCH, record.text) if branch else record
        elif message is not None:
            yield Left(UNREADABLE, str(message)[:200])


def _path(mapping: Mapping[str, Any], current: Any) -> list[str]:
    """Nodes from the current one up; where it leads nowhere, from the latest end of a branch."""
    node = current if isinstance(current, str) and current in mapping else _latest(mapping)
    path: dict[str, None] = {}
    while isinstance(node, str) and node in mapping and node not in path:
        path[node] = None
        node = value_at(mapping[node], "parent")
    return list(path)


def _latest(mapping: Mapping[str, Any]) -> str | None:
    parents = {parent for node in mapping.values() if isinstance(parent := value_at(node, "parent"), str)}
    ends = [name for name in mapping if name not in parents] or list(mapping)
    when = {name: time_of(value_at(mapping[name], "message", "create_time")) or 0.0 for name in ends}
    return max(ends, key=when.__getitem__, default=None)


def _record(message: Mapping[str, Any], conversation: Mapping[str, Any]) -> Record:
    role, kind = text_at(message, "author", "role"), text_at(message, "content", "content_type")
    text = "\n".join(part for part in list_at(message, "content", "parts") if isinstance(part, str)).strip()
    if role != "user":
        return Left(ASSISTANTS if role == "assistant" else BOTS, text)
    if value_at(message, "metadata", "is_visually_hidden_from_conversation") is True:
        return Left(HIDDEN, text)
    if message.get("recipient") not in (None, "all"):
        return Left(TOOL, text)
    if kind not in (None, "text", "multimodal_text"):
        return Left(f"of the kind {kind[:40]}", text)
    if not text:
        return Left(ATTACHMENT if list_at(message, "content", "parts") not in ([], [""]) else EMPTY)
    time = time_of(message.get("create_time")) or time_of(conversation.get("create_time"))
    return Own(text, "", time, typed=True)


CHATGPT = Format(
    name="chatgpt",
    title="ChatGPT",
    get="the zip of Settings, Data controls, Export data, or its conversations.json",
    own="what you typed, on request alone (`--prompts`): prose of 200 to 3,000 characters, at most weak evidence",
    left="answers, tools, hidden messages, branches that you left, files, what you pasted",
    files=files,
    read=read,
)
