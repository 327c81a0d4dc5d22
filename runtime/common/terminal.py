"""Text from people and models, made fit for a terminal: it is shown, never obeyed.

What is kept and what a model reads stays as it was written; only what is put on a screen goes through here.
"""

from __future__ import annotations

import unicodedata

_PICTURES = {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t"} | {0x7F: 0x2421}
_JOINERS = "\u200c\u200d"  # they join letters and emoji and move nothing


def printable(text: str) -> str:
    """The text with signs in place of what a terminal would act on: ESC is ␛, so that a colour code reads as text.

    Line ends and tabs (as blanks) stay. What turns the direction of writing, breaks lines in other ways or is half a
    character becomes \\ufffd.
    """
    text = text.replace("\r\n", "\n").expandtabs(4).translate(_PICTURES)
    return "".join("\ufffd" if _moves(c) else c for c in text)


def _moves(c: str) -> bool:
    return c not in "\n" + _JOINERS and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def one_line(text: str, width: int = 200) -> str:
    """The text as `printable`, on one line of at most `width` characters."""
    line = " ".join(printable(text[: 8 * width]).split())
    return line if len(line) <= width else f"{line[: width - 3].rstrip()}..."
