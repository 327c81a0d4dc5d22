"""Exports of ChatGPT and Claude."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .texts import Author
from .variants import Variant, dump, maker

LONG = 50  # words of a prompt that is long enough


def message(role: str, *parts: Any, kind: str = "text", **more: Any) -> dict[str, Any]:
    content = {"content_type": kind, "parts": list(parts)}
    return {
        "author": {"role": role},
        "create_time": 1.7e9,
        "content": content,
        "recipient": "all",
        "metadata": {},
    } | more


def tree(rows: list[tuple[str, str | None, dict[str, Any] | None]], current: str | None) -> dict[str, Any]:
    """A conversation of rows of name, parent and message."""
    mapping: dict[str, Any] = {
        name: {
            "id": name,
            "parent": parent,
            "children": [one for one, above, _ in rows if above == name],
            "message": said,
        }
        for name, parent, said in rows
    }
    return {
        "title": "A talk",
        "create_time": 1.6e9,
        "mapping": mapping,
        "current_node": current,
        "conversation_id": "c1",
    }


def whole(author: Author) -> dict[str, Any]:
    """A conversation with everything that is left out, and two own texts."""
    no_metadata = message("user", author.own(LONG))
    del no_metadata["metadata"]
    rows = [
        ("root", None, None),
        ("system", "root", message("system", author.other())),
        ("one", "system", no_metadata),
        ("two", "one", message("assistant", author.other(LONG))),
        ("left", "one", message("assistant", author.other(LONG))),
        ("gone", "left", message("user", author.other(LONG))),
        (
            "three",
            "two",
            message("user", {"content_type": "image_asset_pointer"}, author.own(LONG), kind="multimodal_text"),
        ),
        ("four", "three", message("tool", author.other(LONG))),
        ("five", "four", message("user", author.other(LONG), metadata={"is_visually_hidden_from_conversation": True})),
        ("six", "five", message("user", author.other(LONG), recipient="browser")),
        ("seven", "six", message("user", author.other(LONG), kind="user_editable_context")),
        ("eight", "seven", message("user", f"Summarise this:\n\n{author.other(LONG * 3)}")),
        ("nine", "eight", message("user", f"What is wrong here?\n```\n{author.other(LONG)}\n```")),
        ("ten", "nine", message("user", author.other(8), metadata=None)),
        ("end", "ten", message("assistant", author.other(LONG))),
    ]
    return tree(rows, "end")


@maker
def chatgpt() -> Iterator[Variant]:
    for name in ("conversations.json", "export/conversations.json"):
        author = Author()
        yield Variant("chatgpt", name, {name: dump([whole(author)]), "user.json": b"{}"}, tuple(author.marks),
                      person="ana", prompts=True)  # fmt: skip
    author = Author()
    shards = {f"conversations-{number:03d}.json": dump([whole(author)]) for number in range(60)}
    yield Variant("chatgpt", "60 shards", {**shards, "export_manifest.json": b"{}"}, tuple(author.marks), person="ana",
                  prompts=True)  # fmt: skip
    author = Author()
    dangling = tree([("a", None, None), ("b", "a", message("user", author.own(LONG))), ("c", "gone", None)], "nowhere")
    circle = tree([("a", "b", message("user", author.own(LONG))), ("b", "a", message("assistant", "x"))], "b")
    bare = {"mapping": {"a": {"message": {"author": {"role": "user"}, "content": {"parts": [author.own(LONG)]}}}}}
    broken = [None, 3, {"mapping": []}, {"mapping": {"a": None, "b": {"message": 3}, "c": {"message": {"author": 1}}}}]
    body = dump([{"title": "x", "mapping": {}}, dangling, circle, bare, *broken])
    yield Variant(
        "chatgpt", "broken trees", {"conversations.json": body}, tuple(author.marks), person="ana", prompts=True
    )
    author = Author()
    author.own = author.other  # type: ignore[method-assign]
    yield Variant("chatgpt", "not on request", {"conversations.json": dump([whole(author)])}, (), person="ana")


def said(sender: str, text: str, *parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"uuid": text[:20], "sender": sender, "text": text, "content": list(parts), "created_at": None} | more


@maker
def claude() -> Iterator[Variant]:
    author = Author()
    messages = [
        said("human", author.own(LONG), created_at="2024-05-01T10:00:00.123456Z"),
        said("assistant", author.other(LONG), {"type": "text", "text": author.other()}),
        said(
            "human", "", {"type": "text", "text": author.own(LONG)}, {"type": "tool_result", "text": author.other(LONG)}
        ),
        said("human", author.own(LONG), attachments=[{"file_name": "a.txt", "extracted_content": author.other(LONG)}]),
        said("human", author.other(5)),
        said("human", f'Is this right? """{author.other(LONG)}"""'),
        3,
    ]
    talk = {"uuid": "u", "name": "A talk", "created_at": "2024-05-01T09:00:00Z", "chat_messages": messages}
    body = dump([talk, {"uuid": "v", "chat_messages": None}, None])
    yield Variant("claude", "array", {"conversations.json": body, "users.json": b"[]"}, tuple(author.marks),
                  person="ana", prompts=True)  # fmt: skip
    author = Author()
    branch = [
        said("human", author.own(LONG), uuid="1", parent_message_uuid="0"),
        said("assistant", author.other(LONG), uuid="2", parent_message_uuid="1"),
        said("human", author.other(LONG), uuid="3", parent_message_uuid="2"),
        said("human", author.own(LONG), uuid="4", parent_message_uuid="2"),
    ]
    one = {"uuid": "u", "current_leaf_message_uuid": "4", "chat_messages": branch}
    yield Variant("claude", "one object", {"talk.json": dump(one)}, tuple(author.marks), person="ana", prompts=True)
