"""Mails and folders of notes."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from email.header import Header

from .texts import Author
from .variants import Variant, maker

ME = "Ana Müller <ana@example.org>"
HEAD = "From 17@xxx Mon May 01 10:00:00 +0000 2023\n"


def mail(body: str, sender: str = ME, subject: str = "The garden", labels: str = "Sent", headers: str = "") -> str:
    name, _, address = sender.partition(" <")
    encoded = f"{Header(name, 'utf-8').encode()} <{address}" if address else sender
    head = f"From: {encoded}\nTo: bob@example.org\nSubject: {Header(subject, 'utf-8').encode()}\n"
    return f"{HEAD}X-Gmail-Labels: {labels}\n{head}Date: Mon, 1 May 2023 10:00:00 +0200\n{headers}\n{body}\n\n"


def alternative(plain: str, html: str) -> str:
    parts = (
        f'--b\nContent-Type: text/{kind}; charset="utf-8"\n\n{body}\n'
        for kind, body in (("plain", plain), ("html", html))
    )
    return 'MIME-Version: 1.0\nContent-Type: multipart/alternative; boundary="b"\n\n' + "".join(parts) + "--b--"


def mails(author: Author) -> tuple[list[str], dict[str, str]]:
    quoted, answers = author.other(), {}
    wrote = "On Sun, 30 Apr 2023 at 09:00, Bob <bob@example.org> wrote:"
    top = f"{author.own()}\n\n{author.own()}\n\n{wrote}\n\n> {quoted}\n> {author.other()}"
    answers[author.marks[-1]] = quoted
    wrapped = "On Sun, 30 Apr 2023 at 09:00, Bob The Long Name\n<bob@example.org> wrote:"
    below = f"{wrapped}\n> {author.other()}\n\n{author.own()}\n> {author.other()}\n{author.own()}"
    header = f"Von: Bob\nGesendet: Sonntag\nAn: Ana\nBetreff: Garten\n\n{author.other()}"
    goodbye = f"Mit freundlichen Grüßen\nAna {author.other(1)}"
    outlook = f"{author.own()}\n\n{goodbye}\n\n________________________________\n{header}"
    list_of = f"{author.own()}\n- {author.own(4)}\n- {author.own(4)}\nTak for i dag, {author.own(6)}"
    html = f"<html><head><style>{author.other()}</style></head><body><p>{author.own()}<br>{author.own()}</p>"
    quote = f"<blockquote>{author.other()}<p>{author.other()}</p></blockquote>"
    html += f"<div class='gmail_quote'>{wrote}<br>{quote}</div></body>"
    packed = base64.encodebytes(author.own().encode("latin-1")).decode()
    attached = 'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="m"\n\n--m\nContent-Type: text/plain\n\n{}\n'
    attached += "--m\nContent-Type: message/rfc822\n\nFrom: bob@example.org\n\n{}\n--m\nContent-Type: text/plain\n"
    attached += "Content-Disposition: attachment; filename=a.txt\n\n{}\n--m--"
    whole = alternative(author.own(), "<p>ignored, it says the same</p>").split("\n\n", 1)
    mixed = attached.format(author.own(), author.other(), author.other()).split("\n\n", 1)
    forward = "---------- Forwarded message ---------\nFrom: Bob <bob@example.org>\nDate: x\nSubject: y\n\n"
    flowed = f"{author.own()} \nand on it went.\n-- \n{author.other()}"
    return [
        mail(top, subject="Re: The garden"),
        mail(below),
        mail(outlook, subject="AW: Garten"),
        mail(list_of),
        mail(html, headers="Content-Type: text/html; charset=utf-8\n"),
        mail(packed, headers="Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: base64\n"),
        mail(whole[1], headers=whole[0] + "\n"),
        mail(mixed[1], headers=mixed[0] + "\n"),
        mail(f"{author.own()}\n\nSent from my iPhone"),
        mail(f">From where I stand {author.own()}", subject="=?broken?= x"),
        mail(forward + author.other(), subject="Fwd: news"),
        mail(f"{author.own()}\n\n{forward}{author.other()}", subject="Fwd: more"),
        mail(flowed, headers="Content-Type: text/plain; format=flowed\n"),
        mail(author.other(), headers="Auto-Submitted: auto-replied\n"),
        mail(author.other(), labels="Spam,Sent"),
        mail(author.other(), sender="Bob <bob@example.org>", labels="Inbox"),
        mail(author.other(), sender="ana@example.org.evil.example", labels="Inbox"),
        mail("BEGIN:VCALENDAR", headers="Content-Type: text/calendar\n"),
        mail(author.own(), headers="Content-Type: text/plain; charset=nonsense\n"),
    ], answers  # fmt: skip


@maker
def mbox() -> Iterator[Variant]:
    author = Author()
    found, answers = mails(author)
    yield Variant("mbox", "Takeout, told", {"Takeout/Mail/All mail.mbox": "".join(found).encode()}, tuple(author.marks),
                  me=("ana@example.org", "Ana@Other.example"), person="ana", answers=answers)  # fmt: skip
    author = Author()
    text = "".join(mails(author)[0]).replace("X-Gmail-Labels: Sent", "X-Gmail-Labels: Archiviert,\n Gesendet")
    raw = text.replace("\n", "\r\n").encode()
    yield Variant("mbox", "who I am by folded labels", {"mail.mbox": raw}, tuple(author.marks))
    author = Author()
    sent = [one for one in mails(author)[0] if "Inbox" not in one]
    raw = "".join(sent).replace("X-Gmail-Labels: Sent\n", "").encode()
    yield Variant("mbox", "Thunderbird's file of what was sent", {"Sent": raw}, tuple(author.marks))


@maker
def markdown() -> Iterator[Variant]:
    author = Author()
    other = author.other
    notes = {
        "vault/2023-05-07 Walk.md": f"# {author.own(5)}\n\n{author.own()}\n\n> {other()}\n\n```\n{other()}\n```\n",
        "vault/Front.md": f"---\ncreated: 2022-01-02\ntags: a\n---\n{author.own()}\n[[Other|{author.own(4)}]]\n",
        "vault/List.md": f"- [ ] {author.own(4)}\n- [x] {author.own(4)}\n    - {author.own(4)}\n\n    {author.own()}",
        "vault/Code.md": f"{author.own()}\n\n    {other()}\n\n    {other()}\n{author.own()}\n",
        "vault/Links.md": f"{author.own()} [{author.own(3)}](https://example.com/a_(b)) ![[{other()}]]\n",
        "vault/Table.md": f"{author.own()}\n\n| {other()} | b |\n|---|\n%% {other()} %%\n<!-- {other()} -->\n",
        "vault/Clipped.md": f"---\nsource: https://example.com\n---\n{other()}",
        "vault/Clippings/Page.md": other(),
        "vault/Templates/Day.md": other(),
        "vault/Daily.md": f"<% tp.date.now() %> {other()}",
        "vault/Copied/Poem.md": other(),
        "vault/.obsidian/x.md": other(),
        "vault/.trash/y.md": other(),
        "vault/Windows.md": f"---\r\ntitle: x\r\ntags:\r\n- a\r\n---\r\n{author.own()}\r\n",
        "vault/empty.md": "",
        "vault/picture.png": "",
    }
    files = {name: text.encode() for name, text in notes.items()}
    files["vault/Wide.md"] = author.own().encode("utf-16")
    yield Variant("markdown", "Obsidian", files, tuple(author.marks), person="ana", without=("vault/Copied",))
