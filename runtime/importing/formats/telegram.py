"""Telegram: result.json of one chat, or of all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from copersona.runtime.importing.json_files import text_at, time_of, value_at, values
from copersona.runtime.importing.records import (
    ATTACHMENT,
    BOTS,
    EMPTY,
    FORWARD,
    OTHERS,
    UNREADABLE,
    Format,
    Given,
    Left,
    Own,
    Record,
    Who,
    key,
)
from copersona.runtime.importing.source import Source
from copersona.runtime.importing.talk import Talk

INTO = frozenset(
    ("", "messages", "chats", "chats.list", "chats.list[]", "chats.list[].messages", "left_chats", "left_chats.list",
     "left_chats.list[]", "left_chats.list[].messages")
)  # fmt: skip
CODE = frozenset(("code", "pre"))
MEDIA = ("photo", "file", "media_type", "sticker_emoji", "contact_information", "location_information", "poll")


def files(source: Source) -> list[str]:
    """The result.json of each chat."""
    named = [name for name in source.names if name.rsplit("/", 1)[-1] == "result.json"]
    if source.is_file and source.names[0].endswith(".json"):
        named = list(source.names)
    return [name for name in named if _is_telegram(source.head(name))]


def _is_telegram(start: bytes) -> bool:
    start = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not start.startswith(b"{") or b'"mapping"' in start or b'"chat_messages"' in start:
        return False
    return (
        b'"chats"' in start
        or b'"personal_information"' in start
        or (b'"messages"' in start and b'"type"' in start and b'"id"' in start)
    )


def who(source: Source, files: Sequence[str], given: Given) -> Who:
    """Names by their messages; me as the export's own owner, or as the one who is not the chat's partner."""
    texts: Counter[str] = Counter()
    ids: dict[str, str] = {}
    mine: set[str] = set()
    for name in files:
        chat: dict[str, Any] = {}
        for path, value in values(source, name, INTO):
            if path == "personal_information":
                mine |= {f"user{found}" for found in [value_at(value, "user_id")] if isinstance(found, int)}
            elif path.endswith("messages[]"):
                author, ident = text_at(value, "from"), text_at(value, "from_id")
                if text_at(value, "type") == "message" and author:
                    texts[author] += 1
                    if ident:
                        ids[ident] = author
            elif "." not in path:
                chat[path] = value
        if chat.get("type") == "saved_messages":
            mine |= {ident for ident, author in ids.items()} if len(ids) == 1 else set()
        elif chat.get("type") == "personal_chat" and len(ids) == 2 and f"user{chat.get('id')}" in ids:
            mine |= set(ids) - {f"user{chat.get('id')}"}
    return Who(texts, frozenset(map(key, mine)), next((ids[one] for one in sorted(mine) if one in ids), None))


def read(source: Source, files: Sequence[str], given: Given) -> Iterator[Record]:
    """The messages of every chat."""
    for name in files:
        talk = Talk("Write a chat message.")
        for path, value in values(source, name, INTO):
            if not path.endswith("messages[]"):
                if path.endswith("[].id"):
                    talk = Talk("Write a chat message.")  # the next chat
                continue
            yield _record(value, given, talk) if isinstance(value, dict) else Left(UNREADABLE, str(value)[:200])


def _record(message: Mapping[str, Any], given: Given, talk: Talk) -> Record:
    text, kind = _text(message), text_at(message, "type")
    if kind != "message":
        return Left(BOTS, text) if kind else Left(UNREADABLE, text)
    time = time_of(message.get("date_unixtime")) or time_of(message.get("date"), given.zone)
    mine = given.is_me(text_at(message, "from"), text_at(message, "from_id"))
    if (ident := message.get("id")) is not None and isinstance(ident, int | str):
        talk.remember(ident, text)
    if not mine:
        talk.heard(text, time)
        return Left(OTHERS, text)
    if "forwarded_from" in message or "forwarded_from_id" in message:  # null where the account is deleted
        return Left(FORWARD, text)
    if message.get("via_bot") is not None:
        return Left(BOTS, text)
    if not text.strip():
        return Left(ATTACHMENT if any(name in message for name in MEDIA) else EMPTY)
    reply = message.get("reply_to_message_id")
    return Own(text, talk.answered(time, reply if isinstance(reply, int | str) else None), time)


def _text(message: Mapping[str, Any]) -> str:
    """The text without code, which stands as text, as a list of pieces, or as a list of entities or blocks."""
    for name in ("text", "text_entities", "rich_message"):
        if found := _pieces(message.get(name)).strip():
            return found
    return ""


def _pieces(value: Any, deep: int = 0) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and deep < 8:
        return "".join(_pieces(one, deep + 1) for one in value)
    if isinstance(value, dict) and deep < 8 and text_at(value, "type") not in CODE:
        if text_at(value, "type") == "blockquote":
            return ""
        inner = value.get("text")
        if inner is None:
            inner = next((value[name] for name in ("text_entities", "blocks", "content") if name in value), "")
        ending = "\n" if text_at(value, "type") in ("paragraph", "heading", "block") else ""
        return _pieces(inner, deep + 1) + ending
    return ""


TELEGRAM = Format(
    name="telegram",
    title="Telegram",
    get="result.json of Telegram Desktop: a chat's menu, Export chat history, or Settings, Advanced, Export (as JSON)",
    own="your messages; the message that one replies to, or what others wrote before it, is what it answers",
    left="others' messages, lines of the program, forwards, messages by way of a bot, code, media",
    files=files,
    read=read,
    who=who,
)
