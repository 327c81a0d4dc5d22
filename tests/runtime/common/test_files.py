"""A file is replaced whole: with the mode asked for, nothing left beside it, and what was there stays on failure."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from copersona.runtime.common.files import write_whole


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_is_replaced_by_bytes_and_arrays_with_its_mode(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "a.state"
    path.write_bytes(b"before")
    write_whole(path, [b"head", np.arange(3, dtype=np.uint8).data], 0o600, durable=durable)
    assert path.read_bytes() == b"head\x00\x01\x02"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("durable", [True, False])
def test_what_was_there_stays_when_writing_fails(tmp_path: Path, durable: bool) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"new"
        raise OSError("full")

    path = tmp_path / "a.json"
    path.write_bytes(b"before")
    with pytest.raises(OSError, match="full"):
        write_whole(path, chunks(), durable=durable)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_only_what_must_outlast_a_power_cut_waits_for_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(os, "fsync", asked.append)
    write_whole(tmp_path / "cache", [b"x"], durable=False)
    assert asked == []
    write_whole(tmp_path / "answer", [b"x"])
    assert len(asked) == 2  # the file, and the folder that names it
