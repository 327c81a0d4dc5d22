"""A file dropped on the page: what counts is seen first, what is unclear is asked, and only then something is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from copersona.runtime.session.session import open_bundle

from .browsing import Visit, visit
from .running import Running, serving
from .test_imports import CHAT

NAMED = "WhatsApp Chat with Bob.txt"
DROP = """([name, text]) => {
  const data = new DataTransfer();
  data.items.add(new File([text], name));
  for (const kind of ["dragenter", "dragover", "drop"]) {
    document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
  }
}"""


@pytest.fixture
def empty(random_bundle: Path, tmp_path: Path) -> Iterator[Running]:
    with serving(lambda: open_bundle(random_bundle, threads=1), tmp_path) as found:
        yield found


def names(server: Running) -> list[str]:
    return [one.name for one in server.worker.store.people()]


def drop(seen: Visit, name: str, raw: bytes) -> None:
    seen.page.evaluate(DROP, [name, raw.decode()])


def title(seen: Visit, starts: str) -> str:
    """The sheet's title, once it begins so."""
    found = seen.page.locator("#sheet-title").filter(has_text=starts)
    found.wait_for()
    return str(found.inner_text())


def test_where_nobody_is_here_the_page_says_what_is_kept_and_takes_a_file(browser: Any, empty: Running) -> None:
    with visit(browser, empty) as seen:
        first = seen.page.inner_text(".first")
        assert str(empty.worker.store.path) in first
        assert "copersona people forget" in first
        assert "WhatsApp" in first
        assert not seen.page.is_visible("#dialog"), "nothing has to be clicked away"
        seen.page.set_input_files(".first input[type=file]", {"name": NAMED, "mimeType": "", "buffer": CHAT})
        assert title(seen, "2 texts") == "2 texts count as Eva’s own"
        shown = seen.page.inner_text("#sheet-body")
        assert "It is, and the garden looks new." in shown
        assert "written by others “Is the rain over?”" in shown
        assert names(empty) == []
        seen.page.click("#sheet >> text=Keep 2 texts")
        seen.page.wait_for_selector("text=How Eva is known")
        assert seen.page.inner_text("#toast span") == "2 texts kept."
        assert seen.page.input_value("#person") == "Eva"
        assert len(empty.worker.store.history("Eva")) == 2


def test_a_file_can_be_dropped_anywhere_and_left_again(browser: Any, empty: Running) -> None:
    with visit(browser, empty) as seen:
        drop(seen, NAMED, CHAT)
        title(seen, "2 texts")
        assert not seen.page.locator("body.dropping").count()
        seen.page.click("#sheet >> text=Leave it")
        assert not seen.page.is_visible("#sheet")
        drop(seen, NAMED, CHAT)
        title(seen, "2 texts")
        seen.page.keyboard.press("Escape")
        assert not seen.page.is_visible("#sheet")
        assert names(empty) == []


def test_who_is_meant_is_asked(browser: Any, empty: Running) -> None:
    with visit(browser, empty) as seen:
        drop(seen, "chat.txt", CHAT)
        title(seen, "Who are you in it?")
        seen.page.check("#sheet input[value=Bob]")
        seen.page.click("#sheet >> text=Go on")
        title(seen, "1 text counts as Bob’s own")
        seen.page.fill("#sheet label:has-text('Kept as') input", "Robert")
        seen.page.press("#sheet label:has-text('Kept as') input", "Tab")
        title(seen, "1 text counts as Robert’s own")
        seen.page.click("#sheet >> text=Keep 1 text")
        seen.page.wait_for_selector("text=How Robert is known")
    assert names(empty) == ["Robert"]


def test_whose_and_which_dates_are_asked(browser: Any, empty: Running) -> None:
    with visit(browser, empty) as seen:
        drop(seen, "note.md", b"A note of mine, of some words.")
        title(seen, "Whose texts are these?")
        seen.page.fill("#sheet input", "Mia")
        seen.page.press("#sheet input", "Enter")
        title(seen, "1 text counts as Mia’s own")
        drop(seen, NAMED, CHAT.replace(b"14/10", b"3/4").replace(b"15/10", b"3/4").replace(b"16/10", b"4/4"))
        title(seen, "Which way round are its dates?")
        seen.page.check("#sheet input[value=month-first]")
        seen.page.click("#sheet >> text=Go on")
        title(seen, "2 texts")
        assert "Mar 4, 2021 to Apr 4, 2021" in seen.page.inner_text("#sheet-body")


def test_it_can_be_read_otherwise(browser: Any, empty: Running) -> None:
    with visit(browser, empty) as seen:
        drop(seen, NAMED, CHAT)
        title(seen, "2 texts")
        seen.page.click("#sheet summary")
        seen.page.check("#sheet label:has-text('One-word replies') input")
        title(seen, "3 texts")
        assert "Yes" in seen.page.inner_text("#sheet-body")


def test_lines_of_several_people_are_kept_as_theirs(browser: Any, empty: Running) -> None:
    lines = "".join(json.dumps({"person": name, "output": f"{name} hums a tune."}) + "\n" for name in ("cid", "dot"))
    with visit(browser, empty) as seen:
        drop(seen, "history.jsonl", lines.encode())
        title(seen, "2 texts count as written by 2 people")
        seen.page.click("#sheet >> text=Keep 2 texts")
        seen.page.wait_for_selector("text=How cid is known")
    assert names(empty) == ["cid", "dot"]


def test_what_cannot_be_read_is_said_and_another_can_be_chosen(browser: Any, empty: Running) -> None:
    with visit(browser, empty) as seen:
        seen.page.evaluate(DROP, ["cat.png", "\0\0\0"])
        title(seen, "This cannot be read")
        assert "cat.png: this is a binary file" in seen.page.inner_text("#sheet .fault")
        seen.page.set_input_files("#sheet input[type=file]", {"name": NAMED, "mimeType": "", "buffer": CHAT})
        title(seen, "2 texts")
        seen.wrong.clear()  # the browser itself reports the 415


def test_more_texts_of_somebody_who_is_here_are_theirs(browser: Any, server: Running) -> None:
    with visit(browser, server) as seen:
        seen.become("bo")
        seen.page.click("#persona-view >> text=Add texts")
        title(seen, "Add what you wrote")
        seen.page.set_input_files("#sheet input[type=file]", {"name": NAMED, "mimeType": "", "buffer": CHAT})
        title(seen, "2 texts count as bo’s own")
        seen.page.click("#sheet >> text=Leave it")
    assert len(server.worker.store.history("bo")) == 4
