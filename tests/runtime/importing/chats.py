"""Exports of WhatsApp and Telegram."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .texts import Author
from .variants import Variant, dump, maker

WHATSAPP = {
    "iPhone, English": "[14/10/2021, 3:34:{:02d}\u202fPM] {}: {}",
    "iPhone, thin space": "[14/10/2021, 3:34:{:02d}\u2009PM] {}: {}",
    "iPhone, German": "[14.10.21, 15:34:{:02d}] {}: {}",
    "Android, English": "10/14/21, 3:{:02d} PM - {}: {}",
    "Android, Canada": "2023-12-20, 5:{:02d}\u00a0p.m. - {}: {}",
    "Android, German": "14.10.21, 15:{:02d} - {}: {}",
    "Android, Spanish": "14/10/2021, 3:{:02d} p.\u00a0m. - {}: {}",
    "Android, Dutch": "14-10-2021 15:{:02d} - {}: {}",
    "Android, Chinese": "2021/10/14, 下午3:{:02d} - {}: {}",
}


def chat(author: Author, form: str) -> tuple[str, dict[str, str]]:
    """A chat with everything that is left out; what the own texts answer, by their marks."""
    answers = {}
    phone = form.startswith("[")
    system = form.partition("{}: ")[0] + "Messages and calls are end-to-end encrypted. Tap to learn more."
    system = system.replace("{}", "", 0)
    asked = author.other()
    own = author.own()
    answers[author.marks[-1]] = asked
    omitted = "\u200eimage omitted" if phone else "<Media omitted>"
    lines = [
        system.format(0),
        form.format(1, "\u202aBob Smith\u202c", asked),
        form.format(2, "Ana", own),
        form.format(3, "Ana", f"{author.own()}\n\n{author.own()}"),
        form.format(4, "Bob Smith", f"{author.other()}\nand {author.other()}"),
        form.format(5, "Ana", omitted),
        ("\u200e" if phone else "") + form.format(6, "Ana", "\u200eThis message was deleted." if phone else "null"),
        form.format(7, "Bob Smith", "ok"),
        form.format(8, "Ana", "Yes"),
        form.format(9, "~\u202fBob Smith", author.other()),
        form.format(10, "Ana", f"{author.own()} \u200e<This message was edited>"),
        form.format(11, "Ana", f"https://example.com/{author.other(1).split()[0]}"),
        form.format(12, "Ana", "IMG-1.jpg (file attached)\n" + author.own()),
        form.format(13, "Ana", author.own()),
    ]
    return "\n".join(lines), answers


@maker
def whatsapp() -> Iterator[Variant]:
    for name, form in WHATSAPP.items():
        author = Author()
        text, answers = chat(author, form)
        title = "_chat.txt" if form.startswith("[") else "WhatsApp Chat with Bob Smith.txt"
        start = "\ufeff" if "German" in name else "\u200e" if form.startswith("[") else ""
        body = (start + text).replace("\n", "\r\n" if "Spanish" in name else "\n")
        raw = body.encode("utf-16" if "Dutch" in name else "utf-8")
        yield Variant("whatsapp", name, {title: raw, "IMG-1.jpg": b"\xff\xd8"}, tuple(author.marks), me=("ana",),
                      answers=answers)  # fmt: skip
    author = Author()
    text, _ = chat(author, WHATSAPP["Android, English"])
    raw = text.replace("~\u202f", "").encode()
    yield Variant("whatsapp", "who I am by the name", {"WhatsApp Chat with Bob Smith.txt": raw}, tuple(author.marks))
    author = Author()
    text, _ = chat(author, "3/4/21, 15:{:02d} - {}: {}")
    yield Variant("whatsapp", "told order of dates", {"chat.txt": text.encode()}, tuple(author.marks), me=("Ana",),
                  day_first=True)  # fmt: skip


def post(number: int, text: Any, name: str | None = "Ana", ident: str = "user1", **more: Any) -> dict[str, Any]:
    when = {"date": "2023-05-01T10:00:00", "date_unixtime": str(1_700_000_000 + number)}
    return {"id": number, "type": "message", "from": name, "from_id": ident, "text": text, **when, **more}


def messages(author: Author) -> tuple[list[Any], dict[str, str]]:
    asked, answers = author.other(), {}
    first = post(2, author.own(), reply_to_message_id=1)
    answers[author.marks[-1]] = asked
    pieces = [author.own() + " ", {"type": "bold", "text": author.own()}, {"type": "pre", "text": author.other()}]
    rich = post(4, "", rich_message={"blocks": [{"type": "paragraph", "text": [author.own()]}]})
    return [
        post(1, asked, "Bob", "user2"),
        post(11, author.other(), "Bob", "user2"),
        first,
        post(3, pieces, text_entities=[]),
        rich,
        post(5, author.other(), forwarded_from="Carl"),
        post(6, author.other(), forwarded_from=None),
        post(7, author.other(), via_bot="@gif"),
        post(8, author.other(), None, "user9"),
        post(9, "", photo="(File not included)"),
        post(10, author.own(), edited_unixtime="1700000011"),
        {"id": 12, "type": "service", "action": "pin_message", "actor": author.other(), "text": ""},
        7,
        {"type": "message"},
    ], answers


@maker
def telegram() -> Iterator[Variant]:
    author = Author()
    found, answers = messages(author)
    one = {"name": "Bob", "type": "personal_chat", "id": 2, "messages": found}
    yield Variant(
        "telegram", "one chat", {"ChatExport_2023/result.json": dump(one)}, tuple(author.marks), answers=answers
    )
    author = Author()
    found, _ = messages(author)
    group = {
        "name": "All of us",
        "type": "private_group",
        "id": 5,
        "messages": [m for m in found if isinstance(m, dict)],
    }
    yield Variant("telegram", "a group", {"result.json": dump(group)}, tuple(author.marks), me=("Ana", "@ana"))
    author = Author()
    chats = [{"name": "Bob", "type": "personal_chat", "id": 2, "messages": messages(author)[0]} for _ in range(3)]
    full = {
        "about": "Here is the data you requested.",
        "personal_information": {"user_id": 1, "first_name": "Ana"},
        "chats": {"about": "", "list": chats},
        "left_chats": {"list": [chats[0]]},
    }
    yield Variant("telegram", "all chats", {"DataExport/result.json": dump(full)}, tuple(author.marks))
