"""Whether requests that have to do with a person are told from those that have not: thresholds chosen, then judged.

    python benchmarks/relevance.py RUN QA

RUN is a finished run of reviews, QA a folder with webquestions_{trainmodel,val}.json, hotpot_dev_v1_simplified.json and
prefeval_explicit.jsonl. Every question meets the history of another person of the run. The thresholds in
`runtime/prompt/relevance.py` are those that the sets to choose on suggest; the judged sets were not looked at for them,
and the hand-written ones were written before there was a threshold.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ != "__main__":
    raise ImportError("a script, not a module")

import numpy as np

from copersona.export.run.run import Run
from copersona.runtime.bundle.opened import Bundle
from copersona.runtime.history.interactions import History
from copersona.runtime.prompt.relevance import WRITING, Examples

EACH = 400  # questions of a set
WISHES = """Draft a note to the neighbours about the noise last night.
Write something nice under Ana's holiday pictures.
I need an answer to my aunt, she asks whether I come for Christmas.
Write a one-star review for the amp that broke after a week.
Give my honest opinion on the strap I bought.
Put this into my words: The delivery was delayed by three days.
How would I describe the sound of this pedal?
Write the text for my profile.
Send the team a short update that the release slips to Monday.
Write a poem to my wife as I would.
Compose a tweet about the match.
Say sorry to Tom for missing his call.
Leave a tip for other buyers about these tuners.
Write a eulogy for my grandfather.
What would I answer to "are you free on Sunday"?
Write a blog post about learning to play the banjo at fifty.
Ask the plumber when he can come.
Tell my teacher that I hand it in late.
Review: microphone stand, 3 of 5, title "ok for the price".
Write the opening of a speech for my retirement.
Write a message to sell my old drum kit.
What kind of guitars do I like?
Write a thank-you to the nurses.
Turn my notes into a message to the band.
Write a complaint to the railway.
Write a rant about bad capos.
Describe my trip to Norway for my friends.
Write an invitation to my 40th birthday.
Comment on the new album.
Answer this review of my shop.""".splitlines()
SUMS_FACTS_CODE = """who was the first man on the moon
what is 15% of 240
integrate x^2 from 0 to 3
write a bash script that renames all jpg files
what's the difference between a list and a tuple
how tall is mount everest
define the word ubiquitous
what is the population of canada
convert 72 fahrenheit to celsius
explain the pythagorean theorem
who painted the mona lisa
how does a diesel engine work
which river flows through cairo
write a css rule that centers a div
what is the derivative of sin(x)
name three noble gases
what does http stand for
when was mozart born
is 97 a prime number
what currency is used in japan
write a java class for a stack
how many ounces are in a pound
what causes the tides
who won the world cup in 1998
what is the speed of light
how do I list open ports on linux
spell out 4096 in words
what is dna made of
translate "thank you" into german
what is the plural of octopus""".splitlines()


@dataclass(frozen=True)
class Set:
    """Requests of one kind, and whether a person is to be recalled for them (None: either will do)."""

    name: str
    requests: Sequence[str]
    wanted: bool | None
    judged: bool


def sets(run: Run, qa: Path) -> Iterator[Set]:
    """All sets; questions and people of the sets to choose on are in no judged one."""
    draw = random.Random(0)
    hotpot = [row["question"] for row in json.loads((qa / "hotpot_dev_v1_simplified.json").read_text())]
    prefer = [json.loads(line)["question"] for line in (qa / "prefeval_explicit.jsonl").read_text().splitlines()]
    for questions in (hotpot, prefer):
        draw.shuffle(questions)
    half = len(hotpot) // 2
    for judged, web, hot, asked in (
        (False, "webquestions_trainmodel.json", hotpot[:half], prefer[:500]),
        (True, "webquestions_val.json", hotpot[half:], prefer[500:]),
    ):
        rows: list[dict[str, Any]] = json.loads((qa / web).read_text())
        field = next(name for name in rows[0] if name.casefold() in ("qtext", "question"))
        yield Set("WebQuestions", draw.sample([str(row[field]) for row in rows], EACH), False, judged)
        yield Set("HotpotQA", draw.sample(hot, EACH), False, judged)
        yield Set("PrefEval, what would suit me", draw.sample(asked, EACH), None, judged)
    people = [person for person, split in run.splits.items() if split.held_out]
    yield Set(
        "reviews, last but one",
        [run.histories[p][-2].request() for p in people if len(run.histories[p]) > 2],
        True,
        False,
    )
    yield Set("reviews, last", [run.histories[p][-1].request() for p in people], True, True)
    yield Set("wishes, by hand", WISHES, True, True)
    yield Set("sums, facts, code, by hand", SUMS_FACTS_CODE, False, True)


def main() -> None:
    """Print a table, and what of the gain is kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("qa", type=Path)
    given = parser.parse_args()
    run = Run.open(given.run)
    from copersona.runtime.assemble.assemble import whole_bundle

    folder = run.path("bundle")
    examples = Examples(Bundle(whole_bundle(folder)).encoder.encode)
    histories = [run.histories[p][:-1] for p, split in run.splits.items() if split.held_out]
    print(f"threshold {WRITING}; a share of requests, and quantiles of how much nearer they are to writing")
    for one in sets(run, given.qa):
        describe(one, examples, histories)
    gain(run, examples)


def describe(one: Set, examples: Examples, histories: Sequence[History]) -> None:
    """One line of the table."""
    found = [examples.relevance(text, histories[n % len(histories)]) for n, text in enumerate(one.requests)]
    recalled = np.mean([each.relevant for each in found])
    nearer = np.quantile([each.writing or 0.0 for each in found], (0.05, 0.5, 0.95))
    wrong = "" if one.wanted is None else f"wrong {1 - recalled if one.wanted else recalled:6.1%}"
    kind = "judged" if one.judged else "chosen on"
    print(f"{one.name:32} {kind:10} {len(found):5}  recalled {recalled:6.1%}  {wrong:14} {np.round(nearer, 3)}")


def gain(run: Run, examples: Examples) -> None:
    """What own minus nobody becomes where who is not recalled is answered as nobody."""
    path = run.path("bits_per_byte.json")
    if not path.is_file():
        print("what is kept of the gain: measure the run's bits per byte first")
        return
    values = json.loads(path.read_text())
    targets = [person for person, split in run.splits.items() if split.held_out]
    people = len(values["own"])
    targets = targets[:: max(len(targets) // people, 1)][:people]
    relevant = np.array(
        [examples.relevance(run.histories[p][-1].request(), run.histories[p][:-1]).relevant for p in targets]
    )
    own = np.array(values["own"]) - np.array(values["nobody"])
    print(f"own minus nobody, {people} people: {own.mean():.5f} always, {(own * relevant).mean():.5f} when relevant")


main()
