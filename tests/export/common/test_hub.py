"""Bases and encoders by folder or by hub id; the hub itself is stood in for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from copersona.export.common.hub import model_folder, model_name
from copersona.runtime.common.errors import ExportError

pytestmark = pytest.mark.export


def test_a_folder_is_itself(tmp_path: Path) -> None:
    assert model_folder(str(tmp_path)) == tmp_path.resolve()
    assert model_name(tmp_path) == tmp_path.name


def test_an_id_is_fetched_without_what_is_not_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "models--some--base" / "snapshots" / "0123456789abcdef"
    folder.mkdir(parents=True)
    asked: dict[str, Any] = {}

    def fetch(name: str, **options: Any) -> str:
        asked.update(options, name=name)
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    assert model_folder("some/base@v1.0") == folder
    assert (asked["name"], asked["revision"]) == ("some/base", "v1.0")
    assert not any("bin" in pattern or "pt" in pattern or "pkl" in pattern for pattern in asked["allow_patterns"])
    assert model_name(folder) == "some/base@0123456789ab"


@pytest.mark.parametrize("name", ["", "nowhere", "../nowhere", "a/b/c", "/no/such/folder", "./a", "http://x/y"])
def test_what_is_neither_is_refused_without_asking_anyone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_: Any, **__: Any) -> str:
        raise AssertionError("asked the hub")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    with pytest.raises(ExportError, match="neither a folder nor the id"):
        model_folder(name)


def test_a_hub_out_of_reach_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_: Any, **__: Any) -> str:
        raise ConnectionError("no route\nand a long story")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    with pytest.raises(ExportError, match=r"some/base: no such folder, and the hub did not give it \(no route\)") as e:
        model_folder("some/base")
    assert "\n" not in str(e.value)
