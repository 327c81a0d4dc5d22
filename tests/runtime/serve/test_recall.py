"""A person is recalled always, for what has to do with them, or never; and an answer may be gone on with."""

from __future__ import annotations

import pytest

from .running import Running

REVIEW = [{"role": "user", "content": "Write a review.\nTitle: good strings"}]


def test_who_is_not_recalled_answers_as_nobody_does_and_the_record_says_so(server: Running) -> None:
    nobody = server.text(model="copersona-plain", messages=REVIEW, seed=3, max_tokens=8)
    ours = {"recall": "never", "receipt": True}
    found = server.chat(model="copersona:ana", messages=REVIEW, seed=3, max_tokens=8, copersona=ours).body
    assert found["choices"][0]["message"]["content"] == nobody
    receipt = found["copersona"]["receipt"]
    assert receipt["person"] == "ana"
    assert receipt["recall"] == {"mode": "never", "recalled": False, "writing": None, "own_words": None}
    assert (receipt["facets"], receipt["retrieved"]) == ([], [])
    always = server.chat(model="copersona:ana", messages=REVIEW, copersona={"recall": "always", "receipt": True}).body
    assert always["copersona"]["receipt"]["recall"]["recalled"] is True
    assert always["copersona"]["receipt"]["facets"]
    plain = server.chat(model="copersona-plain", messages=REVIEW, copersona={"receipt": True}).body
    assert plain["copersona"]["receipt"]["recall"] is None


def test_half_of_the_words_being_their_own_recalls_a_person_by_any_encoder(server: Running) -> None:
    question = [{"role": "user", "content": "What are bright strings?"}]  # "ana likes bright strings, no. 1!"
    ours = {"recall": "relevant", "receipt": True}
    found = server.chat(model="copersona:ana", messages=question, copersona=ours).body["copersona"]["receipt"]
    assert found["recall"]["recalled"] is True
    assert len(found["retrieved"]) > 0


@pytest.mark.parametrize("recall", ["often", 3, ["never"]])
def test_another_way_to_recall_is_refused(server: Running, recall: object) -> None:
    found = server.chat(copersona={"recall": recall})
    assert (found.status, found.error["param"]) == (400, "copersona.recall")


def test_an_answer_is_gone_on_with_from_where_it_stands(server: Running) -> None:
    whole = server.text(messages=REVIEW, temperature=0, max_tokens=12)
    half = whole[: len(whole) // 2].rsplit(" ", 1)[0]
    messages = [*REVIEW, {"role": "assistant", "content": half}]
    body = server.chat(messages=messages, temperature=0, max_tokens=4, copersona={"continue": True}).body
    plain = server.chat(messages=REVIEW, temperature=0, max_tokens=4).body
    session = server.worker.session
    assert body["usage"]["prompt_tokens"] == plain["usage"]["prompt_tokens"] + len(session.layout.text(half))


@pytest.mark.parametrize("messages", [REVIEW, [*REVIEW, {"role": "assistant", "content": ""}]])
def test_without_an_answer_there_is_nothing_to_go_on_with(server: Running, messages: object) -> None:
    found = server.chat(messages=messages, copersona={"continue": True})
    assert (found.status, found.error["param"]) == (400, "messages")
