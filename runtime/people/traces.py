"""Where words stand in all that is kept of people: in the tables, and in the bytes of the files. It only looks.

Of a sealed store what the tables hold can be read, and its bytes tell nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from copersona.runtime.history.interactions import clean_text

if TYPE_CHECKING:
    from copersona.runtime.people.store import PeopleStore

BLOCK = 1 << 20  # bytes that are read at once


class Trace(NamedTuple):
    """A place, and how many rows or how many times in a file."""

    place: str
    times: int


def forms(words: str) -> tuple[bytes, ...]:
    """The words as they may stand in a file: as they are, cleaned, and either of it inside JSON."""
    texts = (words, clean_text(words))
    found = (form for text in texts for form in (text, _inside(text, False), _inside(text, True)))
    return tuple(dict.fromkeys(form.encode("utf-8", "replace") for form in found if form))


def in_tables(store: PeopleStore, words: str) -> Iterator[Trace]:
    """Columns of the store that hold the words, and in how many rows."""
    wanted = forms(words)
    for table, column in store.columns():
        hits = sum(any(form in value for form in wanted) for value in store.values(table, column))
        if hits:
            yield Trace(f"{table}.{column}", hits)


def in_files(store: Path, words: str) -> Iterator[Trace]:
    """Files of the store and beside it (states of prompts, what a kill left) whose bytes hold the words. To be called
    when no store of this process is open: closing a file gives its locks back."""
    wanted = forms(words)
    for path in sorted(store.parent.rglob("*")):
        ours = path.relative_to(store.parent).parts[0].lstrip(".").startswith(f"{store.stem}.")
        if not ours or path.is_symlink() or not path.is_file():
            continue
        if times := sum(_times(path, form) for form in wanted):
            yield Trace(str(path), times)


def _inside(text: str, ascii_alone: bool) -> str:
    return json.dumps(text, ensure_ascii=ascii_alone)[1:-1]


def _times(path: Path, form: bytes) -> int:
    """How often the form stands in a file, read block by block."""
    found, rest = 0, b""
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            part = rest + block
            found += part.count(form)
            rest = part[max(len(part) - len(form) + 1, 0) :]
    return found
