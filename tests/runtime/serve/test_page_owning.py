"""Owning what is known: corrected, left out, pinned, undone, forgotten, taken along, on the page in a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from copersona.runtime.history.interactions import Interaction

from .browsing import Visit, visit
from .running import Running, until

NUMBERS = count()
MADE = "A text that nobody wrote by hand."


def fresh(server: Running) -> str:
    """Somebody of a test's own."""
    name = f"Pat{next(NUMBERS)}"
    said = f"{name} likes bright strings, no."
    server.worker.store.add(Interaction(name, f"{said} {n}!", time=float(n)) for n in range(5))
    return name


@pytest.fixture
def person(server: Running) -> str:
    return fresh(server)


@pytest.fixture
def seen(browser: Any, server: Running, person: str) -> Iterator[Visit]:
    with visit(browser, server) as opened:
        become(opened, person)
        yield opened


def become(seen: Visit, person: str) -> None:
    seen.become(person)
    seen.page.wait_for_selector(f"text=How {person} is known", state="attached")


def facet(seen: Visit, number: int = 0) -> Any:
    return seen.page.locator("#persona-view .facet").nth(number)


def name_of(seen: Visit, number: int = 0) -> str:
    return str(facet(seen, number).locator(".name").inner_text())


def correct(seen: Visit, words: str) -> None:
    facet(seen).locator("button:text-is('Correct')").click()
    facet(seen).locator("textarea").fill(words)
    facet(seen).locator("button:text-is('Save')").click()


def toast(seen: Visit, says: str) -> None:
    seen.page.locator("#toast span").filter(has_text=says).wait_for()


def receipt(server: Running, person: str) -> Any:
    body = server.chat(model=f"copersona:{person}", copersona={"receipt": True, "recall": "always"}).body
    return body["copersona"]["receipt"]


def test_a_facet_is_corrected_in_own_words_and_put_back_by_undo(seen: Visit, server: Running, person: str) -> None:
    name = name_of(seen)
    correct(seen, "I write as I speak")
    toast(seen, f"“{name}” is in your words now.")
    assert "in your words" in facet(seen).inner_text()
    assert "I write as I speak" in facet(seen).inner_text()
    (found,) = [one for one in receipt(server, person)["facets"] if one["facet"] == name]
    assert "I write as I speak" in found["summary"]
    seen.page.click("#toast >> text=Undo")
    toast(seen, "Undone.")
    assert "I write as I speak" not in facet(seen).inner_text()
    correct(seen, "I write as I speak, again")
    facet(seen).locator("button:text-is('Take back')").click()
    toast(seen, "Undone.")
    assert "in your words" not in facet(seen).inner_text()


def test_the_editor_is_used_by_keys_alone_and_left_by_escape(seen: Visit) -> None:
    facet(seen).locator("button:text-is('Correct')").press("Enter")
    assert seen.page.evaluate("document.activeElement.className") == "edit"
    seen.page.keyboard.type("Short and dry")
    seen.page.keyboard.press("Escape")
    assert facet(seen).locator("textarea").count() == 0
    facet(seen).locator("button:text-is('Correct')").press("Enter")
    seen.page.keyboard.type("Short and dry")
    seen.page.keyboard.press("Control+Enter")
    facet(seen).locator("text=Short and dry").wait_for()


def test_what_is_typed_at_one_facet_outlives_a_change_of_another(seen: Visit) -> None:
    facet(seen).locator("button:text-is('Correct')").click()
    facet(seen).locator("textarea").fill("Half a thou")
    facet(seen, 1).locator("button:text-is('Leave out')").last.click()
    toast(seen, "is left out")
    assert facet(seen).locator("textarea").input_value() == "Half a thou"


def corrected_in_another_tab(browser: Any, server: Running, person: str) -> None:
    with visit(browser, server) as other:
        become(other, person)
        correct(other, "The other tab's words")
        toast(other, "is in your words now.")


def test_what_another_tab_changed_is_not_written_over_unseen(
    browser: Any, server: Running, seen: Visit, person: str
) -> None:
    corrected_in_another_tab(browser, server, person)
    correct(seen, "These words")
    told = facet(seen).locator("[role=alert]")
    told.filter(has_text="changed in another tab").wait_for()
    assert "The other tab's words" in told.inner_text()
    assert facet(seen).locator("textarea").input_value() == "These words"
    assert server.worker.store.wishes(person)[1].corrected[0][1] == "The other tab's words"
    facet(seen).locator("button:text-is('Save')").click()
    toast(seen, "is in your words now.")
    assert server.worker.store.wishes(person)[1].corrected[0][1] == "These words"
    seen.wrong.clear()  # the browser itself reports the 409


def test_a_change_without_words_that_came_too_late_is_told(
    browser: Any, server: Running, seen: Visit, person: str
) -> None:
    corrected_in_another_tab(browser, server, person)
    facet(seen).locator("button:text-is('Leave out')").last.click()
    toast(seen, "changed in another tab meanwhile")
    assert "The other tab's words" in facet(seen).inner_text()
    assert server.worker.store.wishes(person)[1].left_facets == ()
    seen.wrong.clear()


def test_a_facet_is_left_out_and_taken_in_again(seen: Visit, server: Running, person: str) -> None:
    name = name_of(seen)
    facet(seen).locator("button:text-is('Leave out')").last.click()
    toast(seen, "is left out")
    assert "left out" in facet(seen).inner_text()
    assert name not in [one["facet"] for one in receipt(server, person)["facets"] if not one["left_out"]]
    facet(seen).locator("button:text-is('Take in again')").click()
    toast(seen, "Undone.")
    assert server.worker.store.wishes(person)[1].left_facets == ()


def test_a_quote_is_left_out(seen: Visit, server: Running, person: str) -> None:
    quote = seen.page.locator("#persona-view blockquote").first
    if not quote.count():
        pytest.skip("this bundle's facets quote nothing")
    quote.locator("button").click()
    toast(seen, "The quote is left out.")
    assert len(server.worker.store.wishes(person)[1].left_quotes) == 1


def test_own_texts_are_searched_pinned_and_left_out(seen: Visit, server: Running, person: str) -> None:
    seen.page.click("#tab-texts")
    rows = seen.page.locator("#texts-view .text")
    rows.nth(4).wait_for()
    assert [f"no. {n}" in rows.nth(4 - n).inner_text() for n in range(5)] == [True] * 5
    seen.page.fill("#texts-view input", "NO. 2")
    until(lambda: rows.count() == 1)
    rows.locator("button:text-is('Pin')").click()
    toast(seen, "Pinned")
    seen.page.wait_for_selector("#texts-view .text >> text=pinned")
    first = receipt(server, person)["retrieved"][0]
    assert first["by"] == "pinned"
    rows.locator("button:text-is('Unpin')").click()
    toast(seen, "Undone.")
    rows.locator("button:text-is('Leave out')").click()
    toast(seen, "The text is left out.")
    seen.page.wait_for_selector("#texts-view .text.out")
    assert first["digest"] not in [one["digest"] for one in receipt(server, person)["retrieved"]]
    seen.page.click("#toast >> text=Undo")
    seen.page.wait_for_selector("#texts-view .text:not(.out)")
    seen.page.fill("#texts-view input", "nothing of this")
    seen.page.wait_for_selector("text=Nothing holds these words.")


def test_changes_stand_in_a_time_line_and_each_can_be_undone(seen: Visit) -> None:
    correct(seen, "Short and dry")
    toast(seen, "is in your words now.")
    seen.page.press("#tab-persona", "ArrowRight")
    seen.page.press("#tab-texts", "ArrowRight")
    rows = seen.page.locator(".changes li")
    rows.first.wait_for()
    assert "Short and dry" in rows.first.inner_text()
    rows.first.locator("button").click()
    seen.page.wait_for_selector(".changes li.undone")
    assert "Took back a change of" in rows.first.inner_text()
    assert seen.page.locator(".changes li.undone button").count() == 0


def test_a_text_is_forgotten_with_a_receipt(seen: Visit, server: Running, person: str) -> None:
    seen.page.click("#tab-texts")
    seen.page.locator("#texts-view .text button:text-is('Forget')").first.click()
    assert "This cannot be undone." in seen.page.inner_text("#dialog")
    seen.page.click("#dialog-buttons >> text=Leave it")
    assert len(server.worker.store.history(person)) == 5
    seen.page.locator("#texts-view .text button:text-is('Forget')").first.click()
    seen.page.click("#dialog-buttons >> text=Forget")
    seen.page.locator("#dialog-title").filter(has_text="Forgotten").wait_for()
    assert "copersona people" in seen.page.inner_text("#dialog code")
    seen.page.click("#dialog-buttons button")
    until(lambda: seen.page.locator("#texts-view .text").count() == 4)
    assert [one.output[-2:] for one in server.worker.store.history(person)] == ["0!", "1!", "2!", "3!"]


def test_a_facet_is_forgotten(seen: Visit, server: Running, person: str) -> None:
    name = name_of(seen)
    correct(seen, "Short and dry")
    toast(seen, "is in your words now.")
    facet(seen).locator("button:text-is('Forget')").click()
    seen.page.click("#dialog-buttons >> text=Forget")
    seen.page.locator("#dialog-title").filter(has_text="Forgotten").wait_for()
    seen.page.click("#dialog-buttons button")
    until(lambda: "left out" in facet(seen).inner_text())
    assert server.worker.store.wishes(person)[1].left_facets == (name,)
    assert not [one for one in server.worker.store.revisions(person) if one.words]


def test_a_person_is_taken_along_forgotten_and_put_back(seen: Visit, server: Running, person: str) -> None:
    store = server.worker.store
    correct(seen, "Short and dry")
    toast(seen, "is in your words now.")
    before, wishes = store.history(person), store.wishes(person)[1]
    with seen.page.expect_download() as download:
        seen.page.click("#persona-view >> text=Export")
    file = download.value.path()
    seen.page.click(f"#persona-view >> text=Forget {person}")
    assert "5 texts" in seen.page.inner_text("#dialog")
    seen.page.click("#dialog-buttons >> text=Forget")
    seen.page.locator("#dialog-title").filter(has_text="Forgotten").wait_for()
    assert "people" in seen.page.inner_text("#dialog code")
    seen.page.click("#dialog-buttons button")
    seen.page.wait_for_selector(f"#person option[value={person}]", state="detached")
    seen.page.wait_for_selector("text=Yours to keep")
    seen.page.click("#persona-view >> text=Restore")
    seen.page.set_input_files("#dialog input", file)
    seen.page.click("#dialog-buttons >> text=Restore")
    seen.page.wait_for_selector(f"text=How {person} is known")
    toast(seen, f"{person} is here again.")
    assert (store.history(person), store.wishes(person)[1]) == (before, wishes)


def test_an_answer_becomes_own_writing_only_once_it_was_changed(seen: Visit, server: Running, person: str) -> None:
    seen.page.route("**/v1/chat/completions", answered_by(MADE))
    seen.page.uncheck("#keep")
    seen.say("Write something.")
    seen.page.click(".turn.answer button:text-is('Make this mine')")
    keep = seen.page.locator("#sheet button:text-is('Keep as mine')")
    assert keep.is_disabled()
    seen.page.fill("#sheet textarea", f"  {MADE}\n")
    assert keep.is_disabled(), "blanks are no change"
    seen.page.fill("#sheet textarea", "A text that I did write by hand.")
    keep.click()
    toast(seen, "Kept among your texts")
    assert "A text that I did write by hand." in [one.output for one in server.worker.store.history(person)]
    seen.page.click("#tab-texts")
    seen.page.locator("#texts-view .text").filter(has_text="from an answer, edited").wait_for()


def answered_by(text: str) -> Any:
    chunks = ({"choices": [{"delta": {"content": text}, "finish_reason": None}]},
              {"choices": [{"delta": {}, "finish_reason": "stop"}], "copersona": {}})  # fmt: skip
    body = "".join(f"data: {json.dumps(one)}\n\n" for one in chunks) + "data: [DONE]\n\n"
    return lambda route: route.fulfill(status=200, content_type="text/event-stream", body=body)


def test_by_keyboard_one_stays_where_one_was(seen: Visit) -> None:
    where = "document.activeElement.closest('.facet')?.getAttribute('aria-label')"
    name = name_of(seen, 1)
    facet(seen, 1).locator("button:text-is('Leave out')").last.press("Enter")
    toast(seen, "is left out")
    assert seen.page.evaluate(where) == name
    seen.page.press("#toast >> text=Undo", "Enter")
    toast(seen, "Undone.")
    assert seen.page.evaluate("document.activeElement.id") == "persona-view"


def test_a_word_on_one_person_goes_with_them(seen: Visit) -> None:
    correct(seen, "Short and dry")
    toast(seen, "is in your words now.")
    seen.become("bo")
    assert not seen.page.is_visible("#toast")


def test_what_was_done_is_announced(seen: Visit) -> None:
    correct(seen, "Short and dry")
    toast(seen, "is in your words now.")
    assert re.search("in your words now.* It can be undone", seen.page.inner_text("#status"))


def test_what_the_last_text_moved_is_computed_when_it_is_looked_at(seen: Visit) -> None:
    asked: list[str] = []
    seen.page.on("request", lambda one: asked.append(one.url) if one.url.endswith("/moved") else None)
    seen.page.click("#tab-persona")
    assert asked == []
    seen.page.click(".moved summary")
    seen.page.wait_for_selector(".moved p:not(:text-is('…'))")
    assert len(asked) == 1
