"""WhatsApp: an exported chat, a text file whose lines differ by phone and language."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from copersona.runtime.common.errors import HistoryError
from copersona.runtime.importing.dates import DayOrder, Stamp, moment
from copersona.runtime.importing.lines import MARKS, text_lines
from copersona.runtime.importing.records import (
    ATTACHMENT,
    BOTS,
    DELETED,
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
from copersona.runtime.importing.unclear import Unclear

HIDDEN = str.maketrans("", "", "\u200e\u200f\u202a\u202b\u202c\u202d\u2068\u2069\ufeff")
BLANKS = str.maketrans({"\u202f": " ", "\u2009": " ", "\u00a0": " "})
_DATE = r"(\d{1,4})([./-])(\d{1,2})\2(\d{1,4})\.?"
_HALF = r"(?: ?([ap])\.? ?m\.?| (上午|下午|午前|午後|오전|오후|vorm\.|nachm\.))?"
_CLOCK = r"(上午|下午|午前|午後|오전|오후)? ?(\d{1,2})[:.](\d{2})(?:[:.](\d{2}))?" + _HALF
BRACKETS = re.compile(rf"\[{_DATE},? {_CLOCK}\] ?", re.IGNORECASE)
DASH = re.compile(rf"{_DATE},? {_CLOCK} [-–] ", re.IGNORECASE)
LATE = frozenset(("p", "下午", "午後", "오후", "nachm."))
NAME = re.compile(r"([^:\n]{1,100}): ?")
CHAT = re.compile(
    r"WhatsApp[ -]+(?:Chat[ -]+(?:with|mit|con|avec|met|com|-) |Chat - |Unterhaltung mit |Discussion avec )"
    r"(.+?)(?:\(\d+\))?\.(?:txt|zip)$"
)
MAX_TEXT_LINES = 2_000  # of one message
LOOKED = 200  # lines of a file in which a message must stand
OMITTED = re.compile(
    r"<[^<>\n]{3,60}>|.{0,80}\((?:file attached|Datei angehängt|archivo adjunto|fichier joint|file allegato|"
    r"arquivo anexado|bestand bijgevoegd|файл добавлен)\)|"
    r"(?:image|video|audio|sticker|GIF|document|Contact card|photo|video note|voice message) omitted|"
    r"(?:Bild|Video|Audio|Sticker|GIF|Dokument|Kontaktkarte|Videonachricht) weggelassen|"
    r"(?:imagen|video|audio|sticker|GIF|documento|Tarjeta de contacto) omitid[oa]|"
    r"(?:image|vidéo|audio|sticker|GIF|document) absente?|(?:immagine|video|audio|sticker|GIF) omess[oa]|"
    r"(?:imagem|vídeo|áudio|figurinha|GIF) ocultad[oa]|(?:afbeelding|video|audio|sticker|GIF) weggelaten|"
    r".{1,200}\.vcf",
    re.IGNORECASE,
)
GONE = re.compile(
    r"(?:This message was deleted|You deleted this message|Diese Nachricht wurde gelöscht|"
    r"Du hast diese Nachricht gelöscht|Se eliminó este mensaje|Eliminaste este mensaje|Este mensaje fue eliminado|"
    r"Ce message a été supprimé|Vous avez supprimé ce message|Questo messaggio è stato eliminato|"
    r"Hai eliminato questo messaggio|Mensagem apagada|Você apagou esta mensagem|Essa mensagem foi apagada|"
    r"Dit bericht is verwijderd|U hebt dit bericht verwijderd|null)\.?",
    re.IGNORECASE,
)
MARK = 80  # characters at a message's end in which a mark stands
EDITED = re.compile(r"\s*<[^<>\n]{5,60}>$")  # "<This message was edited>", in any language


class Message(NamedTuple):
    """A message as it stands; `mark` where the program itself put its sign before the text."""

    stamp: Stamp
    clock: tuple[int, int, int]
    half: str
    name: str | None
    text: str
    mark: bool


def files(source: Source) -> list[str]:
    """The chats: text files that begin with a message."""
    return [name for name in source.names if name.endswith(".txt") and _is_chat(source, name)]


def _is_chat(source: Source, name: str) -> bool:
    start = source.head(name)
    text = start.decode("utf-16" if start.startswith(MARKS) else "utf-8-sig", "ignore")
    first = [line for line in text.split("\n")[:LOOKED] if line.strip()][:1]
    return any(_start(_plain(line)) for line in first)


def who(source: Source, files: Sequence[str], given: Given) -> Who:
    """Names by their messages. In a chat of two whose name is the other's, the one who is left is me."""
    texts: Counter[str] = Counter()
    mine: set[str] | None = None
    for name in files:
        here = Counter(one.name for one in _messages(source, name) if one.name)
        texts.update(here)
        title = next(
            (found[1] for one in (name.rsplit("/", 1)[-1], source.path.name) if (found := CHAT.search(one))), ""
        )
        others = {one for one in here if key(one) != key(title)}
        one = others if len(here) == 2 and len(others) == 1 else set()
        mine = one if mine is None or mine == one else set()
    me = frozenset(map(key, mine or ()))
    return Who(texts, me, next(iter(mine)) if mine else None)


def read(source: Source, files: Sequence[str], given: Given) -> Iterator[Record]:
    """The messages of every chat; dates are read as all of the files say."""
    order = DayOrder()
    for name in files:
        for one in _messages(source, name):
            order.tell(one.stamp)
    try:
        day_first = order.day_first(given.day_first)
    except ValueError as error:
        if order.day or order.month:
            raise HistoryError(f"{source.path}: {error}") from None
        raise Unclear(f"{source.path}: {error}", "dates") from None
    source.done = 0
    for name in files:
        talk = Talk("Write a chat message.")
        for one in _messages(source, name):
            time = moment(one.stamp, one.clock, one.half, day_first, given.zone)
            yield _record(one, time, given, talk)


def _record(one: Message, time: float | None, given: Given, talk: Talk) -> Record:
    if one.name is None:
        return Left(BOTS, one.text)
    if time is None:
        return Left(UNREADABLE, one.text)
    text = _unmarked(one.text)
    mine = given.is_me(one.name)
    if GONE.fullmatch(text):
        return Left(DELETED if mine else OTHERS, one.text)
    if OMITTED.fullmatch(text.split("\n", 1)[0]) or one.mark:
        rest = text.partition("\n")[2].strip()
        if not rest or one.mark:
            return Left(ATTACHMENT if mine else OTHERS, one.text)
        text = rest  # what was written below a picture
    if not mine:
        talk.heard(text, time)
        return Left(OTHERS, text)
    return Own(text, talk.answered(time), time)


def _unmarked(text: str) -> str:
    """Without the mark of a message that was changed."""
    if OMITTED.fullmatch(text):
        return text
    return f"{text[:-MARK]}{EDITED.sub('', text[-MARK:])}".strip()


def _plain(line: str) -> str:
    return line.translate(HIDDEN).translate(BLANKS)


def _start(line: str) -> re.Match[str] | None:
    return BRACKETS.match(line) or DASH.match(line)


def _messages(source: Source, name: str) -> Iterator[Message]:
    """Messages in the order of the file, each with the lines that follow it."""
    last: Message | None = None
    more: list[str] = []
    for line in text_lines(source, name):
        found = _message(line)
        if found is None:
            if len(more) < MAX_TEXT_LINES:
                more.append(line.translate(HIDDEN))
            continue
        if last is not None:
            yield last._replace(text="\n".join((last.text, *more)).strip())
        last, more = found, []
    if last is None:
        raise HistoryError(f"{source.where(name)}: holds no message of a layout that is known")
    yield last._replace(text="\n".join((last.text, *more)).strip())


def _message(line: str) -> Message | None:
    plain = _plain(line)
    found = _start(plain)
    if found is None:
        return None
    one, sign, two, three, before, hour, minute, second, half, after = found.groups()
    named = NAME.match(plain, found.end())
    text = plain[named.end() if named else found.end() :]
    name = named[1].strip() if named else None
    marked = (
        named is not None and re.search(rf"{re.escape(named[1][-1:])}: ?\u200e", line.translate(BLANKS)) is not None
    )
    part = (before or half or after or "").casefold()
    return Message(
        (int(one), int(two), int(three), sign),
        (int(hour), int(minute), int(second or 0)),
        "" if not part else "pm" if part in LATE else "am",
        name,
        text,
        marked,
    )


WHATSAPP = Format(
    name="whatsapp",
    title="WhatsApp",
    get="the zip or text file of a chat's menu, More, Export chat",
    own="your messages; what others wrote before them is what they answer. What you forwarded is not marked in such an "
    "export, and counts as yours",
    left="others' messages, lines of the program, what was omitted, attached or deleted",
    files=files,
    read=read,
    who=who,
)
