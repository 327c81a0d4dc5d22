"""A text without what its writer did not write as prose: quoted lines, code, links, markup of chats."""

from __future__ import annotations

import re
from html.parser import HTMLParser

FENCED = re.compile(r"^[ \t]*(```|~~~).*?(?:^[ \t]*\1[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
INLINE_FENCE = re.compile(r"```.*?```", re.DOTALL)
LINK = re.compile(r"(?:<)?\b(?:https?|ftp)://[^\s<>]+>?|\bwww\.[^\s<>]+", re.IGNORECASE)
NAMED_LINK = re.compile(r"!?\[([^\[\]\n]{0,300})\]\((?:[^()\s]|\([^()\s]*\)){1,2000}(?: \"[^\"\n]*\")?\)")
QUOTED = re.compile(r"^[ \t]{0,3}(?:>|&gt;)")
BLANKS = re.compile(r"[ \t]{2,}")
GAPS = re.compile(r"\n{3,}")

ONLY_CODE, ONLY_QUOTE, ONLY_LINK = "only code", "only quoted lines", "only a link"


def prose(text: str, *, quotes: bool = True) -> tuple[str, str]:
    """The text's own prose and, where that is empty, the reason. With `quotes`, lines that begin with > are left out.

    Links go and their words stay; a line that had nothing else goes.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    reason = ""
    for found, cut in ((ONLY_CODE, without_code), (ONLY_QUOTE, without_quotes), (ONLY_LINK, without_links)):
        if found == ONLY_QUOTE and not quotes:
            continue
        rest = cut(text).strip()
        if not rest and text.strip():
            reason = found
        text = rest
    return GAPS.sub("\n\n", text).strip(), reason


def without_code(text: str) -> str:
    """Without fenced blocks; an open one runs to the end."""
    return INLINE_FENCE.sub("", FENCED.sub("", text)) if "```" in text or "~~~" in text else text


def without_quotes(text: str) -> str:
    """Without the lines that begin with >."""
    if ">" not in text and "&gt;" not in text:
        return text
    return "\n".join(line for line in text.split("\n") if not QUOTED.match(line))


def without_links(text: str) -> str:
    """Without addresses; [words](address) gives its words."""
    if "](" in text:
        text = NAMED_LINK.sub(lambda found: "" if found[0].startswith("!") else found[1], text)
    if not re.search(r"://|www\.", text, re.IGNORECASE):
        return text
    lines = []
    for line in text.split("\n"):
        bare = LINK.sub("", line)
        if bare == line or any(map(str.isalnum, bare)):
            lines.append(line if bare == line else BLANKS.sub(" ", bare).strip())
    return "\n".join(lines)


BLOCKS = frozenset("p div br li ul ol tr table h1 h2 h3 h4 h5 h6 pre hr section article header footer dd dt".split())
SILENT = frozenset(("script", "style", "head", "title", "template"))
EMPTY_TAGS = frozenset(("br", "hr", "img", "meta", "link", "input", "area", "base", "col", "wbr", "source"))
MAX_DEEP = 200  # open tags that are followed


class _Shown(HTMLParser):
    """Text as it is shown; a blockquote's lines begin with >."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._silent: list[str] = []
        self._quote = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        quoting = tag == "blockquote" or "gmail_quote" in (given.get("class") or "")
        if tag in SILENT or quoting or self._silent:
            if tag not in EMPTY_TAGS and len(self._silent) < MAX_DEEP and (self._silent or tag in SILENT):
                self._silent.append(tag)
            elif quoting:
                self._quote += tag == "blockquote"
                self.parts.append("\n")
        elif tag in BLOCKS:
            self.parts.append("\n\n" if tag == "p" else "\n")

    def handle_endtag(self, tag: str) -> None:
        if self._silent:
            if tag in self._silent:
                while self._silent.pop() != tag:
                    pass
        elif tag == "blockquote" and self._quote:
            self._quote -= 1
            self.parts.append("\n")
        elif tag in BLOCKS and tag != "br":
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            data = re.sub(r"[ \t\r\n]+", " ", data)
            if self._quote and data.strip():
                data = f"\n> {data.strip()}"
            self.parts.append(data)


def shown(html: str) -> str:
    """The text that a reader of a piece of HTML sees, blocks on lines of their own, what is quoted behind a >."""
    reader = _Shown()
    reader.feed(html)
    reader.close()
    lines = [line.strip() for line in "".join(reader.parts).replace("\xa0", " ").split("\n")]
    return GAPS.sub("\n\n", "\n".join(lines)).strip()
