"""What is dense enough to learn from: DPL's rules by hand on a tiny crowd, and what must hold of any crowd."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from copersona.export.data.prepare import PRESETS, Prepared, Thresholds, prepare_files, prepare_reviews
from copersona.runtime.cli.main import main
from copersona.runtime.common.errors import ExportError
from copersona.runtime.history.formats import Metadata, Product
from copersona.runtime.history.importers import load_history
from copersona.runtime.history.interactions import Interaction, group_by_person

TINY = Thresholds(min_review=5, min_description=4, max_description=9, min_users_per_item=2, min_reviews_per_user=3,
                  max_reviews_per_user=6, holdout=1, min_profiles_per_item=2, min_profile=2)  # fmt: skip


def review(person: str, item: str, time: int, text: str | None = None, **fields: Any) -> Interaction:
    text = f"{person} on {item} at {time}" if text is None else text
    return replace(Interaction(person, text, time=float(time), item=item, title="T", rating=4.0), **fields)


def crowd(reviews: dict[str, str]) -> list[Interaction]:
    """People and the items they reviewed, one letter each, in order of time."""
    return [review(person, item, time) for person, items in reviews.items() for time, item in enumerate(items, 1)]


def left(done: Prepared) -> dict[str, str]:
    return {person: "".join(one.item or "" for one in history) for person, history in done.histories.items()}


def fell(done: Prepared) -> dict[str, int]:
    assert sum(done.removed.values()) + sum(map(len, done.histories.values())) == done.read
    return {rule: n for rule, n in done.removed.items() if n}


def test_the_thresholds_are_those_of_the_papers() -> None:
    """DPL's own; table 7 in its own order of columns: video games, sports, music."""
    assert astuple(PRESETS["dpl"]) == (200, 100, 2000, 8, 18, 500, 10, 5, 8)
    columns = {"min_review": (110, 90, 90), "min_description": (60, 50, 50), "min_users_per_item": (4, 3, 3),
               "min_reviews_per_user": (8, 5, 5), "holdout": (4, 3, 3), "min_profile": (6, 4, 4)}  # fmt: skip
    for name, values in columns.items():
        assert tuple(getattr(PRESETS[p], name) for p in ("video_games", "sports", "music")) == values


def test_dense_people_stay_as_they_are() -> None:
    done = prepare_reviews(crowd({"ann": "abc", "bob": "abd", "cat": "bad"}), TINY)
    # c is one person's and goes, which leaves ann two reviews, and so on down to nothing of hers
    assert left(done) == {"bob": "abd", "cat": "bad"}
    assert fell(done) == {"item of under 2 people": 1, "person with under 3 reviews": 2}
    assert done.holdout == {"bob": 1, "cat": 1}
    assert done.skipped == ("item rules (no metadata file)",)


def test_a_drop_sets_off_the_next_until_nothing_falls() -> None:
    """dan has two reviews; without him d is ann's alone; without d ann has two; without her a and b are bob's and
    cat's, who keep c as well and stay."""
    done = prepare_reviews(crowd({"ann": "abd", "bob": "abc", "cat": "abc", "dan": "de"}), TINY)
    assert left(done) == {"bob": "abc", "cat": "abc"}
    assert fell(done) == {"person with under 3 reviews": 4, "item of under 2 people": 1}


def test_items_are_judged_before_people_fall_in_the_same_round() -> None:
    """zoe has too many reviews; her items still counted in that round, and are rare in the next."""
    done = prepare_reviews(crowd({"ann": "abcx", "bob": "abc", "zoe": "xefghij"}), TINY)
    assert left(done) == {"ann": "abc", "bob": "abc"}
    assert fell(done) == {"person with over 6 reviews": 7, "item of under 2 people": 1}


def test_of_repeats_the_newest_stays() -> None:
    rows = crowd({"ann": "abcd", "bob": "abcd"})
    rows += [review("ann", "a", 9, "the second time"), review("bob", "e", 0, rows[4].output), rows[0]]
    done = prepare_reviews(rows, replace(TINY, min_profiles_per_item=1))
    assert left(done) == {"ann": "bcda", "bob": "abcd"}
    assert done.histories["ann"][-1].output == "the second time"
    assert fell(done) == {"the same review read twice": 1, "item or text repeated": 2}


def test_white_space_is_collapsed_and_repeats_fall_again() -> None:
    rows = crowd({"ann": "abcd", "bob": "abcd"})
    rows[0] = replace(rows[0], output="one \n two")
    rows[1] = replace(rows[1], output=" one two")
    done = prepare_reviews(rows, replace(TINY, min_profiles_per_item=1))
    assert left(done) == {"ann": "bcd", "bob": "abcd"}
    assert done.histories["ann"][0].output == "one two"
    assert fell(done) == {"item or text repeated once white space is collapsed": 1}


@pytest.mark.parametrize(
    "change", [{"rating": None}, {"rating": 0.0}, {"time": None}, {"item": None}, {"title": None}, {"title": " "}]
)
def test_a_review_needs_every_field(change: dict[str, Any]) -> None:
    rows = crowd({"ann": "abcd", "bob": "abcd"})
    done = prepare_reviews([replace(rows[0], **change), *rows[1:]], replace(TINY, min_users_per_item=1))
    assert fell(done)["no rating, title, time or item"] == 1


def test_a_review_needs_its_length() -> None:
    rows = [review(p, i, t, text) for p in "ab" for t, (i, text) in enumerate({"x": "12345", "y": "1234", "z": "123456",
                                                                              "w": "1234567"}.items())]  # fmt: skip
    done = prepare_reviews(rows, TINY)
    assert left(done) == {"a": "xzw", "b": "xzw"}
    assert fell(done) == {"text under 5 characters": 2}


@pytest.mark.parametrize(
    ("bad", "rule"),
    [
        (Product("gone", "", None, None), "item not in the metadata, or without title"),
        (Product(" ", "described", None, None), "item not in the metadata, or without title"),
        (Product("N", "123", None, None), "item's description not of 4 to 9 characters"),
        (Product("N", "1234567890", None, None), "item's description not of 4 to 9 characters"),
        (Product("N", "described", False, None), "item without categories"),
        (Product("N", "described", None, False), "item without a number of ratings"),
    ],
)
def test_rules_about_items(bad: Product, rule: str) -> None:
    has = (None if bad.categories is None else True, None if bad.ratings is None else True)
    full = {item: Product("Name", "described", *has) for item in "bcde"}
    metadata = Metadata("m", full if bad.title == "gone" else {"a": bad, **full})
    done = prepare_reviews(crowd({"ann": "abcde", "bob": "abcde"}), TINY, metadata)
    assert left(done) == {"ann": "bcde", "bob": "bcde"}
    assert fell(done) == {rule: 2}
    assert all(one.words == ("Name",) for one in done.histories["ann"])


def test_rules_that_the_metadata_cannot_speak_to_are_named() -> None:
    metadata = Metadata("m", {item: Product("Name", "described", None, None) for item in "abcd"})
    done = prepare_reviews(crowd({"ann": "abcd", "bob": "abcd"}), TINY, metadata)
    assert done.skipped == (
        "item without categories (the metadata has none)",
        "item without a number of ratings (the metadata has none)",
    )


def test_rare_items_leave_profiles_and_short_profiles_their_people() -> None:
    """z is in two histories, but held out of one: only ann's profile has it, and loses it. cat's profile is then too
    short without y, which only hers has; her held-out review goes with her."""
    rows = crowd({"ann": "abzc", "bob": "abcz", "cat": "aycb", "dan": "abcy"})
    done = prepare_reviews(rows, replace(TINY, min_profile=2))
    assert left(done) == {"ann": "abc", "bob": "abcz", "cat": "acb", "dan": "abcy"}
    assert fell(done) == {"item in under 2 profiles": 2}
    done = prepare_reviews(rows, replace(TINY, min_profile=3))
    assert left(done) == {"bob": "abcz", "dan": "abcy"}
    assert fell(done) == {"item in under 2 profiles": 2, "person with under 3 reviews in the profile": 6}


def test_the_holdout_is_at_most_half() -> None:
    done = prepare_reviews(crowd({"ann": "abcde", "bob": "abcde"}), replace(TINY, holdout=4))
    assert done.holdout == {"ann": 2, "bob": 2}
    assert done.figures()["profile size"] == 3.0


def test_nothing_left_is_one_line_that_says_why(tmp_path: Path) -> None:
    with pytest.raises(
        ExportError, match=r"nothing is left of 5 reviews; most fell to: person with under 3 reviews \(4\)"
    ):
        prepare_reviews(crowd({"ann": "ab", "bob": "abc"}), replace(TINY, min_profile=3))
    with pytest.raises(ExportError, match="hold no reviews"):
        prepare_reviews([], TINY)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from("uvwxyz"), st.lists(st.sampled_from("abcdef"), max_size=9), max_size=6))
def test_what_is_left_meets_every_threshold(reviews: dict[str, list[str]]) -> None:
    rows = crowd({person: "".join(items) for person, items in reviews.items()})
    try:
        done = prepare_reviews(rows, TINY)
    except ExportError:
        return
    fell(done)
    profiles = {p: h[: len(h) - done.holdout[p]] for p, h in done.histories.items()}
    counts = Counter(one.item for profile in profiles.values() for one in profile)
    assert all(len(profile) >= 2 for profile in profiles.values())
    assert all(n >= 2 for n in counts.values())
    for history in done.histories.values():
        assert len({one.item for one in history}) == len(history) <= 6
        assert [one.time for one in history] == sorted(one.time or 0 for one in history)
    assert set(done.histories) <= set(dense(reviews))


def dense(reviews: dict[str, list[str]]) -> dict[str, set[str]]:
    """The largest set of people with 3 items that 2 people have, by another way: one drop at a time."""
    people = {person: set(items) for person, items in reviews.items()}
    while True:
        counts = Counter(item for items in people.values() for item in items)
        thin = [person for person, items in people.items() if sum(counts[i] >= 2 for i in items) < 3]
        if not thin:
            return people
        del people[thin[0]]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    reviews, out = tmp_path / "h.jsonl", tmp_path / "out.jsonl"
    rows = [{"user_id": p, "text": f"{p} on {i}", "asin": i, "rating": 5, "title": "T", "timestamp": 1e12 + t}
            for p in "pqr" for t, i in enumerate("abcd")]  # fmt: skip
    reviews.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"user_id": 1}]))
    done = prepare_files([reviews], "amazon2023", out, TINY, skip_bad=True)
    assert tuple(load_history([out]).interactions) == tuple(one for h in done.histories.values() for one in h)
    assert (done.read, done.bad, done.figures()["reviews"]) == (12, 1, 12)


# -- the command and the step ---------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    rows = [{"reviewerID": p, "reviewText": f"{p} says of {i} " + "well " * 20, "asin": i, "overall": 5, "summary": "T",
             "unixReviewTime": t} for p in "pqr" for t, i in enumerate("abcdefgh")]  # fmt: skip
    reviews, meta = tmp_path / "h.jsonl", tmp_path / "m.jsonl"
    reviews.write_text("".join(json.dumps(row) + "\n" for row in rows))
    meta.write_text(
        "".join(json.dumps({"asin": i, "title": f"Item {i}", "description": "x" * 60}) + "\n" for i in "abcdefgh")
    )
    return reviews, meta


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["export", "prepare", *map(str, arguments)])


def test_the_command(tmp_path: Path, files: tuple[Path, Path]) -> None:
    reviews, meta = files
    out = tmp_path / "out.jsonl"
    basic = (reviews, "--format", "amazon2014", "--out", out)
    result = call(*basic, "--metadata", meta, "--preset", "sports", "--json")
    assert result.exit_code == 0, result.output
    figures = json.loads(result.output)
    assert (figures["people"], figures["reviews"], figures["held out"], figures["items"]) == (3, 24, 9, 8)
    assert next(iter(load_history([out]).interactions)).request().splitlines()[1] == "Item: Item a"
    result = call(*basic, "--preset", "sports", "--min-review", 150)
    assert result.exit_code == 1
    assert result.stderr.startswith(
        "error: nothing is left of 24 reviews; most fell to: text under 150 characters (24)"
    )
    result = call(*basic, "--min-description", 5)
    assert (result.exit_code, "need --metadata" in result.stderr) == (1, True)
    result = call(*basic, "--preset", "music", "--holdout", 2)
    assert "  held out: 6\n" in result.output
    assert "  rules not applied: item rules (no metadata file)\n" in result.output


def test_the_command_needs_no_torch(tmp_path: Path, files: tuple[Path, Path]) -> None:
    blocked = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'transformers', 'sklearn', 'peft', 'llama_cpp')));"
    )
    code = f"{blocked} from copersona.runtime.cli.main import main; main()"
    options = ["--format", "amazon2014", "--preset", "sports", "--out", str(tmp_path / "out.jsonl")]
    command = [sys.executable, "-c", code, "export", "prepare", str(files[0]), *options]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "people: 3" in result.stdout


@pytest.mark.export
def test_the_step_reads_metadata_and_counts_bad_lines(tmp_path: Path, files: tuple[Path, Path]) -> None:
    from copersona.export.run.run import Run, RunSettings
    from copersona.export.steps.pipeline import step_key
    from copersona.export.steps.steps import prepare

    reviews, meta = files
    with reviews.open("a") as lines:
        lines.write("broken\n")
    plain = RunSettings((str(reviews),), "amazon2014", "", "")
    run = Run(tmp_path / "run", replace(plain, metadata=str(meta), skip_bad=True))
    report = prepare(run)
    assert (report["people"], report["interactions"], report["bad lines"]) == (3, 24, 1)
    assert all(one.words for history in run.raw_histories.values() for one in history)
    assert RunSettings.from_json(run.settings.to_json(), "x") == run.settings
    keys = {step_key(Run(tmp_path, one), "prepare") for one in (plain, run.settings, replace(plain, skip_bad=True))}
    assert len(keys) == 3
    before = step_key(run, "prepare")
    meta.write_text(meta.read_text() + '{"asin": "z", "title": "Z"}\n')
    assert step_key(run, "prepare") != before


# -- the real files -------------------------------------------------------------------------------------------------


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "format", "metadata", "changes", "people"),
    [
        ("amazon2014_digital_music_part", "amazon2014", True, {}, 75),
        ("amazon2014_musical_instruments", "amazon2014", False, {}, 448),
        ("amazon2023_multicategory", "amazon2023", False, {"min_users_per_item": 1, "min_profiles_per_item": 1}, 79),
    ],
)
def test_the_real_files(
    shared: Path, tmp_path: Path, name: str, format: str, metadata: bool, changes: dict[str, int], people: int
) -> None:
    meta = shared / "data" / f"{name}_meta.jsonl" if metadata else None
    reviews, out = shared / "data" / f"{name}.jsonl", tmp_path / "out.jsonl"
    done = prepare_files([reviews], format, out, replace(PRESETS["music"], **changes), metadata=meta)
    fell(done)
    assert len(done.histories) == people
    assert group_by_person(load_history([out]).interactions) == done.histories
    assert all(len(h) - done.holdout[p] >= 4 and done.holdout[p] <= 3 for p, h in done.histories.items())
