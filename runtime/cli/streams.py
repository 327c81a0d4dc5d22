"""The streams of a terminal or a pipe: the one door through which commands print.

* on a terminal text is shown and never obeyed: what it would act on is replaced by signs; pipes get the text as it is
* no text ends a command: what a stream's encoding cannot say is escaped as in JSON, so that a pipe of JSON stays JSON
  that means the same
"""

from __future__ import annotations

import codecs
import io
import json
import sys
from collections.abc import Iterable
from typing import Any

import click

from copersona.runtime.common.terminal import in_line, printable

ESCAPES = "copersona.escapes"
"""Name of the error handler: \\u00e9 for what cannot be encoded, pairs of these above U+FFFF."""


ASCII = "copersona_ascii"
"""ASCII under another name: click writes UTF-8 to a stream that says it is ASCII."""


def say(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print text for people, on standard output or error."""
    stream = sys.stderr if err else sys.stdout
    click.echo(printable(text) if stream.isatty() else text, err=err, nl=nl, color=True)  # click strips nothing


def say_error(error: object) -> None:
    """Print why a command ends, on one line of standard error whatever names stand in it."""
    say(f"error: {in_line(error)}", err=True)


def say_json(value: Any) -> None:
    """Print JSON for programs; on a terminal what it would act on is escaped, which means the same."""
    click.echo(_json(value), color=True)


def say_json_list(values: Iterable[Any]) -> None:
    """The same of a list that is never held as a whole."""
    click.echo("[", nl=False, color=True)
    for number, value in enumerate(values):
        click.echo((", " if number else "") + _json(value), nl=False, color=True)
    click.echo("]", color=True)


def speak_plainly() -> None:
    """Have standard output and error escape what they cannot say, and standard input read what is no text as signs."""
    for stream, errors in ((sys.stdout, ESCAPES), (sys.stderr, ESCAPES), (sys.stdin, "replace")):
        if isinstance(stream, io.TextIOWrapper) and not stream.closed:
            ascii_alone = errors == ESCAPES and codecs.lookup(stream.encoding).name == "ascii"
            stream.reconfigure(encoding=ASCII if ascii_alone else None, errors=errors)


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    if sys.stdout.isatty():
        text = "".join(c if printable(f"x{c}") == f"x{c}" else _escape(c) for c in text)
    return text


def _escape(c: str) -> str:
    """A character as JSON escapes it; json.dumps leaves some that a terminal acts on."""
    return json.dumps(c)[1:-1] if ord(c) > 0x7F else f"\\u{ord(c):04x}"


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


def _ascii(name: str) -> codecs.CodecInfo | None:
    if name != ASCII:
        return None
    known = codecs.lookup("ascii")
    return codecs.CodecInfo(
        known.encode, known.decode, known.streamreader, known.streamwriter, known.incrementalencoder,
        known.incrementaldecoder, name=ASCII,
    )  # fmt: skip


codecs.register_error(ESCAPES, _escaped)
codecs.register(_ascii)
