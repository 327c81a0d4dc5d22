"""Every view of the page: usable by everyone (axe), light, dark and narrow; and alone, whatever is tried on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from copersona.runtime.session.session import open_bundle

from .browsing import NARROW, WIDE, Visit, visit
from .running import Running, serving
from .test_imports import CHAT
from .test_page_importing import NAMED, drop, title
from .test_page_owning import become, correct, facet, fresh, toast

Check = Callable[[str], None]
ELSEWHERE = "http://elsewhere.example/"
TRIES = """async (elsewhere) => {
  const add = (tag, change) => {
    const one = document.createElement(tag);
    change(one);
    document.body.append(one);
    if (tag === "button") one.click();
  };
  const tries = {
    script: () => add("script", (one) => (one.textContent = "window.ran = true")),
    handler: () => add("button", (one) => one.setAttribute("onclick", "window.ran = true")),
    markup: () => add("div", (one) => (one.innerHTML = "<b>x</b>")),
    fetch: () => fetch(elsewhere),
  };
  const refused = [], broken = [];
  document.addEventListener("securitypolicyviolation", (event) => broken.push(event.blockedURI));
  for (const [name, attempt] of Object.entries(tries)) {
    try { await attempt(); } catch { refused.push(name); }
  }
  add("img", (one) => (one.src = `${elsewhere}x.png`));
  add("link", (one) => Object.assign(one, { rel: "stylesheet", href: `${elsewhere}x.css` }));
  navigator.sendBeacon(`${elsewhere}beacon`, "x");
  for (let wait = 0; wait < 50 && broken.filter((one) => one.startsWith(elsewhere)).length < 4; wait++) {
    await new Promise((later) => setTimeout(later, 100));
  }
  return { ran: window.ran ?? false, refused, elsewhere: broken.filter((one) => one.startsWith(elsewhere)).length };
}"""


@pytest.fixture(params=[(WIDE, False), (WIDE, True), (NARROW, False)], ids=["light", "dark", "narrow"])
def how(request: pytest.FixtureRequest) -> tuple[dict[str, int], bool]:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def empty(random_bundle: Path, tmp_path: Path) -> Iterator[Running]:
    with serving(lambda: open_bundle(random_bundle, threads=1), tmp_path) as found:
        yield found


def checker(seen: Visit) -> Check:
    """Nothing serious may be wrong with what is seen, and nothing may stick out at the side."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()

    def check(view: str) -> None:
        found = axe.run(seen.page).response["violations"]
        bad = [(one["id"], [node["html"] for node in one["nodes"]]) for one in found
               if one["impact"] in ("serious", "critical")]  # fmt: skip
        assert bad == [], view
        assert not seen.page.evaluate("document.documentElement.scrollWidth > innerWidth"), view

    return check


def test_talking_can_be_done_by_everyone(browser: Any, server: Running, how: Any) -> None:
    with visit(browser, server, size=how[0], dark=how[1]) as seen:
        check = checker(seen)
        seen.become("bo")
        check("greeting")
        seen.say("Good morning.")
        check("conversation")
        seen.page.click("article .acts button:text-is('Why this answer')")
        seen.page.wait_for_selector("#why-texts .text")
        check("why")
        if how[0] is NARROW:
            seen.page.click("#close-panel")
        seen.page.click("article .acts button:text-is('Make this mine')")
        check("make this mine")
        seen.page.keyboard.press("Escape")
        if how[0] is NARROW:
            seen.page.click("#open-rail")
        seen.page.click("#kept")
        check("what is kept")
        seen.page.click("#dialog-buttons button")


def test_owning_can_be_done_by_everyone(browser: Any, server: Running, how: Any) -> None:
    person = fresh(server)
    with visit(browser, server, size=how[0], dark=how[1]) as seen:
        check = checker(seen)
        become(seen, person)
        if how[0] is NARROW:
            seen.page.click("#open-panel")
        check("persona")
        correct(seen, "I write as I speak.")
        toast(seen, "in your words")
        check("corrected, with a word on it")
        facet(seen, 1).locator("button:text-is('Correct')").click()
        facet(seen, 2).locator("button:text-is('Leave out')").last.click()
        toast(seen, "is left out")
        seen.page.click(".moved summary")
        check("left out, beside an editor")
        seen.page.click("#tab-texts")
        seen.page.locator("#texts-view .text button:text-is('Pin')").first.click()
        toast(seen, "Pinned")
        seen.page.locator("#texts-view .text button:text-is('Leave out')").last.click()
        toast(seen, "left out")
        check("texts")
        seen.page.locator("#texts-view .text button:text-is('Forget')").first.click()
        check("forgetting")
        seen.page.click("#dialog-buttons >> text=Forget")
        seen.page.locator("#dialog-title").filter(has_text="Forgotten").wait_for()
        check("receipt")
        seen.page.click("#dialog-buttons button")
        seen.page.click("#tab-changes")
        seen.page.locator(".changes button").first.click()
        seen.page.wait_for_selector(".changes .undone")
        check("changes")


def test_importing_can_be_done_by_everyone(browser: Any, empty: Running, how: Any) -> None:
    with visit(browser, empty, size=how[0], dark=how[1]) as seen:
        check = checker(seen)
        check("first run")
        drop(seen, "chat.txt", CHAT)
        title(seen, "Who are you in it?")
        check("who")
        seen.page.keyboard.press("Escape")
        drop(seen, "note.md", b"A note of mine, of some words.")
        title(seen, "Whose texts")
        check("whose")
        drop(seen, NAMED, CHAT)
        title(seen, "2 texts")
        seen.page.click("#sheet summary")
        check("preview")
        drop(seen, "x.bin", b"{}")
        title(seen, "This cannot be read")
        check("refused")
        seen.wrong.clear()  # the browser itself reports the 400


def test_the_page_is_alone_whatever_is_tried_on_it(browser: Any, server: Running) -> None:
    with visit(browser, server) as seen:
        seen.become("bo")
        seen.say("Good morning.")
        sources = seen.page.evaluate("[...document.scripts].map((one) => [one.src, one.textContent])")
        assert [(source.split("/")[-1], text) for source, text in sources] == [("main.js", "")], "no inline script"
        reached: list[str] = []
        seen.page.route(f"{ELSEWHERE}**", lambda route: reached.append(route.request.url) or route.abort())
        found = seen.page.evaluate(TRIES, ELSEWHERE)
        assert found == {"ran": False, "refused": ["script", "handler", "markup", "fetch"], "elsewhere": 4}
        assert reached == [], "blocked before anything is sent"
        seen.wrong.clear()  # the browser reports each
        seen.outside.clear()
