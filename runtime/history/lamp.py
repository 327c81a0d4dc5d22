"""LaMP and LongLaMP: a record is a question, its gold output and the author's profile of earlier texts.

Each profile item becomes an interaction in the shape of the task, the question with its gold output the last one. Gold
outputs stand in the record or in a file beside it: `dev_outputs.json` for `dev_questions.json`, matched by id. Both
benchmarks come as one JSON array or as JSON lines; questions are streamed, the outputs file is read whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from copersona.runtime.common.errors import HistoryError
from copersona.runtime.history.formats import Fields, MissingField, kind, moment, needed, number, objects, optional
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.history.jsonlines import Record, read_object, read_records

MAX_OUTPUTS = 64 * 1024 * 1024  # bytes of an outputs file
WRITING = ("LaMP_3", "LaMP_4", "LaMP_5", "LaMP_7")
AUTHOR = ("user_id", "reviewerId", "author", "name", "id")  # which key names the person, the first that is there

HEADLINE = "Generate a headline for the following article: "
PAPER_TITLE = "Generate a title for the following abstract of a paper: "
TWEET = "Write a tweet."

EXPECTED = "expected a task of writing: LaMP 3, 4, 5 or 7"
LABEL = re.compile(
    r"which reference is related|\[1\] or \[2\]|which (tag|category) does this \w+ relate", re.IGNORECASE
)
LABELS = re.compile(r"\[\d\]")


class MissingGold(ValueError):
    """The record is of this format, but what its author wrote is not known."""


def outputs_path(path: Path | str) -> Path | None:
    """Where the gold outputs of a questions file are, by its name; None for a file of another name."""
    questions = Path(path)
    name = questions.name.replace("questions", "outputs")
    return None if name == questions.name else questions.with_name(name)


def read_questions(path: Path | str) -> Iterator[Record]:
    """Records with their gold `output` from the outputs file beside them, where there is one.

    Raises:
        HistoryError: a file cannot be read, or the outputs are of a task that is no writing.
    """
    outputs = outputs_path(path)
    if outputs is None or not outputs.exists():
        yield from read_records(path)
        return
    golds = _golds(outputs)
    for where, record in read_records(path):
        if isinstance(record, HistoryError):
            yield where, record
            continue
        name = str(record.get("id"))
        gold = golds.pop(name, None)
        if gold is None:
            yield where, HistoryError(f"{where}: its id {name[:40]!r} is not in {outputs.name}, or was used before")
        else:
            yield where, {**record, "output": gold}
    if golds:
        yield str(outputs), HistoryError(f"{outputs}: {len(golds)} ids have no question, such as {next(iter(golds))!r}")


def from_lamp(fields: Fields) -> Iterator[Interaction]:
    """LaMP 3 (a review's score), 4 (headlines), 5 (titles of papers), 7 (tweets)."""
    question = needed(fields, "input") if "profile" in fields else ""
    if question.lstrip().startswith("Generate an abstract"):
        raise MissingField("the question asks for an abstract, expected one of LaMP's")
    if LABEL.search(question) or LABELS.fullmatch(str(fields.get("output")).strip()):
        raise ValueError(f"the question asks for a label (LaMP 1 or 2), {EXPECTED}")
    return _history(fields, [_lamp_item(item) for item in objects(fields, "profile")])


def from_longlamp(fields: Fields) -> Iterator[Interaction]:
    """LongLaMP: abstracts of papers, posts on a topic, product reviews."""
    question = needed(fields, "input") if "profile" in fields else ""
    if question.lstrip().startswith("Generate a title"):
        raise MissingField("the question asks for a title, expected one of LongLaMP's")
    return _history(fields, [_longlamp_item(item) for item in objects(fields, "profile")])


def _history(fields: Fields, profile: list[Interaction]) -> Iterator[Interaction]:
    """The profile, then the question; it has no time of its own and takes that of the last item."""
    person = _person(fields)
    times = [item.time for item in profile if item.time is not None]
    for item in profile:
        yield replace(item, person=person)
    gold = _as_text(fields.get("output"))
    if gold is None:
        raise MissingGold("the gold 'output' is missing, and there is no outputs file beside this one")
    yield Interaction(person, gold, needed(fields, "input"), time=max(times, default=None))


def _lamp_item(item: Fields) -> Interaction:
    if "tag" in item or "category" in item:
        raise ValueError(f"the profile has labels (LaMP 2), {EXPECTED}")
    if "abstract" in item:
        return Interaction("", needed(item, "title"), PAPER_TITLE + needed(item, "abstract"), time=_date(item))
    text, title = needed(item, "text"), optional(item, "title")
    if "score" in item:
        return Interaction("", text, rating=_score(item, "score"), time=_date(item))
    if title is not None:
        return Interaction("", title, HEADLINE + text, time=_date(item))
    return Interaction("", text, TWEET, time=_date(item))


def _longlamp_item(item: Fields) -> Interaction:
    if "reviewText" in item:
        text, rating, summary = needed(item, "reviewText"), _score(item, "overall"), optional(item, "summary")
        asked = "Generate the review text written by a reviewer who has a given"
        asked += "" if rating is None else f' an overall rating of "{rating}"'
        asked += f' for a product with description "{optional(item, "description") or ""}".'
        asked += f' The summary of the review text is "{summary or ""}".'
        return Interaction("", text, asked, title=summary, rating=rating, time=_date(item))
    if "abstract" in item:
        asked = f'Generate an abstract for the title "{needed(item, "title")}"'
        return Interaction("", needed(item, "abstract"), asked, time=_date(item))
    asked = f"Generate the content for a reddit post {optional(item, 'summary') or ''}"
    return Interaction("", needed(item, "content"), asked, time=_date(item))


def _golds(path: Path) -> dict[str, str]:
    body = read_object(path, MAX_OUTPUTS)
    task = str(body.get("task")).replace("-", "_")
    if task.startswith("LaMP_") and task not in WRITING:
        raise HistoryError(f"{path}: {task[:40]!r} is no task of writing, expected one of: {', '.join(WRITING)}")
    golds: dict[str, str] = {}
    try:
        for gold in objects(body, "golds"):
            identifier, text = _as_text(gold.get("id")), _as_text(gold.get("output"))
            if identifier is None or text is None or identifier in golds:
                raise ValueError(f"the gold {len(golds) + 1} has no id and output of its own")
            golds[identifier] = text
    except ValueError as error:
        raise HistoryError(f"{path}: {error}") from None
    return golds


def _person(fields: Fields) -> str:
    for key in AUTHOR:
        found = _as_text(fields.get(key))
        if found is not None:
            return found
    raise MissingField(f"the person is missing, expected one of: {', '.join(AUTHOR)}")


def _score(item: Fields, key: str) -> float | None:
    """A number, also as text ("4")."""
    value = item.get(key)
    if isinstance(value, str):
        try:
            return number({key: float(value)}, key)
        except ValueError:
            raise ValueError(f"{key!r}: expected a number, found {value[:20]!r}") from None
    return number(item, key)


def _date(item: Fields) -> float | None:
    """Seconds since 1970 from `date` or `year`: a year, ISO 8601 or seconds; None where neither is there."""
    key = "date" if item.get("date") not in (None, "") else "year"
    value = item.get(key)
    text = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if text.isascii() and text.isdigit() and 0 < len(text) <= 4 and int(text) > 0:
        return datetime(int(text), 1, 1, tzinfo=UTC).timestamp()
    return None if value == "" else moment(item, key)


def _as_text(value: Any) -> str | None:
    """Text, or a number as text (ids and scores come as both)."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, str | int | float)):
        raise ValueError(f"expected text or a number, found {kind(value)}")
    return None if value is None else str(value)
