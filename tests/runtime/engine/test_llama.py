"""How many threads run the model, and that the owner decides."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from copersona.runtime.common.errors import ModelError
from copersona.runtime.engine import llama


def test_threads_are_the_cores_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("COPERSONA_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    monkeypatch.setattr(llama, "CPU_QUOTA", tmp_path / "cpu.max")
    assert llama.default_threads() == 6
    for quota, expected in (("max 100000", 6), ("250000 100000", 2), ("50000 100000", 1), ("nonsense", 6)):
        (tmp_path / "cpu.max").write_text(quota)
        assert llama.default_threads() == expected
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    assert llama.default_threads() == llama.MOST_THREADS


def test_the_owner_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COPERSONA_THREADS", "3")
    assert llama.default_threads() == 3
    for wrong in ("0", "-1", "two", "1.5", "257", "9" * 5_000):
        monkeypatch.setenv("COPERSONA_THREADS", wrong)
        with pytest.raises(ModelError, match=r"COPERSONA_THREADS is .* from 1 to 256"):
            llama.default_threads()
