"""The route of one request: which packages lead from `copersona ask` to the first token of someone already kept."""

from __future__ import annotations

import sys
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest
from click.testing import CliRunner

from copersona import runtime
from copersona.runtime.cli.main import main

from .test_house import RUNTIME

ROUTE = {"cli", "session", "people", "bundle", "prompt", "engine"}
LEADERS = {"cli", "session"}
"""Who decides what is done next. What another package calls of the data types above it (a history's text, a facet's
label) is not a step of the route."""


class Trace:
    """Packages that the leaders enter, until the first token is there."""

    def __init__(self) -> None:
        self.entered: list[str] = []
        self.ended = False

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        package = package_of(frame.f_code)
        if self.ended or package in (None, "common"):
            return
        if event == "return" and frame.f_code.co_qualname == "Engine._generate":  # it yields its first piece
            self.ended = True
        elif event == "call":
            caller = frame.f_back
            while caller and package_of(caller.f_code) in (None, "common"):
                caller = caller.f_back
            led_by = "cli" if caller is None else package_of(caller.f_code)
            if led_by in LEADERS and package != led_by:
                self.entered.append(str(package))


def package_of(code: CodeType) -> str | None:
    """The package of the runtime that code is of."""
    parts = Path(code.co_filename).parts
    return parts[-2] if len(parts) > 2 and parts[-3] in ("runtime",) and parts[-2] in RUNTIME else None


def test_from_ask_to_the_first_token_six_packages_lead(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COPERSONA_HOME", str(tmp_path))
    with runtime.PeopleStore() as people:
        people.add(runtime.Interaction("ana", f"These strings are bright, no. {i}.", time=float(i)) for i in range(4))
    ask = ["ask", str(tiny_bundle), "Write a review.", "--person", "ana", "--max-tokens", "3"]
    assert CliRunner().invoke(main, ask).exit_code == 0  # from here on the person is kept
    trace = Trace()
    sys.setprofile(trace)
    try:
        done = CliRunner().invoke(main, ask)
    finally:
        sys.setprofile(None)
    assert done.exit_code == 0
    assert trace.ended
    assert {"cli", *trace.entered} == ROUTE
    assert trace.entered.count("bundle") > 0
