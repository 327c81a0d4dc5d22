"""Formats of a history: each a function from one record's fields to interactions, and what its fields may hold.

Raises ValueError with the end of a message (`importers.py` adds file and line), `MissingField` where a required key is
not there. A key that is not named here is ignored. Item titles stand as the one entry of `Interaction.words`, so that
the item line of a request reads the title. Also reads metadata files, which give items their titles. Knows no stores.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from copersona.runtime.common.errors import HistoryError
from copersona.runtime.history.checks import check_text, finite, is_blank, seconds
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.history.jsonlines import bad_line, listed, read_objects
from copersona.runtime.history.times import moment_of

Fields = Mapping[str, Any]
"""One JSON object of a file."""

Reader = Callable[[Fields], Iterable[Interaction]]
"""One record's fields to interactions; raises ValueError, or `MissingField` where a required key is not there."""

MILLISECONDS = 1e11  # a time from here on counts them: in seconds it would be the year 5138


class MissingField(ValueError):
    """A required key is not there: perhaps the file is in another format."""


# -- formats --------------------------------------------------------------------------------------------------------


def from_jsonl(fields: Fields) -> Iterator[Interaction]:
    """Our own lines."""
    yield Interaction(
        person=needed(fields, "person"),
        output=needed(fields, "output"),
        input=optional(fields, "input"),
        time=moment(fields, "time"),
        item=optional(fields, "item"),
        title=optional(fields, "title"),
        rating=number(fields, "rating"),
        words=_words(fields, "words"),
    )


def from_amazon2014(fields: Fields) -> Iterator[Interaction]:
    """Amazon reviews as published in 2014, the strict JSON form."""
    yield Interaction(
        person=needed(fields, "reviewerID"),
        output=_written(fields, "reviewText", "overall"),
        time=moment(fields, "unixReviewTime"),
        item=optional(fields, "asin"),
        title=optional(fields, "summary"),
        rating=number(fields, "overall"),
    )


def from_amazon2023(fields: Fields) -> Iterator[Interaction]:
    """Amazon Reviews 2023: a review a line, or a sample's line with several reviews and what was held out."""
    person = needed(fields, "user_id")
    if "history" not in fields:
        yield _review(person, fields)
        return
    held_out = fields.get("heldout")
    last = [] if held_out is None else [held_out] if isinstance(held_out, dict) else objects(fields, "heldout")
    for review in [*objects(fields, "history"), *last]:
        product = review.get("product") or {}
        if not isinstance(product, dict):
            raise ValueError(f"'product': expected an object, found {kind(product)}")
        yield Interaction(
            person=person,
            output=needed(review, "review_full"),
            time=moment(review, "timestamp_ms"),
            item=optional(review, "parent_asin"),
            title=optional(review, "review_title"),
            rating=number(review, "rating"),
            words=title_words(optional(product, "title")),
        )


def from_dpl(fields: Fields) -> Iterator[Interaction]:
    """Records of DPL and CoPersona: a profile of earlier reviews and, in `data`, the one to be written."""
    person, target = needed(fields, "user_id"), fields.get("data")
    if "profile" not in fields or target is None:
        raise MissingField(f"{'profile' if 'profile' not in fields else 'data'!r} is missing, expected reviews")
    if not isinstance(target, dict):
        raise ValueError(f"'data': expected an object, found {kind(target)}")
    for review in [*objects(fields, "profile"), target]:
        yield _review(person, review)


def _review(person: str, fields: Fields) -> Interaction:
    """One review in the names of Amazon Reviews 2023; variants of an item count as their parent."""
    return Interaction(
        person=person,
        output=_written(fields, "text", "rating"),
        time=moment(fields, "timestamp"),
        item=optional(fields, "parent_asin") or optional(fields, "asin"),
        title=optional(fields, "title"),
        rating=number(fields, "rating"),
    )


def _written(fields: Fields, key: str, rating: str) -> str:
    """What was written in a review; blank where someone left a rating and no text, which some files leave out."""
    return needed(fields, key) if fields.get(rating) is None else optional(fields, key) or ""


# -- metadata -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Product:
    """An item of a metadata file. `categories`, `ratings`: whether it has any, None where the file has no such key."""

    title: str | None
    description: str
    categories: bool | None
    ratings: bool | None


@dataclass(frozen=True, slots=True)
class Metadata:
    """Items by id, as published for Amazon 2014 and 2023 and for DPL; `bad` lines were left out."""

    path: str
    products: Mapping[str, Product]
    bad: tuple[str, ...] = ()

    def name(self, interaction: Interaction) -> Interaction:
        """With the item's title, unless the interaction has an input or item words of its own."""
        product = self.products.get(interaction.item or "")
        if product is None or interaction.words or not is_blank(interaction.input or ""):
            return interaction
        return replace(interaction, words=title_words(product.title))


def read_metadata(path: Path | str, *, skip_bad: bool = False) -> Metadata:
    """Items of a metadata file; of two lines about one item the last counts.

    Raises:
        HistoryError: the file or, without `skip_bad`, a line cannot be read, or no line is about an item.
    """
    products: dict[str, Product] = {}
    bad: list[str] = []
    for line, fields in read_objects(path):
        problem = fields if isinstance(fields, HistoryError) else None
        if isinstance(fields, dict):
            try:
                products[optional(fields, "parent_asin") or needed(fields, "asin")] = _product(fields)
            except ValueError as error:
                problem = bad_line(path, line, f"{error} (this is read as item metadata)")
        if problem is not None and not skip_bad:
            raise problem
        if problem is not None:
            listed(bad, str(problem), path)
    if not products:
        raise HistoryError(f"{path}: holds no item, expected lines with 'asin' or 'parent_asin' and 'title'")
    return Metadata(str(path), products, tuple(bad))


def _product(fields: Fields) -> Product:
    parts = fields.get("description")
    parts = parts if isinstance(parts, list) else [] if parts is None else [parts]
    if not all(isinstance(part, str) for part in parts):
        raise ValueError("'description': expected text or a list of texts")
    if len(parts) > 1 or isinstance(fields.get("description"), list):
        parts = parts[1:] if parts[:1] == ["Product Description"] else parts
    description = " ".join(parts)
    check_text("description", description)
    categories = bool(fields["categories"]) if "categories" in fields else None
    ratings = bool(fields["rating_number"]) if "rating_number" in fields else None
    return Product(optional(fields, "title"), description, categories, ratings)


# -- fields ---------------------------------------------------------------------------------------------------------


def needed(fields: Fields, key: str) -> str:
    """Text that must be there."""
    text = optional(fields, key)
    if text is None:
        raise MissingField(f"{key!r} is missing, expected text")
    return text


def optional(fields: Fields, key: str) -> str | None:
    """Text, None where it is missing or null."""
    value = fields.get(key)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{key!r}: expected text, found {kind(value)}")
    check_text(key, value)
    return value


def objects(fields: Fields, key: str) -> list[Fields]:
    """A list of objects that must be there."""
    value = fields.get(key)
    if value is None:
        raise MissingField(f"{key!r} is missing, expected a list of objects")
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise ValueError(f"{key!r}: expected a list of objects, found {kind(value)}")
    return value


def number(fields: Fields, key: str) -> float | None:
    """A finite number, None where it is missing or null."""
    value = fields.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{key!r}: expected a number, found {kind(value)}")
    try:
        return finite(key, float(value))
    except OverflowError:
        raise ValueError(f"{key!r}: the number is too large") from None


def moment(fields: Fields, key: str) -> float | None:
    """Seconds since 1970, from a number or from text (`times.py`; UTC where it names no zone).

    `timestamp_ms` holds milliseconds, `timestamp` either, told by the size.
    """
    value = fields.get(key)
    if isinstance(value, str):
        try:
            count, counted = moment_of(value)
        except (ValueError, OverflowError) as error:
            why = str(error) if str(error).startswith("expected") else "expected seconds or ISO 8601"
            raise ValueError(f"{key!r}: {why}, found {value[:40]!r}") from None
    elif (given := number(fields, key)) is None:
        return None
    else:
        count, counted = given, True
    in_milliseconds = key == "timestamp_ms" or (key == "timestamp" and abs(count) >= MILLISECONDS)
    return seconds(key, count / 1000 if counted and in_milliseconds else count)


def title_words(title: str | None) -> tuple[str, ...]:
    """An item's title, on one line and without HTML entities, as the one entry of its words; none where it is blank."""
    name = " ".join(html.unescape(title or "").split())
    return () if is_blank(name) else (name,)


def kind(value: object) -> str:
    """What a JSON value is, for a message."""
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}
    return kinds.get(type(value), "null")


def _words(fields: Fields, key: str) -> tuple[str, ...]:
    value = fields.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise ValueError(f"{key!r}: expected a list of texts, found {kind(value)}")
    return tuple(value)
