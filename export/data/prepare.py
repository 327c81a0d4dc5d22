"""Who and what of a crowd of reviews is dense enough to learn from: DPL's preprocessing, with its thresholds or others.

Reviews are filtered one by one, then people and items that are too rare are dropped until nothing more falls; the last
`holdout` reviews of a person (at most half) are set apart and the same is done once more to the profiles before them.
What is left is written as our own JSON lines. Needs no torch.

A rule that the data cannot speak to (items, without a metadata file) is not applied, and the figures say so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from copersona.export.common.files import replacing
from copersona.runtime.common.errors import ExportError
from copersona.runtime.history.checks import is_blank
from copersona.runtime.history.formats import Metadata, Product, read_metadata
from copersona.runtime.history.importers import history_line, load_history
from copersona.runtime.history.interactions import History, Interaction, order_history

Reviews = Mapping[str, History]
"""Reviews of each person, oldest first."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """DPL's, unless said otherwise. Lengths are in characters; a person's holdout is at most half of their reviews."""

    min_review: int = 200
    min_description: int = 100
    max_description: int = 2000
    min_users_per_item: int = 8
    min_reviews_per_user: int = 18
    max_reviews_per_user: int = 500
    holdout: int = 10
    min_profiles_per_item: int = 5
    min_profile: int = 8


# CoPersona's table 7, whose columns are video games, sports, music. It gives no least number of profiles an item must
# be in; here DPL's five eighths of the least number of people, rounded. Where it is silent, DPL's own numbers hold.
_SPARSE = Thresholds(min_review=90, min_description=50, min_users_per_item=3, min_reviews_per_user=5, holdout=3,
                     min_profiles_per_item=2, min_profile=4)  # fmt: skip
PRESETS: Mapping[str, Thresholds] = {
    "dpl": Thresholds(),
    "video_games": Thresholds(min_review=110, min_description=60, min_users_per_item=4, min_reviews_per_user=8,
                              holdout=4, min_profiles_per_item=3, min_profile=6),
    "sports": _SPARSE,
    "music": _SPARSE,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is left, everyone's reviews oldest first; how many reviews each rule removed; rules not applied."""

    histories: Reviews
    read: int
    removed: Mapping[str, int]
    skipped: tuple[str, ...]
    holdout: Mapping[str, int]
    bad: int = 0
    empty: int = 0

    def figures(self) -> dict[str, object]:
        """Plain JSON."""
        reviews = [one for history in self.histories.values() for one in history]
        sizes = [len(history) - self.holdout[person] for person, history in self.histories.items()]
        return {
            "reviews read": self.read,
            "blank texts": self.empty,
            "bad lines": self.bad,
            "removed": dict(self.removed),
            "rules not applied": list(self.skipped),
            "people": len(self.histories),
            "reviews": len(reviews),
            "held out": sum(self.holdout.values()),
            "items": len({one.item for one in reviews}),
            "profile size": sum(sizes) / len(sizes),
            "output length": sum(len(one.output) for one in reviews) / len(reviews),
        }


@dataclass(slots=True)
class _Reviews:
    """Reviews of each person while rules are applied, newest first, and the count of what each rule removed."""

    rows: dict[str, list[Interaction]]
    removed: Counter[str] = field(default_factory=Counter)

    def keep(self, rule: str, keeps: Callable[[Interaction], bool]) -> None:
        """Keep the reviews that pass, and the people who have any left."""
        for person, reviews in list(self.rows.items()):
            kept = [one for one in reviews if keeps(one)]
            self.removed[rule] += len(reviews) - len(kept)
            self.rows[person] = kept
            if not kept:
                del self.rows[person]

    def drop_people(self, rule: str, drops: Callable[[int], bool]) -> None:
        """Drop everyone whose number of reviews says so."""
        for person in [person for person, reviews in self.rows.items() if drops(len(reviews))]:
            self.removed[rule] += len(self.rows.pop(person))

    def drop_items(self, rule: str, people: Mapping[str | None, int], least: int) -> None:
        """Drop the reviews of items that fewer people than `least` have."""
        self.keep(rule, lambda one: people[one.item] >= least)

    def drop_repeated(self, rule: str) -> None:
        """Of a person's reviews of one item, or with one text, only the newest stays."""
        for person, reviews in self.rows.items():
            items: set[str | None] = set()
            texts: set[str] = set()
            kept = []
            for one in reviews:
                if one.item not in items and one.output not in texts:
                    items.add(one.item)
                    texts.add(one.output)
                    kept.append(one)
            self.removed[rule] += len(reviews) - len(kept)
            self.rows[person] = kept

    def people_of_items(self) -> Counter[str | None]:
        return Counter(item for reviews in self.rows.values() for item in {one.item for one in reviews})

    def size(self) -> int:
        return sum(map(len, self.rows.values()))


def prepare_files(
    paths: Sequence[Path],
    format: str,
    out: Path,
    thresholds: Thresholds,
    *,
    metadata: Path | None = None,
    skip_bad: bool = False,
) -> Prepared:
    """Read, filter, write `out` whole or not at all.

    Raises:
        HistoryError: what cannot be read.
        ExportError: nothing is left.
    """
    products = None if metadata is None else read_metadata(metadata, skip_bad=skip_bad)
    loaded = load_history(paths, format, skip_bad=skip_bad)
    done = prepare_reviews(loaded.interactions, thresholds, products)
    bad = len(loaded.bad) + (0 if products is None else len(products.bad))
    with replacing(out) as part, part.open("w", encoding="utf-8") as lines:
        lines.writelines(f"{history_line(one)}\n" for history in done.histories.values() for one in history)
    return replace(done, bad=bad, empty=loaded.skipped_empty)


def prepare_reviews(
    interactions: Iterable[Interaction], thresholds: Thresholds, metadata: Metadata | None = None
) -> Prepared:
    """DPL's preprocessing up to its splits (CoPersona, appendix A). Raises ExportError when nothing is left."""
    people: dict[str, list[Interaction]] = {}
    for one in interactions:
        people.setdefault(one.person, []).append(one if metadata is None else metadata.name(one))
    work = _Reviews({person: list(reversed(order_history(rows))) for person, rows in people.items()})
    read, unique = sum(map(len, people.values())), work.size()
    work.removed["the same review read twice"] = read - unique
    skipped = _reviews_alone(work, thresholds, metadata)
    _dense_reviews(work, thresholds)
    for person, reviews in work.rows.items():
        work.rows[person] = [replace(one, output=" ".join(one.output.split())) for one in reviews]
    work.drop_repeated("item or text repeated once white space is collapsed")
    histories = _dense_profiles(work, thresholds)
    if not histories:
        raise ExportError(_nothing_left(read, work.removed))
    held = {person: len(last) for person, (_, last) in histories.items()}
    return Prepared({p: (*first, *last) for p, (first, last) in histories.items()}, read, work.removed, skipped, held)


def _reviews_alone(work: _Reviews, least: Thresholds, metadata: Metadata | None) -> tuple[str, ...]:
    """Step 1: rules about one review or one item. Returns which rules the data cannot speak to."""
    work.keep("no rating, title, time or item", _complete)
    work.keep(f"text under {least.min_review} characters", lambda one: len(one.output) >= least.min_review)
    if metadata is None:
        return ("item rules (no metadata file)",)
    products = metadata.products
    work.keep("item not in the metadata, or without title", lambda one: not is_blank(_of(products, one).title or ""))
    skipped = []
    if any(product.categories is not None for product in products.values()):
        work.keep("item without categories", lambda one: bool(_of(products, one).categories))
    else:
        skipped.append("item without categories (the metadata has none)")
    if any(product.ratings is not None for product in products.values()):
        work.keep("item without a number of ratings", lambda one: bool(_of(products, one).ratings))
    else:
        skipped.append("item without a number of ratings (the metadata has none)")
    low, high = least.min_description, least.max_description
    work.keep(
        f"item's description not of {low} to {high} characters",
        lambda one: low <= len(_of(products, one).description) <= high,
    )
    return tuple(skipped)


def _of(products: Mapping[str, Product], one: Interaction) -> Product:
    return products.get(one.item or "", Product(None, "", None, None))


def _complete(one: Interaction) -> bool:
    return bool(one.rating) and one.time is not None and one.item is not None and not is_blank(one.title or "")


def _dense_reviews(work: _Reviews, least: Thresholds) -> None:
    """Step 2: no repeats, no rare items, no people with too few or too many reviews, until nothing more falls.

    Items and people are judged on the same state, as DPL does.
    """
    low, high = least.min_reviews_per_user, least.max_reviews_per_user
    size = -1
    while size != work.size():
        size = work.size()
        work.drop_repeated("item or text repeated")
        counts = work.people_of_items()
        work.drop_people(f"person with under {low} reviews", lambda n: n < low)
        work.drop_people(f"person with over {high} reviews", lambda n: n > high)
        work.drop_items(f"item of under {least.min_users_per_item} people", counts, least.min_users_per_item)


def _dense_profiles(work: _Reviews, least: Thresholds) -> dict[str, tuple[History, History]]:
    """Steps 3 and 4: profile and held-out reviews, oldest first; rare items and short profiles are dropped."""
    cut = {person: min(least.holdout, len(reviews) // 2) for person, reviews in work.rows.items()}
    held = {person: tuple(reversed(reviews[: cut[person]])) for person, reviews in work.rows.items()}
    profiles = _Reviews({person: reviews[cut[person] :] for person, reviews in work.rows.items()}, work.removed)
    short = f"person with under {least.min_profile} reviews in the profile"
    size = -1
    while size != profiles.size():
        size = profiles.size()
        rule = f"item in under {least.min_profiles_per_item} profiles"
        profiles.drop_items(rule, profiles.people_of_items(), least.min_profiles_per_item)
        profiles.drop_people(short, lambda n: n < least.min_profile)
    work.removed[short] += sum(len(last) for person, last in held.items() if person not in profiles.rows)
    return {person: (tuple(reversed(rows)), held[person]) for person, rows in profiles.rows.items()}


def _nothing_left(read: int, removed: Mapping[str, int]) -> str:
    rule, most = max(removed.items(), key=lambda row: row[1], default=("", 0))
    if not read:
        return "the histories hold no reviews"
    return (
        f"nothing is left of {read:,} reviews; most fell to: {rule} ({most:,}); "
        "lower the thresholds (sports and music are the lowest presets)"
    )
