"""What people correct, pin and leave out is so in prompts, soft prompts, the graph and on the disk."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlite_utils import Database

from copersona.runtime.common.errors import BadRevision, RevisedMeanwhile, UnknownFacet, UnknownText
from copersona.runtime.engine.sampling import Sampling
from copersona.runtime.history.interactions import Interaction, clean_text
from copersona.runtime.people.known import Known
from copersona.runtime.people.revisions import known_facet
from copersona.runtime.people.store import PeopleStore
from copersona.runtime.people.tables import INSERT, MIGRATIONS, KeptPersona, KeptSoft, row
from copersona.runtime.people.traces import in_tables
from copersona.runtime.people.wishes import Target
from copersona.runtime.profile.facets import PLACEHOLDER, Reliability
from copersona.runtime.profile.profiler import profile_history
from copersona.runtime.session.portrait import portrait
from copersona.runtime.session.session import Session, open_bundle

ROOT = Path(__file__).resolve().parents[3]
SHORT = Sampling(max_tokens=2)
REQUEST = "Write about the strings."
TEXTS = 12


def texts_of(name: str) -> list[Interaction]:
    """What one of the invented people wrote, as this person's."""
    lines = (ROOT / "assets" / "invented" / "people.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["person"] == "invented-013"][:TEXTS]
    assert len(rows) == TEXTS
    return [Interaction(name, row["output"], time=float(n), title=row.get("title")) for n, row in enumerate(rows)]


@pytest.fixture(scope="module")
def session(random_bundle: Path) -> Iterator[Session]:
    context = {"recent": 3, "matched": 2, "matcher": "blend"}
    with open_bundle(random_bundle, threads=1, context=context) as session:
        yield session


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PeopleStore]:
    with PeopleStore(tmp_path / "home" / "people.sqlite") as store:
        store.add(texts_of("ana"))
        yield store


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same to the bit, arrays in them too."""
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other)


def assert_same_person(session: Session, one: Known, other: Known) -> None:
    """The prompt, the soft prompt with its inputs, and the place in the graph are the same."""
    assert session.prompt(REQUEST, one).tokens == session.prompt(REQUEST, other).tokens
    assert same(one.soft, other.soft)
    assert same(one.persona.inputs, other.persona.inputs)
    assert same(one.persona.placement, other.persona.placement)
    assert same(one.persona.vectors, other.persona.vectors)
    assert one.persona.profile.facets == other.persona.profile.facets
    assert one.earlier + len(one.history) == other.earlier + len(other.history)


def observed(session: Session, known: Known) -> str:
    """A facet that the texts support."""
    return next(facet.facet for facet in known.persona.facets)


def files_with(folder: Path, words: str) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file() and words.encode() in path.read_bytes()]


@pytest.mark.parametrize("place", [0, 5, TEXTS - 1])
def test_a_text_that_is_left_out_is_as_if_never_written(session: Session, store: PeopleStore, place: int) -> None:
    texts = texts_of("ana")
    before = session.person(store, "ana")
    store.leave_out("ana", Target("digest", texts[place].digest))
    without = session.person(store, "ana")
    with PeopleStore(store.path.parent / "other.sqlite") as other:
        other.add(texts[:place] + texts[place + 1 :])
        assert_same_person(session, without, session.person(other, "ana"))
    assert session.prompt(texts[place].output, without).tokens != session.prompt(texts[place].output, before).tokens
    store.undo("ana", 1)
    assert_same_person(session, session.person(store, "ana"), before)


def test_a_correction_stands_in_the_prompt_and_its_vector_is_of_its_words(session: Session, store: PeopleStore) -> None:
    before = session.person(store, "ana")
    facet = observed(session, before)
    place = session.schema.names.index(facet)
    old = before.persona.profile.facets[place]
    store.correct("ana", facet, "I say what I mean and stop.")
    after = session.person(store, "ana")
    said = after.persona.profile.facets[place]
    assert (said.summary, said.reliability, said.quotes, said.source) == (
        f"{facet}: I say what I mean and stop", Reliability.STRONG, (), "the person",
    )  # fmt: skip
    written = session.engine.detokenize(session.prompt(REQUEST, after).tokens)
    assert "I say what I mean and stop." in written
    assert old.summary not in written
    assert after.persona.facets[0] is said, "it comes before what was measured"
    schema, text = session.schema, session.encoder.encode(f"{facet}: I say what I mean and stop. ")
    nothing = np.zeros(len(schema.features), np.float32)
    by_hand = np.concatenate([(1 - np.float32(schema.feature_weight)) * text, nothing])
    np.testing.assert_array_equal(after.persona.profile.vectors[place], by_hand)
    centred = by_hand - session.bundle.centring.means[place]
    np.testing.assert_allclose(after.persona.vectors[place], centred / np.linalg.norm(centred), rtol=1e-5)
    others = [m for m in range(len(schema)) if m != place]
    assert same(after.persona.vectors[others], before.persona.vectors[others])
    assert not same(after.soft, before.soft)


def test_a_facet_without_evidence_becomes_one_by_its_persons_words(session: Session, store: PeopleStore) -> None:
    store.add([Interaction("bo", "Hm.")])
    assert session.person(store, "bo").persona.inputs is None
    facet = session.schema.names[0]
    store.correct("bo", facet, "I write at length")
    known = session.person(store, "bo")
    assert [one.facet for one in known.persona.facets] == [facet]
    assert known.persona.inputs is not None
    assert not same(known.soft, session.nobody)


def test_a_facet_that_is_left_out_reaches_nothing(session: Session, store: PeopleStore) -> None:
    before = session.person(store, "ana")
    facet = observed(session, before)
    place = session.schema.names.index(facet)
    store.leave_out("ana", Target("facet", facet))
    after = session.person(store, "ana")
    persona, inputs = after.persona, after.persona.inputs
    assert inputs is not None
    assert before.persona.inputs is not None
    assert before.persona.inputs.present[:, place].any(), "others would lend it"
    assert (persona.profile.facets[place].summary, persona.profile.facets[place].quotes) == (PLACEHOLDER, ())
    assert [b for b in persona.placement.borrowed if b.facet == place] == []
    assert facet not in session.engine.detokenize(session.prompt(REQUEST, after).tokens)
    np.testing.assert_array_equal(inputs.own[place], session.bundle.centring.placeholder[place])
    assert inputs.labels[place] == Reliability.NONE
    assert not inputs.present[:, place].any()
    assert (persona.placement.edges.index[0, place] == -1).all()
    shown = next(one for one in portrait(session, after).facets if one.facet == facet)
    assert (shown.left_out, shown.says, shown.lent) == (True, "", ())


def test_whoever_leaves_out_every_facet_is_nobody_to_the_soft_prompt(session: Session, store: PeopleStore) -> None:
    for facet in session.schema.names:
        store.leave_out("ana", Target("facet", facet))
    known = session.person(store, "ana")
    assert known.persona.inputs is None
    assert same(known.soft, session.nobody)
    assert (known.persona.facets, known.persona.peers) == ((), ())


def test_a_quote_that_is_left_out_is_not_shown_and_no_vector_is_of_it(session: Session, store: PeopleStore) -> None:
    before = session.person(store, "ana")
    quote = next(quote for facet in before.persona.facets for quote in facet.quotes)
    store.leave_out("ana", Target("quote", quote))
    after = session.person(store, "ana")
    quotes = [one for facet in after.persona.profile.facets for one in facet.quotes]
    assert quotes
    assert not any(quote in one for one in quotes)
    encoded = list[str]()
    bundle = session.bundle

    def encode(text: str) -> Any:
        encoded.append(text)
        return bundle.encoder.encode(text)

    profile_history([one.output for one in after.history], session.schema, encode, (quote,))
    assert encoded
    assert not any(quote in text for text in encoded)
    assert any(quote in clean_text(one.output) for one in after.history), "the text stays"


def test_pinned_texts_come_first_within_the_budget(random_bundle: Path, store: PeopleStore) -> None:
    texts = texts_of("ana")
    with open_bundle(random_bundle, threads=1, context={"recent": 3, "budget": 200, "item_tokens": 60}) as small:
        store.pin("ana", texts[0].digest)
        store.pin("ana", texts[-1].digest)
        known = small.person(store, "ana")
        prompt = small.prompt(REQUEST, known)
        assert [one.digest for one in prompt.pinned] == [texts[0].digest, texts[-1].digest]
        assert not {one.digest for one in prompt.recent} & {texts[0].digest, texts[-1].digest}
        sizes = {segment.name: len(segment.tokens) for segment in prompt.segments}
        assert 0 < sizes["pinned"] <= 2 * 60
        assert [segment.name for segment in prompt.segments if segment.cacheable][:2] == ["system", "pinned"]
        instruction = len(small.layout.fixed().system)
        of_person = sum(size for name, size in sizes.items() if name not in ("system", "request"))
        assert sizes["system"] - instruction + of_person <= 200
        receipt = small.answer(REQUEST, known, SHORT).finish().receipt
        assert [row.by for row in receipt.retrieved][:2] == ["pinned", "pinned"]
    with open_bundle(random_bundle, threads=1, context={"recent": 3, "budget": 40, "item_tokens": 40}) as tiny:
        assert [one.digest for one in tiny.prompt(REQUEST, tiny.person(store, "ana")).history] == [texts[-1].digest]


def test_nothing_on_the_disk_holds_what_a_facet_said_before_it_was_corrected(
    random_bundle: Path, store: PeopleStore
) -> None:
    home = store.path.parent
    with open_bundle(random_bundle, threads=1) as session:
        known = session.person(store, "ana")
        facet = next(one for one in known.persona.facets if one.quotes)
        session.answer(REQUEST, known, SHORT).finish()
        assert files_with(home, facet.summary) == ["people.sqlite"]
        assert store.prefixes.kept("ana").states == 1
        old = session.prepared(known).key
        store.correct("ana", facet.facet, "Another thing altogether")
        assert files_with(home, facet.summary) == []
        assert store.prefixes.kept("ana").states == 0
        again = session.person(store, "ana")
        session.answer(REQUEST, again, SHORT).finish()
        assert files_with(home, facet.summary) == []
        assert session.prepared(again).key != old
        assert store.prefixes.kept("ana").states == 1
        session.answer(REQUEST, known, SHORT).finish()  # by somebody who has not heard of it
        assert store.prefixes.read("ana", old) is None
        session.personas._keep(store, "ana", "key", known.persona, known.revision)
        assert files_with(home, facet.summary) == []


def test_what_is_left_out_stands_where_it_was_written_and_nowhere_else(session: Session, store: PeopleStore) -> None:
    known = session.person(store, "ana")
    sources = portrait(session, known).sources
    (first, text), (second, _) = [(quote, one) for quote, one in sources.items() if len(quote) > 30][:2]
    assert {"personas.texts", "interactions.output"} == {trace.place for trace in in_tables(store, first)}
    store.leave_out("ana", Target("digest", text.digest))
    store.leave_out("ana", Target("quote", second))
    session.answer(REQUEST, session.person(store, "ana"), SHORT).finish()
    assert {trace.place for trace in in_tables(store, first)} == {"interactions.output"}
    assert {trace.place for trace in in_tables(store, second)} == {"interactions.output", "revisions.target"}


def test_vectors_of_a_text_that_is_left_out_are_gone(session: Session, store: PeopleStore) -> None:
    texts = texts_of("ana")
    session.personas.forget("ana")
    session.person(store, "ana")
    encoder = session.bundle.encoder_hash
    before = store.vectors("ana", encoder)
    assert len(before) == TEXTS - 3
    store.leave_out("ana", Target("digest", texts[0].digest))
    assert len(store.vectors("ana", encoder)) == TEXTS - 4


def test_of_two_who_revise_the_same_the_second_is_refused_and_nothing_is_written(store: PeopleStore) -> None:
    with PeopleStore(store.path) as other:
        store.correct("ana", "tone", "one", 0)
        with pytest.raises(RevisedMeanwhile, match=r"the facet 'tone' of 'ana' was revised since .* you saw 0"):
            other.correct("ana", "tone", "two", 0)
        other.correct("ana", "length", "three", 0)
        assert [one.words for one in store.revisions("ana")] == ["one", "three"]
        assert other.correct("ana", "tone", "one", 2).number == 1, "it holds already"
        assert len(store.revisions("ana")) == 2


def test_what_was_made_before_a_revision_is_not_kept_after_it(store: PeopleStore) -> None:
    persona, soft = KeptPersona("k", "s", "{}", b""), KeptSoft("k", "s", b"")
    store.correct("ana", "tone", "one")
    for revision in (0, 1):
        store.keep_persona("ana", "p", persona, revision)
        store.keep_soft_prompt("ana", "p", soft, revision)
        store.keep_reply("ana", "key", "reply", revision)
        store.keep_vectors("ana", "e", {"text": b"v"}, revision)
        rows = store.persona("ana", "p"), store.soft_prompt("ana", "p")
        kept = (*rows, store.reply("ana", "key"), store.vectors("ana", "e"))
        assert kept == ((persona, soft, "reply", {"text": b"v"}) if revision else (None, None, None, {}))


def test_what_is_not_there_is_refused_with_what_is_close(store: PeopleStore) -> None:
    digest = texts_of("ana")[0].digest
    with pytest.raises(UnknownFacet, match="did you mean Length"):
        known_facet("Lenght", ("Length", "Tone"))
    with pytest.raises(UnknownText, match=f"did you mean {digest[:12]}"):
        store.pin("ana", digest[:11] + ("0" if digest[11] != "0" else "1"))
    with pytest.raises(UnknownText, match="8 digits or more"):
        store.pin("ana", digest[:7])
    assert store.pin("ana", digest[:8]).target.name == digest
    with pytest.raises(BadRevision, match="stands in no text"):
        store.leave_out("ana", Target("quote", "I never said that"))


def test_a_text_that_is_imported_again_stays_left_out(session: Session, store: PeopleStore) -> None:
    texts = texts_of("ana")
    store.leave_out("ana", Target("digest", texts[0].digest))
    store.add([replace(texts[0], output=texts[0].output + "  ")])
    assert texts[0].digest not in [one.digest for one in session.person(store, "ana").history]


def test_a_store_of_before_revisions_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "home" / "people.sqlite"
    path.parent.mkdir(mode=0o700)
    text = texts_of("ana")[0]
    with contextlib.closing(sqlite3.connect(path)) as db:
        for step in MIGRATIONS[:9]:
            step(Database(db))
        db.execute("PRAGMA user_version=9")
        db.execute("INSERT INTO people (name) VALUES ('ana')")
        db.execute(INSERT, row(text))
        db.commit()
    with PeopleStore(path) as store:
        assert store.history("ana") == (text,)
        assert (store.adopted("ana"), store.revisions("ana")) == (0, ())
        assert store.pin("ana", text.digest, 0).number == 1
