"""How the server says who is here and how somebody is known."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest

pytest.importorskip("starlette", reason="the extra `serve` is not installed")

from copersona.runtime.history.interactions import Interaction
from copersona.runtime.people import opening
from copersona.runtime.people.store import PeopleStore
from copersona.runtime.profile.profiler import profile_history
from copersona.runtime.session.portrait import Moved, moved, portrait
from copersona.runtime.session.session import open_bundle

from .running import Running

PEOPLE = "/copersona/v1/people"


def test_who_is_here(server: Running) -> None:
    found = server.ask("GET", PEOPLE).body
    assert [(one["name"], one["texts"], one["last"]) for one in found["people"]] == [
        ("Zoë", 4, 3.0), ("ana", 4, 3.0), ("bo", 4, 3.0)
    ]  # fmt: skip
    assert found["more"] is False
    assert [one["name"] for one in server.ask("GET", f"{PEOPLE}?after=ana").body["people"]] == ["bo"]
    about = server.ask("GET", "/copersona/v1").body
    assert (about["people"], about["store"]) == (3, str(server.home / "people.sqlite"))


def test_how_somebody_is_known(server: Running) -> None:
    found = server.ask("GET", f"{PEOPLE}/{quote('Zoë')}/persona").body
    session = server.worker.session
    assert (found["person"], found["texts"]) == ("Zoë", 4)
    assert [facet["facet"] for facet in found["facets"]] == list(session.schema.names)
    for facet in found["facets"]:
        assert 0 <= facet["own"] <= 1
        for quoted in facet["quotes"]:
            assert quoted["quote"] in quoted["from"]["text"]
    assert found["neighbors"] == sorted(found["neighbors"], reverse=True)
    assert not [name for name in session.graph.pseudonyms if name in str(found)]


def test_the_texts_of_an_answer(server: Running) -> None:
    receipt = server.chat(model="copersona:bo", copersona={"receipt": True}).body["copersona"]["receipt"]
    digests = [row["digest"] for row in receipt["retrieved"]]
    query = "&".join(f"digest={one}" for one in digests)
    found = server.ask("GET", f"{PEOPLE}/bo/texts?{query}").body["texts"]
    assert {one["digest"] for one in found} == set(digests)
    assert all(one["text"].startswith("bo likes bright strings") for one in found)
    assert server.ask("GET", f"{PEOPLE}/ana/texts?{query}").body["texts"] == [], "another person's"
    assert server.ask("GET", f"{PEOPLE}/bo/texts").status == 400


@pytest.mark.parametrize("what", ["persona", "moved", "texts?digest=a"])
def test_of_somebody_who_is_not_there_nothing_is_said(server: Running, what: str) -> None:
    found = server.ask("GET", f"{PEOPLE}/anna/{what}")
    assert (found.status, found.error["code"]) == (404, "person_not_found")


def test_what_the_last_text_moved_is_the_difference_to_the_person_without_it(
    random_bundle: Path, tmp_path: Path
) -> None:
    texts = [Interaction("ana", f"A plain sentence, number {n}, about strings.", time=float(n)) for n in range(5)]
    loud = Interaction("ana", "WOW!!! GREAT!!! " * 20, time=9.0)
    with open_bundle(random_bundle, threads=1) as session, PeopleStore(tmp_path / "people.sqlite") as store:
        store.add(texts)
        before = portrait(session, session.person(store, "ana"))
        store.add([loud])
        known = session.person(store, "ana")
        after, moves = portrait(session, known), moved(session, known).facets
    assert (before.texts, after.texts) == (5, 6)
    for was, move, now in zip(before.facets, moves, after.facets, strict=True):
        assert (move.before.says, move.after.says) == (was.says, now.says)
    assert any(move.score_before != move.score_after for move in moves)


def test_one_text_moves_nothing(random_bundle: Path) -> None:
    with open_bundle(random_bundle, threads=1) as session:
        known = session.know((Interaction("ana", "Only one text is known of me.", time=1.0),))
        assert portrait(session, known).texts == 1
        assert moved(session, known) == Moved()


def test_a_persona_is_shown_without_being_profiled_again(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    assert server.ask("GET", f"{PEOPLE}/bo/persona").status == 200
    profiled: list[object] = []
    monkeypatch.setattr(opening, "profile_history", lambda *told: profiled.append(told) or profile_history(*told))
    assert server.ask("GET", f"{PEOPLE}/bo/persona").status == 200
    assert profiled == []
    found = server.ask("GET", f"{PEOPLE}/bo/moved").body
    assert len(profiled) == 1
    assert [move["facet"] for move in found["facets"]] == list(server.worker.session.schema.names)
