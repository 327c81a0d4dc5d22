"""The pictures of docs/assistant.md: the page with the demo's bundle and its invented people, in a real browser.

    python docs/screenshots.py

Needs the extras `serve` and `demo`, playwright, Pillow and a Chromium. What is answered, and how fast, differs from run
to run.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from PIL import Image  # noqa: E402

from copersona import runtime  # noqa: E402
from tests.runtime.serve.browsing import WIDE, Visit, chromium, visit  # noqa: E402
from tests.runtime.serve.running import serving  # noqa: E402
from tests.runtime.serve.test_page_importing import drop, title  # noqa: E402

COLOURS = 24
SMALL = {"width": 1360, "height": 560}
CHAT = """11/10/21, 15:00 - Bob: Is the rain over?
11/10/21, 15:01 - Eva: It is, and the garden looks new.
12/10/21, 15:02 - Eva: Yes
13/10/21, 15:03 - Eva: I will plant the beans on Sunday, if the ground is warm enough by then.
14/10/21, 15:04 - Bob: Bring your boots
15/10/21, 15:05 - Eva: The train was late again, so I walked home along the river and it was worth it.
"""
REVIEW = "Write a review.\nItem: acoustic guitar\nRating: 4 of 5\nTitle: My new guitar"
OTHER = "Write a review.\nItem: violin strings\nRating: 5 of 5\nTitle: Bright"


def main() -> None:
    """Make all of them."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["COPERSONA_HOME"] = home
        bundle = runtime.demo_folder() / "bundle"
        with runtime.open_bundle(bundle) as session, runtime.PeopleStore(Path(home) / "people.sqlite") as store:
            session.add(store, runtime.read_history(runtime.demo_folder() / "people.jsonl"))
        with serving(lambda: runtime.open_bundle(bundle, sequences=2), Path(home)) as server, chromium() as browser:
            shown: list[tuple[dict[str, int], bool, list[Callable[[Visit], None]]]] = [
                (WIDE, False, [wide]), (WIDE, True, [pair]), (SMALL, False, [own, take])
            ]  # fmt: skip
            for size, dark, made in shown:
                with visit(browser, server, size=size, dark=dark) as seen:
                    seen.page.set_default_timeout(300_000)  # a busy machine
                    for make in made:
                        make(seen)


def wide(seen: Visit) -> None:
    """A conversation beside the persona, and beside its reasons."""
    seen.become("Bex")
    seen.say(OTHER)
    seen.page.click("#new")
    seen.say(REVIEW)
    seen.page.wait_for_selector(".facet")
    save(seen, "assistant")
    seen.page.click("article >> text=Why this answer")
    seen.page.wait_for_selector("#why-texts .text")
    save(seen, "assistant-why")


def pair(seen: Visit) -> None:
    """One request, two answers."""
    seen.become("Bex")
    seen.page.click("#close-panel")
    seen.page.click("#compare")
    seen.page.select_option("#other", "Tully")
    seen.say(REVIEW)
    save(seen, "assistant-pair")


def own(seen: Visit) -> None:
    """What a person says of themselves, and their texts; beside each other, for the panel shows one at a time."""
    seen.become("Bex")
    panel = seen.page.locator("#panel")
    facet = seen.page.locator("#persona-view .facet").first
    facet.locator("button:text-is('Correct')").click()
    facet.locator("textarea").fill("Short when I am glad, long when something broke")
    facet.locator("button:text-is('Save')").click()
    seen.page.locator("#toast span").filter(has_text="in your words").wait_for()
    facet.scroll_into_view_if_needed()
    left = shot(panel)
    seen.page.click("#tab-texts")
    texts = seen.page.locator("#texts-view .text")
    texts.nth(1).locator("button:text-is('Pin')").click()
    texts.nth(1).locator("text=pinned").wait_for()
    texts.nth(2).locator("button:text-is('Leave out')").click()
    texts.nth(2).locator("text=left out").wait_for()
    middle = shot(panel)
    seen.page.click("#tab-changes")
    seen.page.locator(".changes li").nth(2).wait_for()
    keep(beside(left, middle, shot(panel)), "assistant-own")


def take(seen: Visit) -> None:
    """A file that was dropped."""
    seen.page.set_viewport_size(WIDE)
    drop(seen, "WhatsApp Chat with Bob.txt", CHAT.encode())
    title(seen, "3 texts")
    keep(shot(seen.page.locator("#sheet")), "assistant-import")


def save(seen: Visit, name: str) -> None:
    """A picture of what is to be seen."""
    keep(shot(seen.page), name)


def shot(of: Any) -> Image.Image:
    """The page, or a part of it."""
    return Image.open(BytesIO(of.screenshot())).convert("RGB")


def beside(*pictures: Image.Image) -> Image.Image:
    """Pictures of one height in a row."""
    whole = Image.new("RGB", (sum(one.width for one in pictures), pictures[0].height))
    for place, one in enumerate(pictures):
        whole.paste(one, (sum(before.width for before in pictures[:place]), 0))
    return whole


def keep(picture: Image.Image, name: str) -> None:
    """The picture as a file of few colours: a quarter of the bytes, and hardly anything to be seen."""
    path = ROOT / "docs" / f"{name}.png"
    picture.quantize(COLOURS, Image.Quantize.FASTOCTREE).save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
