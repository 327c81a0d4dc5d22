"""Progress: a bar for people, two lines for logs, and never a byte on stdout."""

from __future__ import annotations

import sys

import pytest

from copersona.runtime.common import progress
from copersona.runtime.common.progress import meter, track


def test_a_log_gets_two_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track([1, 2, 3], "reading")) == [1, 2, 3]
    assert list(track(iter("ab"), "more")) == ["a", "b"]
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[0] == "reading: 0 of 3 ..."
    assert lines[1].startswith("reading: 3 of 3 in ")
    assert lines[2] == "more ..."
    assert lines[3].startswith("more: 2 in ")
    assert len(lines) == 4


def test_a_loop_that_fails_says_how_far_it_came(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError):
        list(track((1 // number for number in [1, 0]), "dividing", total=2))
    assert "dividing: 1 of 2 in" in capsys.readouterr().err


def test_a_terminal_gets_a_bar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert list(track(range(3), "[odd] name")) == [0, 1, 2]
    out, err = capsys.readouterr()
    assert out == ""
    assert "[odd] name" in err
    assert "3/3" in err


def test_a_meter_says_how_fast_it_goes(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.0)
    with meter("answering", 4) as tell:
        tell(0, "")
        tell(1, "9 tokens/s")
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[0] == "answering: 0 of 4 ..."
    assert lines[1].startswith("answering: 1 of 4 after 0 s, 9 tokens/s, about 0 s left")
    assert lines[2].startswith("answering: 1 of 4 in ")
    assert lines[2].endswith(", 9 tokens/s")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with meter("[odd] name", 2) as tell:
        tell(2, "7 tokens/s")
    err = capsys.readouterr().err
    assert "[odd] name" in err
    assert "2/2" in err
    assert "7 tokens/s" in err
