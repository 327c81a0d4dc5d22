"""`make install` on a machine without a C++ compiler: one clear line before anything is built."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def test_without_a_compiler_make_says_so_in_one_line_and_builds_nothing(tmp_path: Path) -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("no make here")
    empty = tmp_path / "bin"
    empty.mkdir()
    done = subprocess.run(
        [make, "-C", str(ROOT), "install", f"VENV={tmp_path / 'venv'}"],
        env={"PATH": str(empty)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    lines = [line for line in done.stdout.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    assert "no C++ compiler" in lines[0]
    assert "g++" in lines[0]
    assert not (tmp_path / "venv").exists()
