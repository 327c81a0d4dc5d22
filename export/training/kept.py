"""Questions with their answers that the model must not forget while it learns people: mixed into the training.

They are asked as nobody, without soft prompt and without context, so that what is learnt about people stays apart from
what is known about the world.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from copersona.export.common.files import write_text
from copersona.export.training.examples import Example
from copersona.runtime.common.errors import ExportError, HistoryError
from copersona.runtime.history.checks import is_blank
from copersona.runtime.history.interactions import clean_text
from copersona.runtime.history.jsonlines import bad_line, read_objects
from copersona.runtime.prompt.layout import Layout


@dataclass(frozen=True, slots=True)
class Kept:
    """A request that has one right answer."""

    input: str
    output: str


def read_kept(path: Path) -> tuple[Kept, ...]:
    """The lines of a file of JSON objects with "input" and "output".

    Raises:
        ExportError: a line (named) that lacks one of them, or no line at all.
    """
    kept = []
    try:
        for number, row in read_objects(path):
            if isinstance(row, HistoryError):
                raise row
            for name in ("input", "output"):
                if not isinstance(row.get(name), str) or is_blank(row[name]):
                    raise bad_line(path, number, f'{name!r} is missing or no text; expected {{"input", "output"}}')
            kept.append(Kept(clean_text(row["input"]), clean_text(row["output"])))
    except HistoryError as error:
        raise ExportError(str(error)) from error
    if not kept:
        raise ExportError(f'{path}: is empty; expected JSON lines with "input" and "output"')
    return tuple(kept)


def write_kept(path: Path, rows: Iterable[Kept]) -> None:
    """Write what `read_kept` reads."""
    lines = (json.dumps({"input": row.input, "output": row.output}, ensure_ascii=False) for row in rows)
    write_text(path, "".join(f"{line}\n" for line in lines))


def kept_example(kept: Kept, layout: Layout, answer_tokens: int) -> Example:
    """One of them as a training example."""
    prompt = layout.prompt(kept.input)
    return Example(tuple(prompt.tokens), layout.answer(kept.output)[:answer_tokens], None)
