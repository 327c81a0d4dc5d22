"""A text without what its writer did not write as prose: quoted lines, code, links, markup of chats."""

from __future__ import annotations

import re

from copersona.runtime.history.markup import plain

FENCED = re.compile(r"^[ \t]*(```|~~~).*?(?:^[ \t]*\1[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
INLINE_FENCE = re.compile(r"```.*?```", re.DOTALL)
LINK = re.compile(r"(?:<)?\b(?:https?|ftp)://[^\s<>]+>?|\bwww\.[^\s<>]+", re.IGNORECASE)
NAMED_LINK = re.compile(r"!?\[([^\[\]\n]{0,300})\]\((?:[^()\s]|\([^()\s]*\)){1,2000}(?: \"[^\"\n]*\")?\)")
QUOTED = re.compile(r"^[ \t]{0,3}(?:>|&gt;)")
BLANKS = re.compile(r"[ \t]{2,}")
GAPS = re.compile(r"\n{3,}")

ONLY_CODE, ONLY_QUOTE, ONLY_LINK = "only code", "only quoted lines", "only a link"


def prose(text: str) -> tuple[str, str]:
    """The text's own prose and, where that is empty, the reason. Lines that begin with > are left out.

    Links go and their words stay; a line that had nothing else goes.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    reason = ""
    for found, cut in ((ONLY_CODE, without_code), (ONLY_QUOTE, without_quotes), (ONLY_LINK, without_links)):
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
SILENT = re.compile(r"<(script|style|title|template)\b[^<>]{0,4000}>.*?(?:</\1\s*>|\Z)", re.DOTALL | re.IGNORECASE)
TAG = re.compile(r"<!--.*?(?:-->|\Z)|<(/?)([A-Za-z][A-Za-z0-9]{0,20})\b[^<>]{0,8000}>|<[!?][^<>]{0,8000}>", re.DOTALL)
SPACES = re.compile(r"[ \t\r\n]+")


def shown(html: str) -> str:
    """The text that a reader of a piece of HTML sees, blocks on lines of their own, what is quoted behind a >.

    In time that is in proportion, whatever is in it: the standard library's parser takes long, or ends, over some.
    """
    html = SILENT.sub("", html)
    parts: list[str] = []
    quote = end = 0
    for tag in TAG.finditer(html):
        parts.append(_data(html[end : tag.start()], quote))
        end, name = tag.end(), (tag[2] or "").lower()
        if name == "blockquote":
            quote = max(0, quote + (-1 if tag[1] else 1))
            parts.append("\n")
        elif name in BLOCKS:
            parts.append("\n\n" if name == "p" and not tag[1] else "\n")
    parts.append(_data(html[end:], quote))
    return GAPS.sub("\n\n", "\n".join(line.strip() for line in "".join(parts).split("\n"))).strip()


def _data(text: str, quote: int) -> str:
    text = plain(SPACES.sub(" ", text))
    return f"\n> {text.strip()}" if quote and text.strip() else text
