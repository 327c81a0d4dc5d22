"""Text from people and models, made fit for a terminal: it is shown, never obeyed.

What is kept and what a model reads stays as it was written; only what is put on a screen goes through here.
"""

from __future__ import annotations

import re
import unicodedata

SIGN = "\ufffd"
_PICTURES = {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t"} | {0x7F: 0x2421}
_JOINERS = "\u200c\u200d"  # they join letters and emoji and move nothing
_SELECTORS = "\ufe00-\ufe0f\U000e0100-\U000e01ef"  # they choose a form of the character before them
_HIDDEN = frozenset(
    map(
        chr,
        [
            0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x2065, 0x3164, 0xFFA0,
            *range(0xFFF0, 0xFFF9), *range(0xE0000, 0xE0100), *range(0xE01F0, 0xE1000),
        ],
    )
)  # fmt: skip
"""What no font draws and no category tells: fillers, and what Unicode keeps free to be ignored."""

_STRAY = re.compile(
    rf"(?<=[\x00-\x22\x24-\x29\x2b-\x2f\x3a-\x7f{SIGN}])[{_SELECTORS}]"  # but 0-9, # and * are keycaps with one
    rf"|(?<=[\x00-\x7f{SIGN}{_JOINERS}])[{_JOINERS}]"
    rf"|(?<=[{_SELECTORS}{_JOINERS}])[{_SELECTORS}]"
)
"""A joiner or selector that has nothing to join or to choose a form of: it only hides."""


def printable(text: str) -> str:
    """The text with signs in place of what a terminal would act on: ESC is ␛, so that a colour code reads as text.

    Line ends and tabs (as blanks) stay. What turns the direction of writing, breaks lines in other ways, is half a
    character or is there without being seen becomes \\ufffd.
    """
    text = text.replace("\r\n", "\n").expandtabs(4).translate(_PICTURES)
    if text.isascii():
        return text
    return _STRAY.sub(SIGN, "".join(SIGN if _moves(c) else c for c in text))


def _moves(c: str) -> bool:
    return c in _HIDDEN or (c not in "\n" + _JOINERS and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp"))


def in_line(text: object) -> str:
    """Text that stands within a line of ours: its line ends are signs, so that it cannot begin a line of its own."""
    return str(text).replace("\r\n", "\n").replace("\n", "\u240a")


def one_line(text: str, width: int = 200) -> str:
    """The text as `printable`, on one line of at most `width` characters."""
    line = " ".join(printable(text[: 8 * width]).split())
    return line if len(line) <= width else f"{line[: width - 3].rstrip()}..."
