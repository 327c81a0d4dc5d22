"""A request as it was typed, or as it comes from stdin."""

from __future__ import annotations

import sys

from copersona.runtime.cli.streams import say
from copersona.runtime.common.composed import bounded_marks
from copersona.runtime.common.errors import HistoryError
from copersona.runtime.common.hidden import without_hidden
from copersona.runtime.history.interactions import MAX_TEXT

LONGEST = MAX_TEXT  # characters


def read_request(given: str, *, escapes: bool) -> str:
    """What is asked: `given` as typed, with `escapes` its \\n as line ends, or for - what stdin holds.

    Raises:
        HistoryError: it is blank, too long, or no text.
    """
    try:
        text = _from_stdin() if given == "-" else given.replace("\\n", "\n") if escapes else given
    except UnicodeDecodeError as error:
        raise HistoryError(f"stdin: byte {error.start + 1} is not UTF-8, expected the request as text") from None
    return check_request(text)


def check_request(text: str) -> str:
    """A request as it may be asked, without what shows nothing.

    Raises:
        HistoryError: it is blank, too long, or no text.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise HistoryError(f"the request is no text: half a character at character {error.start + 1}") from None
    if len(text) > LONGEST:
        raise HistoryError(f"the request has more than {LONGEST:,} characters; shorten it")
    if not any(character.isprintable() and not character.isspace() for character in text):
        raise HistoryError("the request is blank; say what is to be written, or give - and write it to stdin")
    shown = without_hidden(bounded_marks(text))
    if shown != text:
        what = "that show nothing (tags, text direction, marks behind the thirtieth on one letter)"
        say(f"note: of the request, {len(text) - len(shown):,} characters {what} are left out", err=True)
    return shown


def too_long(left_out: int, room: int) -> str:
    """What is said of a request that is longer than its room, as the end of a sentence."""
    what = f"{left_out:,} tokens of its middle are" if left_out else "its middle is"
    return f"longer than its room of {room:,} tokens: {what} left out (--request-tokens gives it more)"


def say_cut(left_out: int, room: int) -> None:
    """One line on stderr if tokens of a request are left out."""
    if left_out:
        say(f"note: the request is {too_long(left_out, room)}", err=True)


def _from_stdin() -> str:
    raw = sys.stdin.buffer.read(4 * LONGEST + 1)  # a character has four bytes at most
    if len(raw) > 4 * LONGEST:
        raise HistoryError(f"stdin: more than {LONGEST:,} characters; shorten the request")
    return raw.decode("utf-8")
