"""The small parts, each by itself: turns of those who wait, stops in pieces, the token's file, ports, a GGUF."""

from __future__ import annotations

import os
import socket
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")

from copersona.runtime.common.errors import BundleError, ModelError, PersonError
from copersona.runtime.serve.key import read_token
from copersona.runtime.serve.listen import Address, bound
from copersona.runtime.serve.served_bundle import served_bundle
from copersona.runtime.serve.stops import Stops
from copersona.runtime.serve.waiting import Full, Waiting


@given(st.text("ab", max_size=40), st.lists(st.text("ab", min_size=1, max_size=4), max_size=3), st.data())
def test_stops_cut_where_a_search_of_the_whole_text_does(text: str, stops: list[str], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=8)) | {0, len(text)})
    reader, sent = Stops(tuple(stops)), ""
    for start, end in pairwise(cuts):
        sent += reader.take(text[start:end])
        if reader.stopped:
            break
    else:
        sent += reader.rest()
    # what is found first is what ends first: a later piece cannot be looked at before it is there
    ends = [(text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop in text]
    if not ends:
        assert (sent, reader.stopped) == (text, False)
        return
    assert reader.stopped
    assert text.startswith(sent)
    assert any(text.startswith(stop, len(sent)) for stop in stops)
    assert not any(stop in sent for stop in stops)


@given(st.lists(st.sampled_from("abc"), max_size=40))
def test_those_who_wait_are_taken_round_by_round(asked: list[str]) -> None:
    waiting: Waiting[tuple[str, int]] = Waiting(1_000)
    for n, whose in enumerate(asked):
        waiting.put(whose, (whose, n))
    taken = []
    while (one := waiting.take(patiently=False)) is not None:
        taken.append(one)
    assert sorted(taken, key=lambda one: one[1]) == list(zip(asked, range(len(asked)), strict=True))
    for whose in "abc":  # each in their own order, and nobody twice while somebody waits a round
        own = [n for name, n in taken if name == whose]
        assert own == sorted(own)
    first = list(dict.fromkeys(asked))
    assert [name for name, _ in taken[: len(first)]] == first


def test_as_many_wait_as_may_and_one_person_half_of_them() -> None:
    waiting: Waiting[int] = Waiting(4)
    waiting.put("a", 1)
    waiting.put("a", 2)
    with pytest.raises(Full):
        waiting.put("a", 3)
    waiting.put("b", 4)
    waiting.put("c", 5)
    with pytest.raises(Full):
        waiting.put("d", 6)
    assert waiting.remove(2)
    assert not waiting.remove(2)
    waiting.put("d", 6)
    assert [waiting.take(patiently=False) for _ in range(4)] == [1, 4, 5, 6]
    assert waiting.close() == []
    assert waiting.take(patiently=True) is None
    with pytest.raises(Full):
        waiting.put("a", 1)


def test_a_token_is_made_once_for_this_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "home" / "serve.token"
    token = read_token(path, make=True)
    assert len(token) >= 43
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert read_token(path, make=True) == token
    assert read_token(path, make=False) == token
    assert read_token(tmp_path / "other" / "serve.token", make=True) != token


@pytest.mark.parametrize("content", ["", "short", "x" * 31, "with a blank " * 5, "é" * 40, "x" * 5_000])
def test_what_is_no_token_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "token"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(PersonError, match="expected a token of 32 characters"):
        read_token(path, make=False)


def test_a_token_that_others_may_read_and_one_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "token"
    with pytest.raises(PersonError, match="cannot be read"):
        read_token(path, make=False)
    path.write_text("x" * 40)
    path.chmod(0o644)
    with pytest.raises(PersonError, match="others may read this token"):
        read_token(path, make=False)
    if hasattr(os, "symlink"):
        link = tmp_path / "link"
        link.symlink_to(path)
        with pytest.raises(PersonError, match="a link"):
            read_token(link, make=True)


def test_a_port_that_is_taken_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ModelError, match=f"port {port} of 127.0.0.1 is taken"):
            bound(Address(port=port))


def test_a_port_that_is_taken_on_the_other_loopback_is_refused_too() -> None:
    """A client that calls localhost would show its token to who listens there."""
    try:
        taken = socket.socket(socket.AF_INET6)
        taken.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")
    with taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ModelError, match=f"port {port} of ::1 is taken"):
            bound(Address(port=port))


def test_the_bundle_that_is_served(
    random_bundle: Path, tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COPERSONA_HOME", str(tmp_path))
    like = lambda: random_bundle
    assert served_bundle(None, like) == random_bundle
    assert served_bundle(tmp_path / "bundle", like) == tmp_path / "bundle"
    made = served_bundle(tiny_gguf, like)
    assert (made / "manifest.json").is_file()
    before = (made / "manifest.json").stat().st_mtime_ns
    assert served_bundle(tiny_gguf, like) == made
    assert (made / "manifest.json").stat().st_mtime_ns == before
    (tmp_path / "no.gguf").write_bytes(b"GGUF" * 9)
    with pytest.raises((BundleError, ModelError)):
        served_bundle(tmp_path / "no.gguf", like)
