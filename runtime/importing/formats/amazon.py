"""Amazon's own data: the reviews of a customer, as CSV whose columns have had several names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from copersona.runtime.common.errors import HistoryError
from copersona.runtime.history.markup import plain
from copersona.runtime.importing.json_files import time_of
from copersona.runtime.importing.records import EMPTY, Format, Given, Left, Own, Record
from copersona.runtime.importing.source import Source
from copersona.runtime.importing.tables import Row, columns, rows

NAME = re.compile(r"CustomerReviews[^/]*\.csv$", re.IGNORECASE)
BODY, TITLE = ("ReviewBody", "Body", "reviewText"), ("ReviewTitle", "Title")
TIME = ("LastModifiedDate", "SubmissionDate", "ReviewDate")
PRODUCT, STARS = ("ProductName", "ProductTitle"), ("StarRating", "Rating", "OverallRating")
EARLIER = "an earlier version of a review"
MAX_REVIEWS = 100_000  # of one export; the last version of each is held


def files(source: Source) -> list[str]:
    """The reviews."""
    named = [name for name in source.names if NAME.search(name) or (source.is_file and name.endswith(".csv"))]
    return [name for name in named if "ASIN" in (found := columns(source, name)) and found & {*BODY}]


def read(source: Source, files: Sequence[str], given: Given) -> Iterator[Record]:
    """Each review is a record, the last version of one that stands several times."""
    last: dict[str, Own] = {}
    for name in files:
        for row in rows(source, name):
            one = _review(row, given)
            if isinstance(one, Left):
                yield one
                continue
            before = last.get(one.item or "") if one.item else None
            if before is None and not one.item:
                yield one
                continue
            later = before is None or (one.time or 0.0) >= (before.time or 0.0)
            if before is not None:
                yield Left(EARLIER, before.text if later else one.text)
            if later:
                last[one.item or ""] = one
            if len(last) > MAX_REVIEWS:
                raise HistoryError(f"{source.where(name)}: more than {MAX_REVIEWS:,} reviews, the most of one export")
    yield from last.values()


def _review(row: Row, given: Given) -> Record:
    text = plain(_first(row, BODY)).strip()
    title, product = plain(_first(row, TITLE)).strip() or None, plain(_first(row, PRODUCT)).strip() or None
    if not text:
        return Left(EMPTY, title or "")
    stars = re.match(r"[0-5](?:\.\d)?", _first(row, STARS))
    time = next((found for one in TIME if (found := time_of(row.get(one, ""), given.zone)) is not None), None)
    return Own(text, "", time, row.get("ASIN", "").strip() or None, title, float(stars[0]) if stars else None, product)


def _first(row: Row, names: Sequence[str]) -> str:
    return next((row[name] for name in names if row.get(name, "").strip()), "")


AMAZON = Format(
    name="amazon",
    title="Amazon, your own data",
    get="the zip of Request your data, or its Retail.CustomerReviews file",
    own="your reviews, with item, title and rating",
    left="ratings without a text, earlier versions of a review",
    files=files,
    read=read,
)
