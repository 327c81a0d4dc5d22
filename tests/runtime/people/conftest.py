"""Every promise of the store twice: on a plain one and on a sealed one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .kinds import seal_all

PLAIN_ONLY = {
    "test_links_inside_are_not_followed": "names files as a plain store does",
    "test_a_hard_link_loses_its_name_here_and_no_byte_elsewhere": "names files as a plain store does",
    "test_a_hard_link_that_is_read_or_dropped_keeps_its_bytes": "names files as a plain store does",
    "test_foreign_files_are_left_and_named": "names files as a plain store does",
    "test_an_older_store_is_rewritten_once": "a store of that version, which knew no seal",
    "test_a_link_in_the_place_of_the_store_is_refused": "holds before the kind is known",
}


@pytest.fixture(scope="module", params=["plain", "sealed"])
def kind(request: pytest.FixtureRequest) -> Iterator[str]:
    """Which kind every store of the test is; used by the modules whose tests hold of both."""
    if request.param == "plain":
        yield "plain"
        return
    pytest.importorskip("sqlcipher3")
    pytest.importorskip("cryptography")
    with pytest.MonkeyPatch.context() as patch:
        seal_all(patch)
        yield "sealed"


@pytest.fixture(autouse=True)
def _plain_only(request: pytest.FixtureRequest) -> None:
    if "kind" in request.fixturenames and request.getfixturevalue("kind") == "sealed":
        reason = PLAIN_ONLY.get(request.node.originalname)
        if reason:
            pytest.skip(reason)
