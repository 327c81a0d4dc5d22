"""The page in a real browser: talking, stopping, changing, comparing, seeing who one is and why."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from copersona.runtime.serve.job import Job
from copersona.runtime.session.session import open_bundle

from .browsing import WIDE, Visit, visit
from .running import TOKEN, Running, serving


@pytest.fixture
def seen(browser: Any, server: Running) -> Iterator[Visit]:
    with visit(browser, server) as opened:
        opened.page.wait_for_selector(".facet")
        yield opened


def test_a_message_is_answered_as_the_person_and_as_nobody(seen: Visit) -> None:
    seen.become("bo")
    seen.say("Write a line.\nAbout strings.")
    assert seen.texts("user") == ["Write a line.\nAbout strings."]
    heads = ".turn.answer .head b"
    assert seen.page.locator(heads).all_inner_texts() == ["bo"]
    seen.page.check("#plain")
    seen.say("And again.")
    assert seen.page.locator(heads).all_inner_texts() == ["bo", "Nobody"]
    assert not seen.page.is_checked("#plain"), "one message alone was meant"
    seen.page.click("#new")
    assert seen.texts("user") == []


def test_what_is_sent_is_the_conversation_as_it_stands(seen: Visit) -> None:
    bodies: list[Any] = []
    seen.page.on("request", lambda one: bodies.append(json.loads(one.post_data)) if "chat/com" in one.url else None)
    seen.become("bo")
    seen.page.uncheck("#keep")
    seen.say("One.")
    seen.say("Two.")
    assert [body["model"] for body in bodies] == ["copersona:bo"] * 2
    assert all("conversation" not in body["copersona"] for body in bodies)
    roles = [message["role"] for message in bodies[1]["messages"]]
    assert roles in (["user", "assistant", "user"], ["user", "user"])  # an answer without a letter is left out
    seen.page.click(".turn.user >> nth=0 >> button:text-is('Edit')")
    seen.page.fill("textarea.edit", "Other.")
    seen.page.press("textarea.edit", "Enter")
    seen.answered()
    assert [message["content"] for message in bodies[2]["messages"]] == ["Other."]
    assert seen.texts("user") == ["Other."]
    seen.page.click(".turn.answer .acts button:text-is('Again')")
    seen.answered()
    assert bodies[3]["messages"] == bodies[2]["messages"]
    assert len(seen.texts("answer")) == 1
    seen.page.press("#say", "ArrowUp")
    assert seen.page.input_value("textarea.edit") == "Other."
    seen.page.press("textarea.edit", "Escape")
    assert seen.texts("user") == ["Other."]


def test_stop_stops_and_what_stands_can_be_gone_on_with(
    seen: Visit, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = Job.take

    def slowly(self: Job, piece: Any) -> bool:
        time.sleep(0.02)  # so that there is something to stop
        return take(self, piece)

    monkeypatch.setattr(Job, "take", slowly)
    seen.become("bo")
    seen.page.fill("#say", "Write very much.")
    seen.page.press("#say", "Enter")
    seen.page.locator(".turn.answer .body").filter(has_text=re.compile(r"\S")).wait_for()
    seen.page.press("#say", "Escape")
    seen.answered()
    before = seen.texts("answer")[0].rstrip()
    seen.page.wait_for_timeout(300)
    assert server.worker.running == 0, "the model goes on"
    bodies: list[Any] = []
    seen.page.on("request", lambda one: bodies.append(json.loads(one.post_data)) if "chat/com" in one.url else None)
    seen.page.click(".acts button:text-is('Continue')")
    seen.page.wait_for_timeout(500)
    if seen.page.locator("#send.stop").count():
        seen.page.click("#send")
    seen.answered()
    assert bodies[0]["copersona"]["continue"] is True
    assert bodies[0]["messages"][-1]["role"] == "assistant"
    assert len(seen.texts("answer")) == 1
    assert len(seen.texts("answer")[0]) >= len(before)
    kept = server.worker.store.conversations("bo")[0]
    said, answer = server.worker.store.conversation("bo", kept.id)[1]
    assert said.text == "Write very much."
    assert answer.text.startswith(bodies[0]["messages"][-1]["content"])


def test_the_persona_is_shown_with_evidence_and_without_names_of_others(seen: Visit, server: Running) -> None:
    seen.become("bo")
    seen.page.wait_for_selector("text=How bo is known")
    assert seen.page.locator(".facet").count() == len(server.worker.session.schema.facets)
    assert seen.page.locator("svg.sky").get_attribute("aria-label").startswith("How bo is known.")
    shown = seen.page.inner_text("#persona-view")
    assert "From 4 texts" in shown
    assert not [name for name in server.worker.session.graph.pseudonyms if name in shown]
    seen.become("")
    seen.page.wait_for_selector("text=No facets, no texts")


def test_why_an_answer_reads_so(seen: Visit) -> None:
    seen.become("bo")
    seen.say("Something about strings")
    seen.page.click("article .acts button:text-is('Why this answer')")
    seen.page.wait_for_selector("#why-texts .text")
    why = seen.page.inner_text("#why-view")
    assert "Answered as bo" in why
    assert "bo likes bright strings" in why
    assert "tokens in all" in why
    seen.page.press("#tab-why", "ArrowRight")
    assert seen.page.is_visible("#persona-view")


def test_conversations_are_kept_found_changed_and_deleted(seen: Visit, server: Running) -> None:
    store = server.worker.store
    seen.become("Zoë")
    seen.say("A question about violins.")
    seen.say("Another, about bows.")
    (kept,) = store.conversations("Zoë")
    assert kept.title == "A question about violins."
    assert seen.page.is_disabled("#keep"), "it is decided with the first message"
    said = [one.text for one in store.conversation("Zoë", kept.id)[1]]
    assert said[0::2] == ["A question about violins.", "Another, about bows."]
    assert said[1::2] == [one.text for one in store.conversation("Zoë", kept.id)[1] if one.role == "assistant"]
    seen.page.click(".turn.user >> nth=1 >> button:text-is('Edit')")
    seen.page.fill("textarea.edit", "Rather about strings.")
    seen.page.press("textarea.edit", "Enter")
    seen.answered()
    assert [one.text for one in store.conversation("Zoë", kept.id)[1] if one.role == "user"] == [
        "A question about violins.", "Rather about strings."
    ]  # fmt: skip
    seen.page.click("#new")
    seen.page.fill("#search", "STRINGS rather")
    seen.page.click(".chats .open")
    seen.page.wait_for_selector(".turn.user >> nth=1")
    assert seen.texts("user") == ["A question about violins.", "Rather about strings."]
    seen.page.click(".chats .more")
    seen.page.fill("#dialog-body input", "Strings")
    seen.page.click("#dialog-buttons >> text=Rename")
    seen.page.fill("#search", "")
    seen.page.wait_for_selector(".chats .title >> text=Strings")
    with seen.page.expect_download() as download:
        seen.page.click("#import")
        seen.page.click("#dialog-buttons >> text=All as JSON")
    file = download.value.path()
    seen.page.click(".chats .more")
    seen.page.click("#dialog-buttons >> text=Delete")
    seen.page.wait_for_selector("text=No conversations yet.")
    seen.page.wait_for_selector(".turn.user", state="detached")
    assert store.conversations("Zoë") == []
    seen.page.click("#import")
    seen.page.set_input_files("#file", {"name": "c.json", "mimeType": "application/json", "buffer": file.read_bytes()})
    seen.page.click("#dialog-buttons >> text=Take in")
    seen.page.wait_for_selector(".chats .title >> text=Strings")
    assert [one.id for one in store.conversations("Zoë")] == [kept.id]


def test_a_conversation_with_nobody_or_not_to_be_kept_leaves_nothing(seen: Visit, server: Running) -> None:
    seen.become("")
    assert seen.page.is_disabled("#keep")
    seen.say("Hello.")
    seen.become("ana")
    seen.page.uncheck("#keep")
    seen.say("Hello.")
    assert server.worker.store.conversations("ana") == []


def test_two_answers_side_by_side_have_one_seed(seen: Visit) -> None:
    bodies: list[Any] = []
    seen.page.on("request", lambda one: bodies.append(json.loads(one.post_data)) if "chat/com" in one.url else None)
    seen.become("bo")
    seen.page.click("#compare")
    seen.page.select_option("#other", "ana")
    seen.say("Good morning.")
    assert [body["model"] for body in bodies] == ["copersona:bo", "copersona:ana"]
    assert bodies[0]["seed"] == bodies[1]["seed"]
    assert seen.page.locator(".columns .head").all_inner_texts() == ["bo", "ana"]
    seen.page.click("#compare")
    assert seen.page.locator(".columns").count() == 0


def test_text_of_people_and_models_is_never_markup(browser: Any, server: Running) -> None:
    with visit(browser, server) as seen:
        evil = "<img src=x onerror=alert(1)> <b>hello</b> ![x](http://evil.example/x.png) [y](javascript:alert(1))"
        chunk = {"choices": [{"delta": {"content": evil}, "finish_reason": None}]}
        end = {"choices": [{"delta": {}, "finish_reason": "stop"}], "copersona": {}}
        lines = "".join(f"data: {json.dumps(one)}\n\n" for one in (chunk, end)) + "data: [DONE]\n\n"
        answer = {"status": 200, "content_type": "text/event-stream", "body": lines}
        seen.page.route("**/v1/chat/completions", lambda route: route.fulfill(**answer))
        seen.say(evil)
        seen.page.wait_for_selector(".turn.answer .body:not(.raw)")
        for kind in ("user", "answer"):
            body = seen.page.locator(f".turn.{kind} .body")
            assert body.locator("img, b, script").count() == 0
            assert "<b>hello</b>" in body.inner_text()
        (link,) = seen.page.locator(".turn.answer a").all()
        assert link.get_attribute("href") == "http://evil.example/x.png", "to be followed by hand alone"
        assert link.get_attribute("rel") == "noopener noreferrer nofollow"


def test_a_fault_is_said_where_it_happened(seen: Visit) -> None:
    fault = {"error": {"message": "too many requests are waiting", "type": "x", "param": None, "code": "queue_full"}}
    answer = {"status": 429, "content_type": "application/json", "body": json.dumps(fault)}
    seen.page.route("**/v1/chat/completions", lambda route: route.fulfill(**answer))
    seen.say("Hello.")
    assert seen.page.inner_text(".turn.answer .fault") == "too many requests are waiting"
    seen.page.unroute("**/v1/chat/completions")
    seen.page.click(".turn.answer .acts button:text-is('Again')")
    seen.answered()
    assert seen.page.locator(".fault").count() == 0
    seen.wrong.clear()  # the browser itself reports the 429


def test_where_nobody_has_texts_yet_the_page_says_how_to_be_there(
    browser: Any, random_bundle: Path, tmp_path: Path
) -> None:
    with serving(lambda: open_bundle(random_bundle, threads=1), tmp_path) as empty, visit(browser, empty) as seen:
        assert "Nobody is here yet." in seen.page.inner_text(".hello")
        assert seen.page.locator("#person option").all_inner_texts() == ["nobody"]
        seen.say("Hello.")
        assert len(seen.texts("answer")) == 1


def test_without_the_token_the_page_asks_for_it(browser: Any, server: Running) -> None:
    context = browser.new_context(viewport=WIDE)
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{server.port}/")
    page.wait_for_selector("#token")
    assert page.locator("#person option").count() == 0
    page.fill("#token", TOKEN)
    page.click("#dialog-buttons button")
    page.wait_for_selector("#person option[value=bo]", state="attached")
    context.close()
