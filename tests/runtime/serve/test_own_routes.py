"""What people change of what is known of them, by HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

pytest.importorskip("starlette", reason="the extra `serve` is not installed")

from copersona.runtime.people.store import PeopleStore
from copersona.runtime.serve.gate import MOST_BODY
from copersona.runtime.session.session import open_bundle

from .running import Running, add_people, serving

PEOPLE = "/copersona/v1/people"
ANA, BO = f"{PEOPLE}/ana", f"{PEOPLE}/bo"


@pytest.fixture(scope="module")
def server(random_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server of its own: these tests change people."""
    home = tmp_path_factory.mktemp("home")
    add_people(home)
    with serving(lambda: open_bundle(random_bundle, threads=1), home) as running:
        yield running


@pytest.fixture
def store(server: Running) -> Iterator[PeopleStore]:
    """A second opening of the server's store; people are as they were at the start."""
    with PeopleStore(server.home / "people.sqlite") as store:
        for row in store.people():
            store.forget(row.name)
        add_people(server.home)
        yield store


def revise(server: Running, base: int, path: str = ANA, **body: Any) -> Any:
    return server.ask("POST", f"{path}/revisions", body | {"base": base})


def digests(server: Running, path: str = ANA) -> list[str]:
    return [row["digest"] for row in server.ask("GET", f"{path}/own-texts").body["texts"]]


def persona(server: Running) -> Any:
    return server.ask("GET", f"{ANA}/persona").body


def facet_of(server: Running) -> str:
    return str(server.worker.session.schema.names[0])


def test_a_correction_is_what_the_persona_and_the_receipt_say(server: Running, store: PeopleStore) -> None:
    facet = facet_of(server)
    before = persona(server)
    assert (before["last"], {one["corrected"] for one in before["facets"]}) == (0, {False})
    made = revise(server, 0, kind="correct", facet=facet, words=" I  say it plainly. ")
    assert made.status == 201
    assert made.body["last"] == 1
    row = made.body["revision"]
    assert (row["number"], row["kind"], row["facet"], row["words"]) == (1, "correct", facet, "I say it plainly.")
    assert (row["digest"], row["quote"], row["undone"]) == (None, None, False)
    after = persona(server)
    said = next(one for one in after["facets"] if one["facet"] == facet)
    assert (said["says"], said["reliability"], said["corrected"]) == ("I say it plainly", "strong", True)
    assert after["last"] == 1
    receipt = server.chat(model="copersona:ana", copersona={"receipt": True}).body["copersona"]["receipt"]
    used = next(one for one in receipt["facets"] if one["facet"] == facet)
    assert (used["source"], receipt["revision"]) == ("the person", 1)


def test_of_two_who_revise_the_same_the_second_is_told(server: Running, store: PeopleStore) -> None:
    facet, other = server.worker.session.schema.names[:2]
    assert revise(server, 0, kind="correct", facet=facet, words="the first").status == 201
    late = revise(server, 0, kind="correct", facet=facet, words="the second")
    assert (late.status, late.error["code"]) == (409, "revised")
    assert revise(server, 0, kind="leave_out", facet=facet).status == 409
    assert revise(server, 0, kind="undo", number=1).status == 409
    assert revise(server, 0, kind="correct", facet=other, words="another facet").status == 201
    rows = server.ask("GET", f"{ANA}/revisions").body
    assert [(one["number"], one["words"]) for one in rows["revisions"]] == [(2, "another facet"), (1, "the first")]
    assert (rows["last"], rows["more"]) == (2, False)


def test_an_undo_is_a_revision_too(server: Running, store: PeopleStore) -> None:
    facet = facet_of(server)
    revise(server, 0, kind="leave_out", facet=facet)
    found = persona(server)["facets"][0]
    assert (found["left_out"], found["lent"], found["says"]) == (True, [], "")
    undo = revise(server, 1, kind="undo", number=1)
    assert (undo.status, undo.body["revision"]["undoes"], undo.body["revision"]["facet"]) == (201, 1, facet)
    rows = server.ask("GET", f"{ANA}/revisions").body["revisions"]
    assert [(one["number"], one["undone"]) for one in rows] == [(2, False), (1, True)]
    assert not persona(server)["facets"][0]["left_out"]
    assert revise(server, 2, kind="undo", number=1).status == 400
    assert revise(server, 2, kind="undo", number=7).status == 400


def test_revisions_come_by_the_page(server: Running, store: PeopleStore) -> None:
    for number in range(102):
        store.correct("ana", "a facet", f"words {number}")
    page = server.ask("GET", f"{ANA}/revisions").body
    assert [one["number"] for one in page["revisions"]] == list(range(102, 2, -1))
    assert (page["last"], page["more"]) == (102, True)
    rest = server.ask("GET", f"{ANA}/revisions?before=3").body
    assert ([one["number"] for one in rest["revisions"]], rest["more"]) == ([2, 1], False)
    assert server.ask("GET", f"{ANA}/revisions?before=x").status == 400


def test_own_texts_are_listed_searched_pinned_and_left_out(server: Running, store: PeopleStore) -> None:
    rows = server.ask("GET", f"{ANA}/own-texts").body
    assert [one["time"] for one in rows["texts"]] == [3.0, 2.0, 1.0, 0.0]
    assert (rows["more"], rows["next"]) == (False, None)
    first, second = (one["digest"] for one in rows["texts"][2:])
    assert revise(server, 0, kind="pin", digest=first).status == 201
    assert revise(server, 1, kind="leave_out", digest=second).status == 201
    marks = {
        one["digest"]: (one["pinned"], one["left_out"]) for one in server.ask("GET", f"{ANA}/own-texts").body["texts"]
    }
    assert (marks[first], marks[second]) == ((True, False), (False, True))
    found = server.ask("GET", f"{ANA}/own-texts?q={quote('STRINGS no. 1')}").body["texts"]
    assert [one["digest"] for one in found] == [first]
    receipt = server.chat(model="copersona:ana", copersona={"receipt": True}).body["copersona"]["receipt"]
    assert receipt["retrieved"][0] | {"digest": first, "by": "pinned"} == receipt["retrieved"][0]
    assert second not in [row["digest"] for row in receipt["retrieved"]]
    assert revise(server, 2, kind="pin", path=BO, digest=first).error["code"] == "text_not_found"


def test_a_long_list_of_texts_goes_on_where_it_ended(server: Running, store: PeopleStore) -> None:
    from copersona.runtime.history.interactions import Interaction

    store.add(Interaction("cem", f"text {n}", time=None if n % 3 else float(n // 2)) for n in range(120))
    found, place = list[str](), ""
    while True:
        page = server.ask("GET", f"{PEOPLE}/cem/own-texts?before={place}").body
        found += [one["text"] for one in page["texts"]]
        if not page["more"]:
            break
        place = page["next"]
    history = store.history("cem")
    assert found == [one.output for one in reversed(history)]
    for place in ("zz", f"_{10**30}", "1.0_", "1.0_1.0"):
        assert server.ask("GET", f"{PEOPLE}/cem/own-texts?before={place}").status == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"kind": "correct", "facet": "?", "words": "two\nlines"}, 400),
        ({"kind": "correct", "facet": "?", "words": "x" * 301}, 400),
        ({"kind": "correct", "facet": "?", "words": "\u200b"}, 400),
        ({"kind": "correct", "facet": "?"}, 400),
        ({"kind": "correct", "facet": "nothing known", "words": "x"}, 404),
        ({"kind": "correct", "digest": "0" * 64, "words": "x"}, 400),
        ({"kind": "pin", "digest": "0" * 64}, 404),
        ({"kind": "pin"}, 400),
        ({"kind": "leave_out", "facet": "?", "digest": "0" * 64}, 400),
        ({"kind": "leave_out", "quote": "stands nowhere at all"}, 400),
        ({"kind": "leave_out", "quote": ""}, 400),
        ({"kind": "undo"}, 400),
        ({"kind": "erase"}, 400),
        ({}, 400),
        ({"kind": "pin", "digest": "0" * 64, "more": 1}, 400),
    ],
)
def test_what_cannot_be_revised_is_refused_and_leaves_nothing(
    server: Running, store: PeopleStore, body: dict[str, Any], status: int
) -> None:
    body = {name: facet_of(server) if value == "?" else value for name, value in body.items()}
    found = revise(server, 0, **body)
    assert (found.status, bool(found.error["message"])) == (status, True)
    assert store.revisions("ana") == ()
    assert revise(server, 10**30, **body).status == status
    assert server.ask("POST", f"{ANA}/revisions", body).error["param"] in ("base", "more")


def test_an_answer_becomes_a_text_only_when_it_was_edited(server: Running, store: PeopleStore) -> None:
    answer = "It works well.\nI would buy it again."
    same = {"text": " It works well. \r\nI would buy it again. ", "answer": answer}
    assert server.ask("POST", f"{ANA}/texts", same).status == 400
    edited = {"text": "It works, mostly. I'd buy it again.", "title": "The amp", "answer": answer}
    made = server.ask("POST", f"{ANA}/texts", edited)
    assert (made.status, made.body["text"]["adopted"]) == (201, True)
    rows = server.ask("GET", f"{ANA}/own-texts").body["texts"]
    assert [one["adopted"] for one in rows] == [True, False, False, False, False]
    assert (rows[0]["title"], rows[0]["text"]) == ("The amp", edited["text"])
    assert store.history("ana")[-1].output == edited["text"]
    assert server.ask("POST", f"{ANA}/texts", {"text": "x"}).error["param"] == "answer"


def test_a_text_a_facet_and_a_person_are_forgotten_with_a_receipt(server: Running, store: PeopleStore) -> None:
    facet, digest = facet_of(server), digests(server)[0]
    server.chat(model="copersona:ana", copersona={"conversation": "new"})
    revise(server, 0, kind="pin", digest=digest)
    gone = server.ask("DELETE", f"{ANA}/texts/{digest}").body
    assert gone["removed"] | {"texts": 1, "revisions": 1, "receipts": 1} == gone["removed"]
    assert gone["check"].startswith("copersona people ")
    assert digest not in digests(server)
    quoted = [one["from"]["digest"] for row in persona(server)["facets"] for one in row["quotes"]]
    assert digest not in quoted
    assert server.ask("DELETE", f"{ANA}/texts/{digest}").status == 404
    last = persona(server)["last"]
    revise(server, last, kind="correct", facet=facet, words="Words that are to be forgotten")
    gone = server.ask("DELETE", f"{ANA}/facets/{quote(facet)}").body
    assert (gone["removed"]["revisions"], gone["pending"]) == (1, False)
    assert persona(server)["facets"][0]["left_out"]
    assert [one.kind for one in store.revisions("ana")] == ["leave_out"]
    gone = server.ask("DELETE", ANA).body
    assert gone["removed"] | {"texts": 3, "chats": 1, "revisions": 1} == gone["removed"]
    assert server.ask("GET", f"{ANA}/persona").status == 404
    assert server.ask("DELETE", ANA).status == 404


def test_a_person_goes_out_as_a_file_and_comes_back(server: Running, store: PeopleStore) -> None:
    facet = facet_of(server)
    revise(server, 0, kind="correct", facet=facet, words="plainly")
    server.chat(model="copersona:ana", copersona={"conversation": "new"})
    found = server.ask("GET", f"{ANA}/export")
    assert "attachment" in found.headers["content-disposition"]
    assert server.ask("POST", f"{PEOPLE}/restore", raw=found.raw).error["code"] == "person_exists"
    was = persona(server)
    server.ask("DELETE", ANA)
    back = server.ask("POST", f"{PEOPLE}/restore", raw=found.raw)
    assert (back.status, back.body) == (201, {"person": "ana", "texts": 4, "revisions": 1, "conversations": 1})
    assert server.ask("GET", f"{ANA}/export").raw == found.raw
    again = persona(server)
    assert again | {"now": 0} == was | {"now": 0}
    cut = json.loads(found.raw) | {"person": "dee", "texts": [{"output": ""}]}
    refused = server.ask("POST", f"{PEOPLE}/restore", cut)
    assert (refused.status, "texts[0]" in refused.error["message"]) == (400, True)
    assert not store.knows("dee")
    large = server.ask("POST", f"{PEOPLE}/restore", raw=b" " * (MOST_BODY + 1))
    assert large.status == 400, "a person may be larger than a question"
