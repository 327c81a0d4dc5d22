"""A person as one JSON file without loss, which is read back. It holds everything about them in plain text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from copersona.runtime.common.errors import HistoryError
from copersona.runtime.history.checks import MAX_NAME, check_interaction, check_person
from copersona.runtime.history.interactions import MAX_TEXT, Interaction
from copersona.runtime.people.conversation_files import (
    any_line,
    any_text,
    any_time,
    conversation_json,
    of_kind,
    one_of,
    read_conversation,
    read_envelope,
)
from copersona.runtime.people.whole import Pairs, WholePerson
from copersona.runtime.people.wishes import LONGEST_QUOTE, About, Kind, Revision, Target, check_words

FORMAT = "copersona-person"
VERSION = 1
MOST_NUMBER = 2**53  # that a revision may have: what JSON's readers keep whole
FIELDS = ("output", "input", "time", "item", "title", "rating", "words")


def person_json(one: WholePerson) -> Iterator[str]:
    """A person as one JSON object, in pieces. A field that a text has not is left out."""
    head = {"format": FORMAT, "version": VERSION, "person": one.name, "added": one.added}
    yield json.dumps(head | {"last_revision": one.last_revision}, ensure_ascii=False)[:-1]
    lists = {
        "texts": (_text_row(text, text.digest in one.adopted) for text in one.texts),
        "revisions": map(_revision_row, one.revisions),
        "conversations": (conversation_json(*each) for each in one.conversations),
        "enrolments": ({"population": of, "peer": peer} for of, peer in one.enrolments),
        "bundle_enrolments": ({"bundle": of, "peer": peer} for of, peer in one.bundle_enrolments),
    }
    for name, rows in lists.items():
        yield f', "{name}": ['
        for number, row in enumerate(rows):
            yield (",\n" if number else "\n") + json.dumps(row, ensure_ascii=False)
        yield "]"
    yield "}\n"


def read_person(text: str, where: str = "the body") -> WholePerson:
    """A person out of what `person_json` wrote. `where` names the source in errors.

    Raises:
        HistoryError: it is something else, or a field of it cannot be kept; the message says which.
    """
    try:
        return _person(read_envelope(text, FORMAT, VERSION))
    except RecursionError:
        raise HistoryError(f"{where}: nested too deeply") from None
    except ValueError as error:
        raise HistoryError(f"{where}: no export of a person ({error})") from None


def read_person_file(path: Path) -> WholePerson:
    """The same of a file. Raises HistoryError, OSError."""
    try:
        return read_person(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise HistoryError(f"{path}: byte {error.start + 1} is not UTF-8") from None


def _person(body: dict[str, Any]) -> WholePerson:
    name = check_person(any_text(body.get("person"), "person", 4 * MAX_NAME))
    rows = {part: of_kind(list, body.get(part), part) for part in ("texts", "revisions", "conversations")}
    texts = [_text(row, name, f"texts[{n}]") for n, row in enumerate(rows["texts"])]
    revisions = tuple(_revision(row, f"revisions[{n}]") for n, row in enumerate(rows["revisions"]))
    last = _whole(body.get("last_revision"), "last_revision", 0)
    _check_numbers(revisions, last)
    return WholePerson(
        name=name,
        added=any_line(body.get("added"), "added"),
        texts=tuple(text for text, _ in texts),
        adopted=frozenset(text.digest for text, adopted in texts if adopted),
        revisions=revisions,
        last_revision=last,
        conversations=tuple(
            read_conversation(row, name, f"conversations[{n}]") for n, row in enumerate(rows["conversations"])
        ),
        enrolments=_pairs(body, "enrolments", "population"),
        bundle_enrolments=_pairs(body, "bundle_enrolments", "bundle"),
    )


def _text_row(text: Interaction, adopted: bool) -> dict[str, Any]:
    fields = {name: value for name, value in asdict(text).items() if name in FIELDS and value not in (None, ())}
    return fields | {"adopted": True} if adopted else fields


def _text(given: object, person: str, at: str) -> tuple[Interaction, bool]:
    row: dict[str, Any] = of_kind(dict, given, at)

    def text(name: str) -> str | None:
        return None if row.get(name) is None else any_text(row[name], f"{at}.{name}", MAX_TEXT)

    def number(name: str) -> float | None:
        value = row.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ValueError(f"{at}.{name} is no number")
        return None if value is None else float(value)

    words = of_kind(list, row.get("words", []), f"{at}.words")
    one = Interaction(
        person, text("output") or "", text("input"), number("time"), text("item"), text("title"), number("rating"),
        tuple(any_text(word, f"{at}.words", MAX_TEXT) for word in words),
    )  # fmt: skip
    try:
        return check_interaction(one), of_kind(bool, row.get("adopted", False), f"{at}.adopted")
    except ValueError as error:
        raise ValueError(f"{at}: {error}") from None


def _revision_row(one: Revision) -> dict[str, Any]:
    return {**asdict(one), "target": {one.target.about: one.target.name}}


def _revision(given: object, at: str) -> Revision:
    row: dict[str, Any] = of_kind(dict, given, at)
    kind: Kind = one_of(get_args(Kind), row.get("kind"), f"{at}.kind")
    target: dict[str, Any] = of_kind(dict, row.get("target"), f"{at}.target")
    if len(target) != 1:
        raise ValueError(f"{at}.target has {len(target)} fields, expected one")
    about: About = one_of(get_args(About), next(iter(target)), f"{at}.target")
    name = any_text(target[about], f"{at}.target.{about}", LONGEST_QUOTE)
    words = check_words(any_text(row.get("words"), f"{at}.words", MAX_TEXT)) if kind == "correct" else ""
    undoes = _whole(row.get("undoes"), f"{at}.undoes", 1) if kind == "undo" else None
    number, time = _whole(row.get("number"), f"{at}.number", 1), any_time(row.get("time"), f"{at}.time")
    return Revision(number, time, kind, Target(about, name), words, undoes)


def _check_numbers(revisions: tuple[Revision, ...], last: int) -> None:
    """Numbers rise up to the last one that was given, and who undoes comes after what it undoes."""
    before = 0
    for one in revisions:
        if not before < one.number <= last or (one.undoes or 0) >= one.number:
            raise ValueError(f"revision {one.number} is not in its order")
        before = one.number


def _pairs(body: dict[str, Any], part: str, of: str) -> Pairs:
    rows = [of_kind(dict, row, part) for row in of_kind(list, body.get(part), part)]
    return tuple((any_line(row.get(of), f"{part}.{of}"), any_line(row.get("peer"), f"{part}.peer")) for row in rows)


def _whole(value: object, at: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MOST_NUMBER:
        raise ValueError(f"{at} is no whole number of {least} or more")
    return value
