"""The server that most of these tests ask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from copersona.runtime.session.session import open_bundle

if TYPE_CHECKING:
    from .running import Running


@pytest.fixture(scope="module")  # while it is open its loop runs in this thread, where others begin loops of their own
def browser() -> Iterator[Any]:
    """A Chromium; only where playwright is there."""
    from .browsing import chromium

    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def server(random_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server of two sequences with three people."""
    from .running import add_people, serving  # here: without the extra `serve` tests are skipped, this file is not

    home = tmp_path_factory.mktemp("home")
    add_people(home)
    with serving(lambda: open_bundle(random_bundle, threads=1, sequences=2), home) as running:
        yield running
