"""Kills and disk faults over the store's commands: some of `benchmarks/store_kills.py`, and the faults themselves."""

from __future__ import annotations

import errno
import importlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"), reason="the filter is Linux's"
)


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(BENCHMARKS)
    yield importlib.import_module("faults")
    for name in ("faults", "syscalls"):
        sys.modules.pop(name, None)


def test_commands_that_are_killed_or_meet_a_failing_disk_lose_nothing_and_leave_nothing(tmp_path: Path) -> None:
    pytest.importorskip("sqlcipher3")
    call = [sys.executable, BENCHMARKS / "store_kills.py", "--out", tmp_path, "--trials", "40", "--seed", "7"]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [json.loads(line) for line in (tmp_path / "trials.jsonl").read_text().splitlines()]
    assert len({(row["store"], row["command"], row["fault"]) for row in rows}) == 40
    died = [row["code"] == -9 for row in rows if row["fault"] == "kill at a call"]
    assert died == [True] * 10


# -- the faults themselves --------------------------------------------------------------------------------------------


def writes(folder: Path) -> Callable[[], int]:
    """Six calls that change files, and some that change none."""

    def work() -> int:
        said = []
        for name in "abc":
            try:
                with open(folder / name, "wb", buffering=0) as file:
                    file.write(name.encode())
                    os.fsync(file.fileno())
            except OSError as error:
                said.append(f"{name} {errno.errorcode[error.errno or 0]}")
            os.write(2, name.encode())
        os.write(os.pipe()[1], b"to nobody")
        if said:
            (folder / "said").write_text(" ".join(said))
        return 3

    return work


def test_calls_that_change_files_are_counted_and_no_others(faults: ModuleType, tmp_path: Path) -> None:
    ended = faults.run(writes(tmp_path), tmp_path / "log")
    assert (ended.code, ended.output, ended.calls) == (3, "abc", 6)


@pytest.mark.parametrize(("call", "there"), [(1, {"a": b""}), (2, {"a": b"a"}), (5, {"a": b"a", "b": b"b", "c": b""})])
def test_a_kill_comes_before_its_call(call: int, there: dict[str, bytes], faults: ModuleType, tmp_path: Path) -> None:
    ended = faults.run(writes(tmp_path), tmp_path / "log", faults.Fault("kill", call))
    assert ended.code == -9
    assert {path.name: path.read_bytes() for path in tmp_path.glob("?")} == there


def test_a_call_fails_once_and_a_disk_stays_full(faults: ModuleType, tmp_path: Path) -> None:
    ended = faults.run(writes(tmp_path), tmp_path / "log", faults.Fault("fails", 4))
    assert ended.code == 3
    assert (tmp_path / "said").read_text() == "b EIO"
    (tmp_path / "said").unlink()
    full = faults.run(writes(tmp_path), tmp_path / "log", faults.Fault("full", 2))
    assert full.code == 70  # what it says of it cannot be written either
    assert [(tmp_path / name).read_bytes() for name in "abc"] == [b"a", b"", b""]
    assert "No space left on device" in full.output


def test_a_kill_at_a_moment_ends_what_waits(faults: ModuleType, tmp_path: Path) -> None:
    def waits() -> int:
        import time

        time.sleep(60)
        return 0

    ended = faults.run(waits, tmp_path / "log", faults.Fault("kill", moment=0.2))
    assert ended.code == -9
    assert 0.2 <= ended.seconds < 30
