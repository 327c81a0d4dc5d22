"""Google Keep: a JSON file a note, in a folder whose name is in the account's language."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from copersona.runtime.common.errors import HistoryError
from copersona.runtime.importing.json_files import list_at, text_at, time_of, values
from copersona.runtime.importing.prose import shown
from copersona.runtime.importing.records import EMPTY, UNREADABLE, Format, Given, Left, Own, Record
from copersona.runtime.importing.source import Source

LOOKED = 20  # files of a folder that are looked at
MAX_NOTE = 8 << 20  # bytes
MICRO = 1e-6
BIN, SHARED, LONG = "in the bin", "shared with others, who may have written in it", "longer than 8 MiB"


def files(source: Source) -> list[str]:
    """The notes of folders that hold some."""
    folders: dict[str, list[str]] = {}
    for name in source.names:
        if name.endswith(".json"):
            folders.setdefault(name.rpartition("/")[0], []).append(name)
    return [
        name for names in folders.values() if any(_is_note(source, one) for one in names[:LOOKED]) for name in names
    ]


def _is_note(source: Source, name: str) -> bool:
    start = source.head(name)
    return b'"isTrashed"' in start and b'"isPinned"' in start


def read(source: Source, files: Sequence[str], given: Given) -> Iterator[Record]:
    """Each file is a note."""
    for name in files:
        if source.size(name) > MAX_NOTE:
            yield Left(LONG, name)
            continue
        try:
            [(_, note)] = values(source, name, frozenset())
        except HistoryError as error:
            yield Left(UNREADABLE, str(error))
        else:
            yield _record(note, name) if isinstance(note, dict) else Left(UNREADABLE, name)


def _record(note: dict[str, Any], name: str) -> Record:
    title = text_at(note, "title") or ""
    if "isTrashed" not in note:
        return Left(UNREADABLE, name)
    if note["isTrashed"] is True:
        return Left(BIN, title)
    if list_at(note, "sharees"):
        return Left(SHARED, title)
    rows = [row for one in list_at(note, "listContent") if (row := text_at(one, "text"))]
    text = text_at(note, "textContent") or shown(text_at(note, "textContentHtml") or "") or "\n".join(rows)
    if not text.strip():
        return Left(EMPTY, title)
    times = (note.get("createdTimestampUsec"), note.get("userEditedTimestampUsec"))
    time = next((found for one in times if (found := time_of(one, unit=MICRO)) is not None), None)
    return Own(text.strip(), f"Write a note: {title}" if title.strip() else "Write a note.", time)


KEEP = Format(
    name="keep",
    title="Google Keep",
    get="the zip of a Takeout of Keep",
    own="your notes and lists, archived ones too",
    left="notes in the bin, notes that are shared with others, links, pictures",
    files=files,
    read=read,
)
