"""The bundle in the repository: whole, small, with its terms, and without a sentence of a real reviewer."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from copersona.runtime.bundle.verify import verify
from copersona.runtime.demo.data import demo_bundle
from copersona.runtime.history.importers import load_history
from copersona.runtime.profile.facets import read_schema
from copersona.runtime.profile.profiler import VERSION
from copersona.runtime.profile.segments import words_of

RUN = 8  # words in a row that would be someone's own
CARDS = ("README.md", "facets.json", "manifest.json", "LICENSE")


@pytest.fixture(scope="module")
def bundle() -> Path:
    return demo_bundle(None)


def test_it_is_whole_and_small_and_says_its_terms(bundle: Path) -> None:
    manifest = verify(bundle, full=True)
    assert sum(row.bytes for row in manifest.files) <= 80_000_000
    assert {p.name for p in bundle.iterdir()} == {row.path for row in manifest.files} | {"manifest.json"}
    assert "not for commercial use" in (bundle / "LICENSE").read_text(encoding="utf-8")
    assert manifest.file("licence") is not None
    assert len(read_schema(bundle / "facets.json")) == manifest.shapes.facets


def told(bundle: Path) -> str:
    """All text in the bundle that is meant to be read."""
    parts = [(bundle / name).read_text(encoding="utf-8") for name in CARDS]
    with closing(sqlite3.connect(f"file:{bundle / 'graph.sqlite'}?mode=ro", uri=True)) as database:
        parts += [profile for (profile,) in database.execute("SELECT profile FROM peers")]
        parts += [words for (words,) in database.execute("SELECT words FROM items")]
    return " ".join(words_of(" ".join(parts)))


def test_no_peer_is_quoted(bundle: Path) -> None:
    with closing(sqlite3.connect(f"file:{bundle / 'graph.sqlite'}?mode=ro", uri=True)) as database:
        assert database.execute('SELECT count(*) FROM peers WHERE profile LIKE \'%"quotes": ["%\'').fetchone() == (0,)


@pytest.mark.shared
def test_no_words_in_a_row_are_a_reviewers(bundle: Path, shared: Path) -> None:
    runs = {
        " ".join(words[i : i + RUN])
        for item in load_history([shared / "data" / "amazon2014_musical_instruments.jsonl"], "amazon2014").interactions
        for words in [words_of(item.output)]
        for i in range(len(words) - RUN + 1)
    }
    assert len(runs) > 100_000
    words = told(bundle).split()
    found = [run for i in range(len(words)) if (run := " ".join(words[i : i + RUN])) in runs]
    assert found == []


def test_the_bundles_profiles_are_by_the_profiler_of_this_code() -> None:
    assert verify(demo_bundle(None)).settings["profiler"] == VERSION
