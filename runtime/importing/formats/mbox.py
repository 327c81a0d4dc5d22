"""Mail: mbox files, as Gmail and Thunderbird write them. Read as a stream; of others' mails only the headers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from email import message_from_bytes
from email.errors import MessageError
from email.header import decode_header
from email.message import Message
from email.utils import getaddresses, parsedate_to_datetime
from typing import NamedTuple

from copersona.runtime.importing.prose import shown
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
from copersona.runtime.importing.replies import split_mail
from copersona.runtime.importing.source import Source

BEGINS = re.compile(rb"From \S.{0,200}\d\d:\d\d")
ESCAPED = re.compile(rb"^>+From ")
HIDDEN = re.compile(r"(?:^|/)\.")
MAX_LINE = 1 << 20
MAX_HEADERS, MAX_HEADER = 1 << 17, 1 << 13  # bytes of all, characters of one
MAX_MAIL = 32 << 20  # bytes; Gmail sends 25 MB
MAX_DEEP = 20  # parts inside parts
SPAM = frozenset(("spam", "trash", "papierkorb", "junk"))
SENT = frozenset(
    "sent|sent mail|sent items|gesendet|gesendete|gesendete objekte|enviados|enviado|envoyés|messages envoyés|"
    "éléments envoyés|inviata|inviati|posta inviata|verzonden|verzonden items|e-mails enviados|wysłane|sendt|"
    "sendte|skickat|skickade|lähetetyt|odeslaná pošta|odeslané|отправленные|gönderilmiş postalar|"
    "送信済み|送信済みメール|已发送|已发邮件|寄件備份|보낸편지함".split("|")
)
FAULTS = (MessageError, LookupError, ValueError, TypeError, AttributeError, RecursionError)
"""What the standard library raises over broken mails."""


class Mail(NamedTuple):
    """Its headers, and its bytes where they were asked for and are not too many."""

    headers: Message
    raw: bytes | None


def files(source: Source) -> list[str]:
    """Files that begin as an mbox does."""
    return [
        name
        for name in source.names
        if not HIDDEN.search(name)
        and (name.endswith(".mbox") or "." not in name.rsplit("/", 1)[-1] or source.is_file)
        and BEGINS.match(source.head(name).lstrip())
    ]


def who(source: Source, files: Sequence[str], given: Given) -> Who:
    """Addresses by their mails; me are those that mails with a label for what was sent come from, or files of it."""
    texts: Counter[str] = Counter()
    if given.me:
        return Who(texts, given.me)
    mine: dict[str, str] = {}
    for name in files:
        sent_file = name.rsplit("/", 1)[-1].removesuffix(".mbox").casefold() in SENT
        for mail in _mails(source, name, None):
            labels = _labels(mail.headers)
            for shown_name, address in _senders(mail.headers):
                texts[address] += 1
                if (sent_file or labels & SENT) and not labels & SPAM:
                    mine.setdefault(address, shown_name or address)
    return Who(texts, frozenset(map(key, mine)), next(iter(mine.values()), None))


def read(source: Source, files: Sequence[str], given: Given) -> Iterator[Record]:
    """The mails of every file."""
    for name in files:
        for mail in _mails(source, name, given):
            try:
                yield _record(mail, given)
            except FAULTS as error:
                yield Left(UNREADABLE, f"{type(error).__name__}")


def _record(mail: Mail, given: Given) -> Record:
    subject = _decoded(mail.headers, "Subject")
    if not given.is_me(*(address for _, address in _senders(mail.headers))):
        return Left(OTHERS, subject)
    if _labels(mail.headers) & SPAM:
        return Left("in spam or the bin", subject)
    if _decoded(mail.headers, "Auto-Submitted").casefold() not in ("", "no") or "X-Autoreply" in mail.headers:
        return Left(BOTS, subject)
    if mail.raw is None:
        return Left("longer than 32 MiB", subject)
    message = message_from_bytes(mail.raw)
    if message.get_content_type() in ("multipart/report", "text/calendar"):
        return Left(BOTS, subject)
    text = _body(message)
    if not text.strip():
        return Left(ATTACHMENT if message.is_multipart() else EMPTY, subject)
    own, quoted, forwarded = split_mail(text)
    if not own:
        return Left(FORWARD if forwarded else "only quoted lines", subject)
    about = re.sub(r"^(?:\s*(?:re|aw|antw|sv|fwd?|wg|tr|rv|r|i)\s*:\s*)+", "", subject, flags=re.IGNORECASE).strip()
    kind = f"Write an e-mail.\nSubject: {about}" if about else "Write an e-mail."
    return Own(own, quoted if quoted and not forwarded else kind, _time(mail.headers))


def _mails(source: Source, name: str, given: Given | None) -> Iterator[Mail]:
    """Every mail; its bytes only if it is by who is meant, who is nobody where `given` is None."""
    lines: list[bytes] = []
    headers: Message | None = None
    size, blank, wanted, begun = 0, True, False, False
    with source.open(name) as file:
        while line := file.readline(MAX_LINE):
            if blank and BEGINS.match(line):
                if begun:
                    yield _mail(headers, lines, size)
                lines, headers, size, begun, blank, wanted = [], None, 0, True, False, True
                continue
            blank = not line.strip()
            size += len(line)
            if headers is None and (blank or size > MAX_HEADERS):
                headers = _headers(lines)
                wanted = given is not None and given.is_me(*(address for _, address in _senders(headers)))
                lines = lines if wanted else []
            if wanted and size <= MAX_MAIL:
                lines.append(line[1:] if ESCAPED.match(line) else line)
            elif size > MAX_MAIL:
                lines = []
        if begun:
            yield _mail(headers, lines, size)


def _mail(headers: Message | None, lines: list[bytes], size: int) -> Mail:
    found = headers if headers is not None else _headers(lines)
    return Mail(found, b"".join(lines) if lines and size <= MAX_MAIL else None if size > MAX_MAIL else b"")


def _headers(lines: Sequence[bytes]) -> Message:
    try:
        return message_from_bytes(b"".join(lines))
    except FAULTS:
        return Message()


def _senders(headers: Message) -> list[tuple[str, str]]:
    try:
        values = [_text(value) for value in headers.get_all("From", [])]
        return [(name.strip(), address.strip()) for name, address in getaddresses(values) if "@" in address]
    except FAULTS:
        return []


def _labels(headers: Message) -> set[str]:
    return {label.strip().strip('"').casefold() for label in _decoded(headers, "X-Gmail-Labels").split(",")}


def _decoded(headers: Message, name: str) -> str:
    try:
        return _text(headers.get(name, ""))
    except FAULTS:
        return ""


def _text(value: object) -> str:
    """A header as text, its lines joined."""
    joined = re.sub(r"\r?\n[ \t]*", " ", str(value)[:MAX_HEADER])
    parts = []
    for part, charset in decode_header(joined):
        if isinstance(part, str):
            parts.append(part)
        else:
            parts.append(_decode(part, charset or "utf-8"))
    return "".join(parts).strip()


def _decode(raw: bytes, charset: str) -> str:
    for name in (charset, "utf-8"):
        try:
            return raw.decode(name)
        except (LookupError, ValueError):
            continue
    return raw.decode("cp1252", "replace")


def _time(headers: Message) -> float | None:
    try:
        time = parsedate_to_datetime(_decoded(headers, "Date")).timestamp()
    except (*FAULTS, OverflowError):
        return None
    return time if 0 < time < 1e11 else None


def _body(part: Message, deep: int = 0) -> str:
    """The text that a reader sees first; plain where there is a choice. Attached mails and files are none of it."""
    if part.get_content_disposition() == "attachment" or deep > MAX_DEEP:
        return ""
    payload = part.get_payload()
    if part.get_content_maintype() == "multipart" and isinstance(payload, list):
        parts = [one for one in payload if isinstance(one, Message)]
        parts.sort(key=lambda one: one.get_content_type() == "text/html")
        return next((found for one in parts if (found := _body(one, deep + 1)).strip()), "")
    kind = part.get_content_type()
    raw = part.get_payload(decode=True) if kind in ("text/plain", "text/html") else None
    if not isinstance(raw, bytes):
        return ""
    text = _decode(raw, str(part.get_content_charset() or "utf-8"))
    if kind == "text/html":
        return shown(text)
    return _unfolded(text) if str(part.get_param("format", "")).casefold() == "flowed" else text


def _unfolded(text: str) -> str:
    """Lines that end with a blank go on in the next, unless it is quoted (RFC 3676)."""
    lines: list[str] = []
    for line in text.replace("\r\n", "\n").split("\n"):
        previous = lines[-1] if lines else ""
        flows = previous.endswith(" ") and previous.strip() != "--" and not previous.startswith(">")
        if flows and line.strip() and not line.startswith(">"):
            lines[-1] += line
        else:
            lines.append(line)
    return "\n".join(lines)


MBOX = Format(
    name="mbox",
    title="E-mail (Gmail, Thunderbird, any mbox)",
    get="the zip of a Takeout of Gmail, or an mbox file",
    own="mails from your addresses; the quoted lines of an answer are what it answers",
    left="others' mails, quoted lines, forwards, signatures, automatic answers, calendars, attachments, spam and bin",
    files=files,
    read=read,
    who=who,
)
