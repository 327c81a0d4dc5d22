"""Pages that are made from the code: current, whole, and the same each time."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from copersona import runtime

from .test_house import RUNTIME
from .test_routes import ROUTE

SCRIPT = Path(__file__).resolve().parent.parent / "docs" / "generate.py"


@pytest.fixture
def generate() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("generate_docs", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.twice  # the help of `export` too
def test_the_pages_are_what_the_code_says(generate: ModuleType) -> None:
    assert [path.name for path in generate.stale()] == [], "run: make docs"


def test_a_stale_page_is_named(generate: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "DOCS", tmp_path)
    for path, text in generate.pages().items():
        path.write_text(text, encoding="utf-8")
    assert generate.stale() == []
    (tmp_path / "commands.md").write_text("old", encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["generate.py", "--check"])
    with pytest.raises(SystemExit, match=r"stale: commands\.md; run: python docs/generate\.py"):
        generate.main()


def test_the_picture_has_the_order_and_the_route_that_are_tested(generate: ModuleType) -> None:
    assert generate.ORDER == RUNTIME
    assert set(generate.ROUTE) == ROUTE


def test_every_public_name_is_described(generate: ModuleType) -> None:
    page = generate.api()
    for name in runtime.__all__:
        assert f"`{name}" in page or f".{name}`" in page, name
        found = getattr(runtime, name)
        assert isinstance(found, str) or name == "History" or found.__doc__, name


def test_the_pages_are_the_same_on_any_terminal(generate: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    narrow = generate.pages()
    monkeypatch.setenv("COLUMNS", "300")
    assert generate.pages() == narrow


def test_a_signature_is_shown_as_it_is_written(generate: ModuleType) -> None:
    def short(path: Path | str, format: str = "jsonl", *, full: bool = False) -> None: ...

    def long(self: object, first: dict[str, int], second: int = 3, *, third: str = "x" * 60) -> tuple[str, ...]: ...

    assert generate.signature("short", short) == "short(path: Path | str, format: str = 'jsonl', *, full: bool = False)"
    assert generate.signature("long", long, skip=1).splitlines() == [
        "long(",
        "    first: dict[str, int],",
        "    second: int = 3,",
        "    *,",
        f"    third: str = '{'x' * 60}',",
        ") -> tuple[str, ...]",
    ]


def test_class_methods_and_static_methods_are_described_too(generate: ModuleType) -> None:
    class Shop:
        """A shop."""

        @classmethod
        def open(cls, name: str) -> None:
            """Open it."""

        @staticmethod
        def price(of: str) -> int:
            """What it costs."""
            return 1

    Shop.__module__ = "copersona.shop"
    page = generate.described("Shop", Shop)
    assert "`Shop.open`\n\n```python\nopen(name: str)\n```\n\nOpen it." in page
    assert "price(of: str) -> int" in page
