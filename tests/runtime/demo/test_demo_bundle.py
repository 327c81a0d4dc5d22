"""The bundle in the repository: thin, small, with its terms, without a sentence of a real reviewer; and assembled."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from copersona.runtime.assemble.thin import read_thin
from copersona.runtime.bundle.verify import open_manifest, verify
from copersona.runtime.demo.data import REQUEST, Demo
from copersona.runtime.demo.data import demo_bundle as shipped
from copersona.runtime.engine.sampling import Sampling
from copersona.runtime.history.importers import load_history
from copersona.runtime.profile.facets import read_schema
from copersona.runtime.profile.profiler import VERSION
from copersona.runtime.profile.segments import words_of
from copersona.runtime.session.session import open_bundle

SMOLLM2 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
RUN = 8  # words in a row that would be someone's own
CARDS = ("README.md", "facets.json", "manifest.json")


@pytest.fixture(scope="module")
def bundle() -> Path:
    return shipped(None)


def test_it_is_thin_and_small_and_says_its_terms(bundle: Path) -> None:
    manifest = verify(bundle, full=True)
    assert sum(row.bytes for row in manifest.files) <= 54_000_000
    assert {p.name for p in bundle.iterdir()} == {row.path for row in manifest.files} | {"manifest.json"}
    assert read_thin(manifest).base.sha256 == SMOLLM2
    assert "## Terms" in (bundle / "README.md").read_text(encoding="utf-8")
    assert "Apache-2.0" in (bundle.parent / "README.md").read_text(encoding="utf-8")
    assert len(read_schema(bundle / "facets.json")) == manifest.shapes.facets


def test_assembled_it_is_what_was_packed_and_answers_as_a_person(bundle: Path, demo_bundle: Path) -> None:
    manifest, thin = verify(demo_bundle), open_manifest(bundle)
    assert manifest.settings["assembled_from"] == thin.bundle_id
    assert manifest.population_id == thin.population_id
    assert manifest.file("model") == read_thin(thin).model  # byte for byte the model of the run
    with open_bundle(demo_bundle) as session, Demo(session) as demo:
        shown = demo.shown(demo.answer(REQUEST, "Bex", Sampling(max_tokens=24, seed=0)).finish())
    assert len(shown.answer.split()) > 3
    assert shown.receipt.soft_prompt == "persona"
    assert shown.recalled


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
    assert verify(shipped(None)).settings["profiler"] == VERSION
