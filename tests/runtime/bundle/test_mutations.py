"""What a bundle's maker could change, with all hashes made right: `bundle verify` and an answer agree about it.

Both refuse with one line of ours, or both succeed. `benchmarks/fuzz.py` does the same with more changes, each in a
process of its own.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from copersona.runtime.bundle.guard import add_guard

from ...conftest import DEMO
from ...random_models import qwen2
from ...small_bundle import random_guard, small_bundle

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
IN_PYTHON, IN_C = 140, 60
SECONDS = 600  # a limit for what hangs; a busy machine takes long


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    made = small_bundle(folder / "bundle", qwen2(folder / "model.gguf"), DEMO / "facets.json")
    add_guard(made, random_guard(made))
    return made


@pytest.fixture
def fuzz(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModuleType]:
    monkeypatch.setenv("COPERSONA_HOME", str(tmp_path / "home"))
    monkeypatch.syspath_prepend(BENCHMARKS)
    yield importlib.import_module("fuzz")
    for name in ("fuzz", "mutations"):
        sys.modules.pop(name, None)


def test_the_bundle_that_is_changed_is_whole_and_answers(fuzz: ModuleType, bundle: Path) -> None:
    assert fuzz.ended(bundle, verifying=True) == fuzz.ended(bundle, verifying=False) == "fine"


def test_verify_and_an_answer_agree_about_what_is_read_in_python(
    fuzz: ModuleType, bundle: Path, tmp_path: Path
) -> None:
    kinds = tuple(kind for kind in fuzz.KINDS if kind not in fuzz.IN_C)
    found = [fuzz.one(bundle, tmp_path / "bundle", seed, kinds) for seed in range(IN_PYTHON)]
    assert [one for one in found if fuzz.agreed(one) not in fuzz.GOOD] == []
    classes = Counter(map(fuzz.agreed, found))
    assert classes["both refuse"] > IN_PYTHON / 2  # these changes are no small ones
    assert classes["both succeed"] > 0


def test_promise_a_hostile_bundle_is_refused_or_answers(fuzz: ModuleType, bundle: Path, tmp_path: Path) -> None:
    """In another process, as what is wrong inside C ends it."""
    command = [sys.executable, str(BENCHMARKS / "fuzz.py"), str(bundle), "--child", "--mutations", str(IN_C), "--kinds"]
    done = subprocess.run([*command, *fuzz.IN_C], capture_output=True, timeout=SECONDS, check=False)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"after {len(found)} changes: {done.stderr[-500:]!r}"
    assert len(found) == IN_C
    assert [one for one in found if fuzz.agreed(one) not in fuzz.GOOD] == []
