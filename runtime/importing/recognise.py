"""Which program an export is of, and who in it is meant: told, inferred and said, or refused with what settles it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from copersona.runtime.common.errors import HistoryError, UnknownKind
from copersona.runtime.history.checks import check_person
from copersona.runtime.importing.export import Export
from copersona.runtime.importing.formats.amazon import AMAZON
from copersona.runtime.importing.formats.chatgpt import CHATGPT
from copersona.runtime.importing.formats.claude import CLAUDE
from copersona.runtime.importing.formats.discord import DISCORD
from copersona.runtime.importing.formats.keep import KEEP
from copersona.runtime.importing.formats.markdown import MARKDOWN
from copersona.runtime.importing.formats.mastodon import MASTODON
from copersona.runtime.importing.formats.mbox import MBOX
from copersona.runtime.importing.formats.reddit import REDDIT
from copersona.runtime.importing.formats.slack import SLACK
from copersona.runtime.importing.formats.telegram import TELEGRAM
from copersona.runtime.importing.formats.whatsapp import WHATSAPP
from copersona.runtime.importing.formats.x import X
from copersona.runtime.importing.records import Format, Given, Who, key
from copersona.runtime.importing.source import Source
from copersona.runtime.importing.unclear import Unclear

ALL = (CHATGPT, CLAUDE, MBOX, WHATSAPP, TELEGRAM, SLACK, DISCORD, REDDIT, MASTODON, X, KEEP, AMAZON, MARKDOWN)
FORMATS: dict[str, Format] = {one.name: one for one in ALL}
NAMED = 8  # people of an export who are named where it is not said who is meant


def recognised(source: Source) -> list[tuple[Format, Sequence[str]]]:
    """The formats that a source holds, each with its files."""
    found = ((one, one.files(source)) for one in FORMATS.values())
    return [(one, files) for one, files in found if files]


def open_export(
    source: Source,
    format: str = "auto",
    given: Given | None = None,
    person: str | None = None,
    *,
    prompts: bool = False,
    keep_junk: bool = False,
) -> Export:
    """The export in a source, with who is meant in it.

    Raises:
        HistoryError: it is none that is known.
        Unclear: it is more than one, or it is not told who is meant.
    """
    one, files = _format(source, format)
    given = given or Given()
    name = None
    if one.who is not None:
        who = one.who(source, files, given)
        name, given = who.name, _meant(source, one, who, given)
    try:
        kept = check_person(person or name or "")
    except ValueError as error:
        why = "name the person to keep with --person" if not (person or name) else f"--person: {error}"
        raise Unclear(f"{source.path}: recognised as {one.name}; {why}", "person") from None
    return Export(source, one, files, given, kept, prompts=prompts, keep_junk=keep_junk)


def _format(source: Source, format: str) -> tuple[Format, Sequence[str]]:
    if format != "auto":
        files = FORMATS[format].files(source)
        if not files:
            raise HistoryError(f"{source.path}: this is no {format} export; it needs {FORMATS[format].get}")
        return FORMATS[format], files
    found = recognised(source)
    if not found:
        raise UnknownKind(f"{source.path}: no export that is known ({', '.join(FORMATS)})")
    if len(found) > 1:  # notes may lie beside anything
        found = [pair for pair in found if pair[0] is not MARKDOWN]
    if len(found) > 1:
        names = [one.name for one, _ in found]
        said = f"{source.path}: holds {len(found)} exports ({', '.join(names)}); say which with --format"
        raise Unclear(said, "format", tuple((name, 0) for name in names))
    return found[0]


def _meant(source: Source, format: Format, who: Who, given: Given) -> Given:
    """With who is meant: those that were named, or whom the export itself names."""
    if given.me:
        if who.texts and not any(map(given.is_me, who.texts)) and not who.me & given.me:
            said = f"{source.path}: nobody in it is called so (--me); there are {_people(who)}"
            raise Unclear(said, "me", _named(who))
        return replace(given, me=given.me | (who.me if who.me & given.me else frozenset()))
    if not who.me:
        said = f"{source.path}: recognised as {format.name}; who are you in it? say --me NAME: {_people(who)}"
        raise Unclear(said, "me", _named(who))
    return replace(given, me=who.me)


def _named(who: Who) -> tuple[tuple[str, int], ...]:
    return tuple(who.texts.most_common(NAMED))


def _people(who: Who) -> str:
    named = ", ".join(f"{name!r} ({count:,})" for name, count in _named(who))
    return f"{named}{' and others' if len(who.texts) > NAMED else ''}" if named else "nobody"


def names(me: Sequence[str]) -> frozenset[str]:
    """The names of --me as they are compared."""
    return frozenset(key(name) for name in me if key(name))


def is_export(path: Path) -> bool:
    """Whether a path is read as an export though no format was named: a folder, a zip, or a file that is recognised.

    Raises:
        HistoryError: a tar archive, or what cannot be read at all.
    """
    if str(path).endswith((".tar", ".tgz", ".tar.gz", ".tar.xz")):
        raise UnknownKind(f"{path}: a tar archive, which is not read; unpack it and give the folder")
    with Source(path) as source:
        return not source.is_file or bool(recognised(source))
