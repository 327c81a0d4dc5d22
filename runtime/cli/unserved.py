"""What is said to people who write in a script or a language that a bundle is not made for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from copersona.runtime.cli.streams import say

if TYPE_CHECKING:
    from copersona.runtime.session.session import Session

NAMED = 3  # people named in one line
CODES = 12  # languages named in one line
ALL_THE_SAME = "own texts are found and shown all the same"
FACETS = "so of another language lengths and punctuation are all that facets tell"
ENCODER = "so what is meant in another language hardly counts for who is near"
LITTLE = {
    ("facets", "encoder"): ("the measured facets and the encoder of this bundle are", FACETS),
    ("facets",): ("the measured facets of this bundle are", FACETS),
    ("encoder",): ("the encoder of this bundle is", ENCODER),
}
"""By the parts that do not serve a language: their name in a sentence, and what follows."""


def say_unserved(session: Session, scripts: Mapping[str, str], languages: Mapping[str, str], among: str = "") -> None:
    """A line on stderr each where measured facets cannot speak to the scripts, and where facets or encoder are not made
    for the languages that people write in, both by name; who is among the first is left out of the second, and `among`
    says who was asked for it."""
    from copersona.runtime.profile.served import script_name

    if scripts:
        measured = ", ".join(map(script_name, session.schema.scripts))
        say(
            f"note: {_named(scripts)}: the facets of this bundle are measured in {measured}, so what is "
            f"written in another script gives no facets by statistics; {ALL_THE_SAME}",
            err=True,
        )
    unserved = {code: session.bundle.languages.unserved(code) for code in languages.values()}
    for parts, (are, so) in LITTLE.items():
        people = {n: code for n, code in languages.items() if n not in scripts and tuple(unserved[code]) == parts}
        if people:
            made_for = _alike(unserved[next(iter(people.values()))].values())
            say(f"note: {among}{_named(people)}: {are} made for {made_for}, {so}; {ALL_THE_SAME}", err=True)


def _alike(served: Iterable[tuple[str, ...]]) -> str:
    """The languages that all of these serve."""
    first, *others = served
    return _some([code for code in first if all(code in other for other in others)], CODES) or "other languages"


def _named(found: Mapping[str, str]) -> str:
    return _some([f"{name} ({what})" for name, what in found.items()], NAMED)


def _some(words: list[str], most: int) -> str:
    more = [f"{len(words) - most:,} more"] if len(words) > most else []
    return ", ".join([*words[:most], *more])
