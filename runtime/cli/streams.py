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

import click

from copersona.runtime.common.terminal import printable

ESCAPES = "copersona.escapes"
"""Name of the error handler: \\u00e9 for what cannot be encoded, pairs of these above U+FFFF."""


ASCII = "copersona_ascii"
"""ASCII under another name: click writes UTF-8 to a stream that says it is ASCII."""


def say(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print text for people, on standard output or error. JSON for programs is printed by `click.echo`, as it is."""
    stream = sys.stderr if err else sys.stdout
    click.echo(printable(text) if stream.isatty() else text, err=err, nl=nl, color=True)  # click strips nothing


def speak_plainly() -> None:
    """Have standard output and error escape what they cannot say, and standard input read what is no text as signs."""
    for stream, errors in ((sys.stdout, ESCAPES), (sys.stderr, ESCAPES), (sys.stdin, "replace")):
        if isinstance(stream, io.TextIOWrapper) and not stream.closed:
            ascii_alone = errors == ESCAPES and codecs.lookup(stream.encoding).name == "ascii"
            stream.reconfigure(encoding=ASCII if ascii_alone else None, errors=errors)


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
