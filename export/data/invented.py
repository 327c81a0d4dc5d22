"""A population of invented people with planted traits: tests know the truth, a fresh clone has something to run on.

Everyone has a length, warmth, formality, expertise (each in [0, 1]) and a topic. Traits come from a handful of persona
types plus individual noise, so people alike in what shows are alike in what does not: that is what completion needs.
The text is composed of hand-written fragments: length is the number of sentences; warmth praise and exclamation marks;
formality full forms and connectives against contractions, small letters and dots; expertise figures, units and
technical terms; topic nouns.

A hidden trait does not show. Only the topic can be hidden: of style a text is never silent (no praise measures as dry),
of a topic it can be. Traits, times and lengths do not depend on `hidden`, so the same seed with `hidden=0` gives the
same people with everything shown: their histories hold what the hidden ones would have said.

Planted twins have the same traits but one, which is far off; the truth says which. A device that takes the one for the
other errs there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from copersona.export.common.files import write_text
from copersona.export.data.fragments import (
    CONNECTIVES,
    COOL,
    FIGURES,
    FORMS,
    NEUTRAL,
    PRAISE,
    QUESTIONS,
    TERMS,
    TITLES,
    TOPICAL,
    TOPICS,
    WARM,
)
from copersona.runtime.common.errors import ExportError
from copersona.runtime.history.importers import history_line
from copersona.runtime.history.interactions import Interaction

T = TypeVar("T")

START = 1_577_836_800  # 2020-01-01
DAY = 86_400
NOISE = 0.10  # spread of a trait around its type's
TOPIC_LOYALTY = 0.9  # chance that a person has the topic of their type
HIDDEN_TRAIT = "topic"
DIFFERENT = ("length", "warmth", "formality", "expertise", "topic")
"""Traits that twins may differ in."""
FAR = 0.6  # how far apart twins are on the one

TYPES = (  # length, warmth, formality, expertise of each persona type; its topic is the one in the same place
    (0.85, 0.20, 0.85, 0.90),
    (0.15, 0.85, 0.20, 0.15),
    (0.85, 0.85, 0.60, 0.15),
    (0.20, 0.15, 0.85, 0.75),
    (0.55, 0.60, 0.10, 0.85),
    (0.55, 0.15, 0.20, 0.15),
)


@dataclass(frozen=True, slots=True)
class Traits:
    """What was planted in one person; figures in [0, 1], `kind` the number of their persona type."""

    length: float
    warmth: float
    formality: float
    expertise: float
    topic: str
    kind: int


@dataclass(frozen=True, slots=True)
class Twin:
    """Who a person's planted twin is, and the one trait in which they differ."""

    of: str
    differs: str


@dataclass(frozen=True, slots=True)
class Invented:
    """A population: everyone's interactions in time order, the planted truth, which trait of whom does not show, and
    who are twins."""

    interactions: tuple[Interaction, ...]
    traits: Mapping[str, Traits]
    hidden: Mapping[str, str]
    twins: Mapping[str, Twin]


def invent(
    people: int, seed: int, *, interactions: tuple[int, int] = (6, 12), hidden: float = 0.0, twins: float = 0.0
) -> Invented:
    """Invent people with `interactions` (least, most) interactions each; a share `hidden` of them hide their topic, a
    share `twins` are twins of another.

    Raises:
        ExportError: no people, a share outside [0, 1], or an empty range.
    """
    least, most = interactions
    if people < 1 or not 0.0 <= hidden <= 1.0 or not 0.0 <= twins <= 1.0 or not 1 <= least <= most:
        raise ExportError(
            f"cannot invent {people} people with {least} to {most} interactions, a share of {hidden:g} hiding and of "
            f"{twins:g} twins: needs at least one person and interaction, and shares between 0 and 1"
        )
    names = [f"invented-{number:03d}" for number in range(1, people + 1)]
    traits = {name: _traits(Random(f"{seed}:{name}:traits")) for name in names}
    pairs = _plant_twins(traits, seed, twins)
    ranked = sorted(names, key=lambda name: Random(f"{seed}:{name}:hidden").random())
    hiding = set(ranked[: round(hidden * people)])
    rows = [row for name in names for row in _history(name, traits[name], seed, interactions, name in hiding)]
    rows.sort(key=lambda row: (row.time or 0, row.person))
    return Invented(tuple(rows), traits, {name: HIDDEN_TRAIT for name in names if name in hiding}, pairs)


def write_invented(path: Path, people: int, seed: int, *, hidden: float = 0.0, twins: float = 0.0) -> Invented:
    """Write the histories to `path`, one JSON object a line, and the truth to `truth.json` beside it."""
    found = invent(people, seed, hidden=hidden, twins=twins)
    write_text(path, "".join(f"{history_line(row)}\n" for row in found.interactions))
    lines = [f"  {json.dumps(p)}: {json.dumps(truth_row(found, p))}" for p in found.traits]
    asked = {"seed": seed, "people": people, "hidden": hidden} | ({"twins": twins} if twins else {})
    head = json.dumps(asked)[1:-1]
    write_text(path.with_name("truth.json"), f'{{{head}, "traits": {{\n' + ",\n".join(lines) + "\n}}\n")
    return found


def truth_row(found: Invented, person: str) -> dict[str, object]:
    """What was planted in a person, which trait does not show (null: all do), and of a twin whose and where not."""
    twin = found.twins.get(person)
    row = {**asdict(found.traits[person]), "hidden": found.hidden.get(person)}
    return row if twin is None else {**row, "twin": asdict(twin)}


def _pick(draw: Random, options: Sequence[T]) -> T:
    """One of the options. Only `Random.random` is used throughout: its sequence is the same in every Python."""
    return options[int(draw.random() * len(options))]


def _near(draw: Random, centre: float, spread: float) -> float:
    """About normal around the centre (sum of uniforms), with this standard deviation."""
    return centre + spread * (sum(draw.random() for _ in range(12)) - 6.0)


def _traits(draw: Random) -> Traits:
    kind = int(draw.random() * len(TYPES))
    length, warmth, formality, expertise = (round(min(max(_near(draw, c, NOISE), 0.0), 1.0), 3) for c in TYPES[kind])
    topics = tuple(TOPICS)
    topic = topics[kind] if draw.random() < TOPIC_LOYALTY else _pick(draw, topics)
    return Traits(length, warmth, formality, expertise, topic, kind)


def _plant_twins(traits: dict[str, Traits], seed: int, share: float) -> dict[str, Twin]:
    """Pair a share of the people; the second of each pair gets the first one's traits but one. `traits` is changed."""
    ranked = sorted(traits, key=lambda name: Random(f"{seed}:{name}:twin").random())
    pairs = int(share * len(ranked) / 2)
    found = {}
    for first, second in zip(ranked[:pairs], ranked[pairs : 2 * pairs], strict=True):
        draw = Random(f"{seed}:{second}:differs")
        differs = _pick(draw, DIFFERENT)
        other: dict[str, Any] = {differs: _far(draw, getattr(traits[first], differs))}
        traits[second] = replace(traits[first], **other)
        found[first], found[second] = Twin(second, differs), Twin(first, differs)
    return found


def _far(draw: Random, value: float | str) -> float | str:
    """Another topic, or a figure that is FAR away, within [0, 1]."""
    if isinstance(value, str):
        return _pick(draw, [topic for topic in TOPICS if topic != value])
    return round(min(max(value + (FAR if value < 0.5 else -FAR), 0.0), 1.0), 3)


def _history(person: str, traits: Traits, seed: int, interactions: tuple[int, int], hiding: bool) -> list[Interaction]:
    """A person's interactions, oldest first; two in three are reviews, the others answer a question."""
    shape = Random(f"{seed}:{person}:shape")
    least, most = interactions
    count = least + int(shape.random() * (most - least + 1))
    day = START + DAY * int(shape.random() * 365)
    rows = []
    for place in range(count):
        day += DAY * (1 + int(shape.random() * 60))
        sentences = max(1, round(_near(shape, 1.0 + 7.0 * traits.length, 0.8)))
        rating = float(round(min(max(_near(shape, 2.5 + 2.5 * traits.warmth, 0.7), 1.0), 5.0)))
        number = 1 + int(shape.random() * 8)
        title, question = _pick(shape, TITLES), _pick(shape, QUESTIONS)
        asked = shape.random() < 1 / 3
        text = _text(Random(f"{seed}:{person}:{place}"), traits, sentences, hiding)
        rows.append(
            Interaction(
                person=person,
                output=text,
                input=question if asked else None,
                time=float(day),
                item=None if asked else f"{'thing' if hiding else traits.topic}-{number}",
                title=None if asked else title,
                rating=None if asked else rating,
            )
        )
    return rows


def _text(draw: Random, traits: Traits, sentences: int, hiding: bool) -> str:
    """Sentences of one interaction; a template comes again only when four draws brought nothing new."""
    made: dict[str, str] = {}
    for place in range(sentences):
        drawn = [_template(draw, traits, hiding) for _ in range(4)]
        template = next((t for t in drawn if t not in made), drawn[0])
        made[template] = f"{made.get(template, '')} {_sentence(draw, traits, template, place > 0)}".strip()
    return " ".join(made.values())


def _template(draw: Random, traits: Traits, hiding: bool) -> str:
    """Which kind of sentence comes next; with the topic hidden, a neutral one stands for every topical one."""
    kind = draw.random()
    if kind < 0.2:
        return _pick(draw, WARM if draw.random() < traits.warmth else COOL)
    if kind < 0.45 and draw.random() < traits.expertise:
        return _pick(draw, FIGURES)
    if kind < 0.6 or hiding:
        return _pick(draw, NEUTRAL)
    return _pick(draw, TERMS if draw.random() < traits.expertise else TOPICAL)


def _sentence(draw: Random, traits: Traits, template: str, joined: bool) -> str:
    """The template filled in and written in the person's manner."""
    nouns, terms = (words.split() for words in TOPICS[traits.topic])
    noun, term = int(draw.random() * len(nouns)), int(draw.random() * len(terms))
    forms = {name: pair[draw.random() > 0.1 + 0.8 * traits.formality] for name, pair in FORMS.items()}
    text = template.format(
        n=nouns[noun],
        m=nouns[noun - 1 - int(draw.random() * 4)],
        t=terms[term],
        u=terms[term - 1],
        x=100 + int(1400 * draw.random()),
        y=100 + int(900 * draw.random()),
        z=10 + int(80 * draw.random()),
        good=_pick(draw, PRAISE),
        **forms,
    )
    if joined and draw.random() < 0.5 * traits.formality:
        first = text if text.startswith("I ") or text.startswith("I'") else text[0].lower() + text[1:]
        text = _pick(draw, CONNECTIVES) + first
    casual = (1.0 - traits.formality) ** 2
    if draw.random() >= casual:
        text = text[0].upper() + text[1:]
    if draw.random() < 0.7 * traits.warmth:
        return text + "!"
    return text + ("..." if draw.random() < 0.5 * casual else ".")
