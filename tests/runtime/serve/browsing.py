"""A browser on the page of a running server, which may ask nothing of anything else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="the tests' extra is not installed")

from playwright import sync_api

from .running import TOKEN, Running

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
WIDE, NARROW = {"width": 1360, "height": 860}, {"width": 390, "height": 780}


def program() -> str:
    """The browser of this machine; where tests run for everyone there must be one."""
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium here; .ci/run installs it")
        pytest.skip("no Chromium on this machine")
    return found


@contextmanager
def chromium() -> Iterator[Any]:
    """The browser, headless."""
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program(), args=["--no-sandbox"])
        try:
            yield started
        finally:
            started.close()


@dataclass
class Visit:
    """An open page, and what went wrong on it."""

    page: Any
    wrong: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def become(self, person: str) -> None:
        """Answer as somebody from now on; "" is nobody."""
        self.page.select_option("#person", person)

    def say(self, text: str) -> None:
        """Send a message and wait for the whole answer."""
        self.page.fill("#say", text)
        self.page.press("#say", "Enter")
        self.answered()

    def answered(self) -> None:
        """Wait until nothing is being written."""
        self.page.wait_for_selector("#send:not(.stop)")
        self.page.wait_for_selector(".turn.waiting", state="detached")

    def texts(self, kind: str) -> list[str]:
        """What the messages of one side say."""
        return [str(text) for text in self.page.locator(f".turn.{kind} .body").all_inner_texts()]


@contextmanager
def visit(browser: Any, server: Running, *, size: dict[str, int] = WIDE, dark: bool = False) -> Iterator[Visit]:
    """The page as somebody opens it who has read what is kept; nothing may have gone wrong in the end."""
    context = browser.new_context(viewport=size, color_scheme="dark" if dark else "light", reduced_motion="reduce")
    context.set_default_timeout(30_000)
    page = context.new_page()
    opened = Visit(page)
    home = f"http://127.0.0.1:{server.port}/"

    def asked(request: Any) -> None:
        if not request.url.startswith((home, "data:", "blob:")):
            opened.outside.append(request.url)

    page.on("request", asked)
    page.on("pageerror", lambda error: opened.wrong.append(str(error)))
    page.on("console", lambda said: opened.wrong.append(said.text) if said.type in ("error", "warning") else None)
    try:
        page.goto(f"{home}#token={TOKEN}")
        page.wait_for_selector("#dialog[open], .first")
        if page.is_visible("#dialog"):
            page.click("#dialog-buttons button")
        yield opened
        assert opened.wrong == []
        assert opened.outside == []
    finally:
        context.close()
