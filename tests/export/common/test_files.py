"""Files of a run: whole or not at all, and a full disk is one line."""

from __future__ import annotations

import contextlib
import errno
import shutil
import sqlite3
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from copersona.export.common.files import need_room, replacing, replacing_folder, restore, room_for, scratch, write_text
from copersona.export.common.vectors import VectorFile
from copersona.export.steps.pipeline import alone
from copersona.runtime.common.errors import ExportError

pytestmark = pytest.mark.export


def test_a_file_is_the_old_one_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "name.txt"
    write_text(path, "old")
    with contextlib.suppress(ZeroDivisionError), replacing(path) as part:
        part.write_text("half")
        assert path.read_text() == "old"
        raise ZeroDivisionError
    assert path.read_text() == "old"
    write_text(path, "new")
    assert [p.name for p in path.parent.iterdir()] == ["name.txt"]
    assert path.read_text() == "new"


def test_a_folder_is_the_old_one_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    for content in ("one", "two"):
        with replacing_folder(path) as part:
            (part / "file").write_text(content)
        assert (path / "file").read_text() == content
    with contextlib.suppress(ZeroDivisionError), replacing_folder(path) as part:
        (part / "file").write_text("half")
        raise ZeroDivisionError
    assert (path / "file").read_text() == "two"
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_what_a_kill_between_two_renames_leaves_is_brought_back(tmp_path: Path) -> None:
    aside, path = tmp_path / "bundle.old", tmp_path / "bundle"
    aside.mkdir()
    (aside / "file").write_text("whole")
    restore(path)
    assert (path / "file").read_text() == "whole"
    assert not aside.exists()


def test_a_scratch_folder_starts_empty_and_goes(tmp_path: Path) -> None:
    path = tmp_path / "x.scratch"
    path.mkdir()
    (path / "left over").touch()
    with scratch(path) as folder:
        assert list(folder.iterdir()) == []
    assert not path.exists()


@pytest.mark.parametrize(
    "raised",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
        sqlite3.OperationalError("database or disk is full"),
    ],
)
def test_a_full_disk_is_one_line_that_says_where(tmp_path: Path, raised: Exception) -> None:
    match = r"name\.bin: cannot be written, the disk is full; .* goes on"
    with pytest.raises(ExportError, match=match) as seen, replacing(tmp_path / "name.bin"):
        raise raised
    assert "\n" not in str(seen.value)
    assert list(tmp_path.iterdir()) == []


def test_any_failed_write_on_a_full_disk_is_put_down_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 4096))
    with pytest.raises(ExportError, match="the disk is full"), room_for(tmp_path / "not yet" / "there"):
        raise ValueError("some library's own words")
    with pytest.raises(ExportError, match=r"needs up to 2\.0 MB, 0\.0 MB of the disk are free"):
        need_room(tmp_path / "model.gguf", 2_000_000)
    monkeypatch.undo()
    with pytest.raises(ValueError, match="own words"), room_for(tmp_path):
        raise ValueError("some library's own words")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_the_systems_own_full_device(tmp_path: Path) -> None:
    with (
        pytest.raises(ExportError, match="the disk is full"),
        room_for(tmp_path),
        Path("/dev/full").open("wb", buffering=0) as handle,
    ):
        handle.write(b"x")


def test_two_exports_never_share_a_run_folder(tmp_path: Path) -> None:
    with alone(tmp_path), pytest.raises(ExportError, match="another export is at work"), alone(tmp_path):
        pass
    with alone(tmp_path):
        pass


class Counting:
    """A stand-in encoder that counts."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, text: str) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        self.texts.append(text)
        return np.array([len(text), 0.1], dtype=np.float32)


def test_a_text_is_encoded_once_in_the_life_of_a_run(tmp_path: Path) -> None:
    encode = Counting()
    first = VectorFile(tmp_path / "vectors.sqlite", "one", encode)
    before = [first(text) for text in ("a", "bb", "a", "lone \ud800 surrogate")]
    assert first.encoded == 3
    first.close()
    again = VectorFile(tmp_path / "vectors.sqlite", "one", encode)
    after = [again(text) for text in ("a", "bb", "a", "lone \ud800 surrogate")]
    assert encode.texts == ["a", "bb", "lone \ud800 surrogate"]
    np.testing.assert_array_equal(np.stack(before), np.stack(after))
    again.close()
    other = VectorFile(tmp_path / "vectors.sqlite", "two", encode)
    other("a")
    assert encode.texts.count("a") == 2
    other.close()


def test_a_damaged_memory_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "vectors.sqlite"
    path.write_bytes(b"not a database" * 100)
    vectors = VectorFile(path, "one", Counting())
    assert vectors("abc")[0] == 3
    vectors.close()
