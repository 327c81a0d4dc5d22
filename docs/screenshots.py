"""The pictures of docs/assistant.md: the page with the demo's bundle and its invented people, in a real browser.

    python docs/screenshots.py

Needs the extras `serve` and `demo`, playwright, Pillow and a Chromium. The seeds are fixed; times differ.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from PIL import Image  # noqa: E402

from copersona import runtime  # noqa: E402
from tests.runtime.serve.browsing import Visit, chromium, visit  # noqa: E402
from tests.runtime.serve.running import serving  # noqa: E402

COLOURS = 96
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
            with visit(browser, server) as seen:
                wide(seen)
            with visit(browser, server, dark=True) as seen:
                pair(seen)


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


def save(seen: Visit, name: str) -> None:
    """A picture of what is to be seen."""
    path = ROOT / "docs" / f"{name}.png"
    seen.page.screenshot(path=path)
    few = Image.open(path).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(path, optimize=True)  # a quarter of the bytes, and nothing to be seen
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
