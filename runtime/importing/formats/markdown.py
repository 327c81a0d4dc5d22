"""A folder of Markdown notes, such as a vault of Obsidian."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from copersona.runtime.importing.dates import in_name
from copersona.runtime.importing.json_files import time_of
from copersona.runtime.importing.lines import whole_text
from copersona.runtime.importing.prose import without_code
from copersona.runtime.importing.records import EMPTY, Format, Given, Left, Own, Record
from copersona.runtime.importing.source import Source

MAX_NOTE = 4 << 20  # bytes
CLIPPED = "a clipping (its front matter names a source)"
TEMPLATE = "a template"
EXCLUDED = "in a folder that was left out"
LONG = "longer than 4 MiB"
HIDDEN = re.compile(r"(?:^|/)\.")
TEMPLATES = frozenset(("templates", "template", "vorlagen", "modèles", "plantillas", "_templates"))
CLIPPINGS = frozenset(("clippings", "web clips", "readwise", "highlights"))
SOURCES = ("source", "url", "link", "author", "publisher")
TIMES = ("created", "date", "date created", "created_at", "creation date", "updated", "modified")
FRONT = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
FIELD = re.compile(r"^([A-Za-z_][\w \-]{0,40}):[ \t]*(.*)$")
ITEM = re.compile(r"[ \t]{0,3}(?:[-*+]|\d{1,3}[.)])[ \t]")
LEFT_OUT = (
    (re.compile(r"%%.*?%%", re.DOTALL), ""),  # comments
    (re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL), ""),
    (re.compile(r"\$\$.*?\$\$", re.DOTALL), ""),
    (re.compile(r"!\[\[[^\[\]\n]{0,300}\]\]"), ""),  # embedded notes and pictures
    (re.compile(r"\[\[[^\[\]\n|]{0,300}\|([^\[\]\n]{0,300})\]\]"), r"\1"),
    (re.compile(r"\[\[([^\[\]\n|]{0,300})\]\]"), r"\1"),
    (re.compile(r"\[\^[^\]\n]{1,40}\]:?"), ""),
    (re.compile(r"^[ \t]*\|.*$", re.MULTILINE), ""),  # tables
    (re.compile(r"^[ \t]{0,3}#{1,6}[ \t]+", re.MULTILINE), ""),
    (re.compile(r"^([ \t]*(?:[-*+]|\d{1,3}[.)])[ \t]+)\[[ xX/-]\][ \t]+", re.MULTILINE), r"\1"),
    (re.compile(r"</?[A-Za-z][^<>\n]{0,300}>"), ""),
    (re.compile(r"(\*\*|__|==|~~)(?=\S)([^\n]{1,500}?)(?<=\S)\1"), r"\2"),
)


def files(source: Source) -> list[str]:
    """All notes of a folder or a zip; one file where it is named as such."""
    return [name for name in source.names if name.endswith((".md", ".markdown")) and not HIDDEN.search(name)]


def read(source: Source, files: Sequence[str], given: Given) -> Iterator[Record]:
    """Each note is a record."""
    without = tuple(folder.strip("/").casefold() for folder in given.without)
    for name in files:
        folders = {part.casefold() for part in PurePosixPath(name).parts[:-1]}
        path = f"/{name.casefold()}"
        if any(f"/{folder}/" in path for folder in without):
            yield Left(EXCLUDED, name)
        elif folders & TEMPLATES:
            yield Left(TEMPLATE, name)
        elif folders & CLIPPINGS:
            yield Left(CLIPPED, name)
        else:
            text = whole_text(source, name, MAX_NOTE)
            yield Left(LONG, name) if text is None else _record(source, name, text, given)


def _record(source: Source, name: str, text: str, given: Given) -> Record:
    text = text.replace("\r\n", "\n")
    front = FRONT.match(text)
    fields = _fields(front[1]) if front else {}
    if any(fields.get(one) for one in SOURCES) or "clipp" in fields.get("tags", "").casefold():
        return Left(CLIPPED, name)
    if "<%" in text or "{{date" in text or "{{title" in text:
        return Left(TEMPLATE, name)
    body = text[front.end() :] if front else text
    body = _without_indented(without_code(body))
    for pattern, kept in LEFT_OUT:
        body = pattern.sub(kept, body)
    if not body.strip():
        return Left(EMPTY, name)
    title = PurePosixPath(name).stem
    when = next((time for one in TIMES if (time := time_of(fields.get(one, ""), given.zone)) is not None), None)
    when = when if when is not None else in_name(title, given.zone)
    return Own(body.strip(), f"Write a note: {title}", source.changed(name) if when is None else when)


def _without_indented(text: str) -> str:
    """Without code that is set in by four blanks, behind a blank line; what belongs to a list is none."""
    kept: list[str] = []
    blank, in_list, code = True, False, False
    for line in text.split("\n"):
        if not line.strip():
            blank = True
        elif line.startswith(("    ", "\t")):
            code = not in_list and (code or blank)
            blank = False
        else:
            code, blank, in_list = False, False, bool(ITEM.match(line))
        if not code:
            kept.append(line)
    return "\n".join(kept)


def _fields(front: str) -> dict[str, str]:
    """The simple lines of a front matter; a list below a key counts as its text."""
    fields: dict[str, str] = {}
    last = ""
    for line in front.split("\n"):
        if found := FIELD.match(line):
            last = found[1].strip().casefold()
            fields[last] = found[2].strip().strip("\"'")
        elif last and line.lstrip().startswith("- "):
            fields[last] += f" {line.strip()[2:]}"
    return fields


MARKDOWN = Format(
    name="markdown",
    title="Markdown notes (Obsidian)",
    get="the folder, or a zip of it",
    own="every note; its time is that of its front matter, of its name, or of the file",
    left="clippings, templates, folders given with `--without`, hidden ones; code, tables, quotes, embedded notes",
    files=files,
    read=read,
)
