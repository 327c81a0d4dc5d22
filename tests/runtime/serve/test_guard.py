"""The guard behind the API: by default, by request, and where there is none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from copersona.runtime.bundle.guard import add_guard
from copersona.runtime.session.session import open_bundle

from ...small_bundle import random_guard
from .running import Running, add_people, serving

REVIEW = [{"role": "user", "content": "Write a review.\nTitle: good strings"}]
ASKED = {"messages": REVIEW, "seed": 3, "max_tokens": 8}


@pytest.fixture(scope="module")
def guarded(random_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that removes every persona, unless a request says otherwise."""
    home = tmp_path_factory.mktemp("home")
    folder = shutil.copytree(random_bundle, home / "bundle")
    add_guard(folder, random_guard(folder, tau=0.0))
    add_people(home)
    with serving(lambda: open_bundle(folder, threads=1, sequences=4, guard="regenerate"), home) as running:
        yield running


def test_a_removed_persona_is_nobody_whole_and_as_a_stream(guarded: Running) -> None:
    nobody = guarded.text(model="copersona-plain", **ASKED)
    found = guarded.chat(model="copersona:ana", **ASKED, copersona={"receipt": True}).body
    assert found["choices"][0]["message"]["content"] == nobody
    receipt = found["copersona"]["receipt"]
    assert (receipt["guard"]["mode"], receipt["guard"]["decision"]) == ("regenerate", "removed")
    assert 0 <= receipt["guard"]["probability"] <= 1
    assert (receipt["person"], receipt["retrieved"]) == ("ana", [])
    events = guarded.chat(model="copersona:ana", **ASKED, stream=True).events
    told = [one["choices"][0]["delta"].get("content", "") for one in events if one != "[DONE]" and one["choices"]]
    assert "".join(told) == nobody


def test_requests_of_all_modes_at_once_get_what_each_gets_alone(guarded: Running) -> None:
    def text(mode: str) -> str:
        return guarded.text(model="copersona:ana", **ASKED, copersona={"guard": mode})

    modes = ("off", "S", "regenerate", "H", "M")
    alone = {mode: text(mode) for mode in modes}
    with ThreadPoolExecutor(len(modes)) as pool:
        assert dict(zip(modes, pool.map(text, modes), strict=True)) == alone
    assert alone["off"] != alone["regenerate"], "it would be no test"


def test_off_is_what_a_server_without_a_guard_gives(guarded: Running, server: Running) -> None:
    ours = {"guard": "off", "receipt": True}
    found = guarded.chat(model="copersona:ana", **ASKED, copersona=ours).body
    assert found["choices"][0]["message"]["content"] == server.text(model="copersona:ana", **ASKED)
    assert found["copersona"]["receipt"]["guard"] is None


@pytest.mark.parametrize("mode", ["on", 3, ["M"]])
def test_a_mode_that_is_none_is_refused(server: Running, mode: object) -> None:
    found = server.chat(copersona={"guard": mode})
    assert (found.status, found.error["param"]) == (400, "copersona.guard")


def test_a_server_without_a_guard_refuses_that_request_alone(server: Running) -> None:
    found = server.chat(model="copersona:ana", **ASKED, copersona={"guard": "M"})
    assert found.status == 400
    assert "off here" in found.error["message"]
    assert server.text(model="copersona:ana", **ASKED)
