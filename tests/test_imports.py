"""The runtime stands alone: what it imports, what it does without, and what it says when something is missing."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from copersona import runtime
from copersona.runtime.cli import doctor
from copersona.runtime.common.errors import ModelError

ROOT = Path(__file__).resolve().parent.parent
FORBIDDEN = {
    "torch", "transformers", "peft", "accelerate", "sentence_transformers", "optimum", "onnx", "sklearn", "scipy",
}  # fmt: skip
RUNTIME = sorted((ROOT / "runtime").rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Full names of the modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            prefix = "copersona.runtime" if node.level == 1 else "copersona" if node.level else ""
            base = ".".join(part for part in (prefix, node.module or "") if part)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "import_module":
            yield from (a.value for a in node.args[:1] if isinstance(a, ast.Constant))


@pytest.mark.parametrize("path", RUNTIME, ids=lambda p: p.name)
def test_no_runtime_file_imports_what_only_an_export_has(path: Path) -> None:
    names = set(imported(path))
    assert not {name for name in names if name.split(".")[0] in FORBIDDEN}
    assert not {name for name in names if name.startswith(("copersona.export", "export"))}


def test_only_one_file_imports_llama_cpp() -> None:
    found = {path.name for path in RUNTIME for name in imported(path) if name.split(".")[0] == "llama_cpp"}
    assert found <= {"llama.py", "doctor.py"}
    assert "llama.py" in found


def test_the_packages_that_are_installed_are_the_folders_that_are_there() -> None:
    body = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    folders = {
        str(path.parent.relative_to(ROOT))
        for top in ("runtime", "export", "assets")
        for path in (ROOT / top).rglob("__init__.py")
    }
    listed = {
        body["package-dir"].get(name, name.removeprefix("copersona.").replace(".", "/")) for name in body["packages"]
    }
    assert folders == listed
    holders = {str(p.parent.relative_to(ROOT)) for t in ("runtime", "export") for p in (ROOT / t).rglob("*.py")}
    assert holders <= folders  # a folder of code without an __init__.py would be left out of a wheel


def test_every_public_name_is_there() -> None:
    assert runtime.__all__ == sorted(runtime.__all__)
    for name in runtime.__all__:
        found = getattr(runtime, name)
        assert name in ("History", "__version__") or found.__module__.startswith("copersona.runtime")  # alias, text
    with pytest.raises(AttributeError, match="no attribute 'Bundle'"):
        _ = runtime.Bundle


def fresh(code: str, *arguments: object, home: Path | None = None) -> str:
    """Output of `code` in a fresh process away from the repository."""
    environment = {**os.environ, "COPERSONA_HOME": str(home or "/nowhere")}
    done = subprocess.run(
        [sys.executable, "-W", "error::ImportWarning", "-c", code, *map(str, arguments)],
        capture_output=True, text=True, env=environment, cwd="/", timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2_000:]
    return done.stdout


@pytest.mark.twice
def test_importing_the_runtime_loads_neither_model_nor_encoder_and_takes_no_foreign_name() -> None:
    code = "import sys, json, copersona.runtime; print(json.dumps(sorted(sys.modules)))"
    loaded = set(json.loads(fresh(code)))
    tops = {name.split(".")[0] for name in loaded}
    assert "copersona.runtime" in loaded
    assert not tops & {"llama_cpp", "onnxruntime", "tokenizers", "safetensors", "numpy", "rich", "httpx", *FORBIDDEN}
    assert not {"runtime", "export", "assets"} & loaded


BLOCKED = """
import json, sys
from pathlib import Path

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED or name.startswith("copersona.export"):
            raise ImportError(f"{name} is blocked")

BLOCKED = set(json.loads(sys.argv[2]))
sys.meta_path.insert(0, Block())
from copersona import runtime

history = [
    runtime.Interaction("ana", f"I love these strings! They are bright, no. {i}, and they last. Thanks!", time=float(i))
    for i in range(5)
]
with runtime.open_bundle(Path(sys.argv[1]), threads=1) as session:
    known = session.know(tuple(history))
    answer = session.answer("Write a review.", known, runtime.Sampling(max_tokens=5, seed=1)).finish()
    score = session.score("Write a review.", "I love it.", known)
tops = {name.split(".")[0] for name in sys.modules}
print(json.dumps([answer.text, known.persona.inputs is not None, score.bits > 0, sorted(tops & BLOCKED)]))
"""


def test_a_bundle_answers_where_the_exports_packages_are_not_installed(tiny_bundle: Path, tmp_path: Path) -> None:
    text, observed, scored, loaded = json.loads(
        fresh(BLOCKED, tiny_bundle, json.dumps(sorted(FORBIDDEN)), home=tmp_path)
    )
    assert text
    assert observed
    assert scored
    assert loaded == []


# -- no compiler, no llama.cpp ----------------------------------------------------------------------------------------


@pytest.fixture
def without_llama(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine on which llama-cpp-python was never installed and no compiler is there."""
    from copersona.runtime.engine import llama

    real = importlib.metadata.version

    def version(name: str) -> str:
        if name == "llama-cpp-python":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(doctor, "version", version)
    monkeypatch.setattr("copersona.runtime.cli.doctor.shutil.which", lambda name: None)
    monkeypatch.setitem(sys.modules, "llama_cpp", None)  # import llama_cpp: ImportError
    llama.library.cache_clear()
    yield
    llama.library.cache_clear()


@pytest.mark.usefixtures("without_llama")
def test_doctor_says_in_one_line_that_a_compiler_is_needed() -> None:
    found = next(f for f in doctor.examine(None) if f.what == "llama-cpp-python")
    assert not found.ok
    assert "not installed" in found.found
    assert "install a C and C++ compiler" in found.found
    assert "pip install llama-cpp-python" in found.found
    assert "\n" not in found.found


@pytest.mark.usefixtures("without_llama")
def test_doctor_names_the_compiler_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "copersona.runtime.cli.doctor.shutil.which", lambda name: "/usr/bin/c++" if name == "c++" else None
    )
    found = next(f for f in doctor.examine(None) if f.what == "llama-cpp-python")
    assert found.found.endswith("run: pip install llama-cpp-python (compiler: c++)")


@pytest.mark.usefixtures("without_llama")
def test_the_engine_says_in_one_line_that_llama_cpp_is_missing(tiny_gguf: Path) -> None:
    from copersona.runtime.engine.engine import Engine, build_info, quantize

    for attempt in (lambda: Engine(tiny_gguf), build_info, lambda: quantize(tiny_gguf, "/nowhere/x", "q8_0")):
        with pytest.raises(ModelError, match=r"llama-cpp-python.*copersona doctor") as error:
            attempt()
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "fault", [OSError("libllama.so:\ncannot open"), RuntimeError("no such\ninstruction"), OSError()]
)
def test_a_llama_cpp_that_does_not_load_is_one_line(fault: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    from copersona.runtime.engine import llama

    def load() -> None:
        raise fault

    finder = type("Finder", (), {"find_spec": lambda self, name, *_: load() if name == "llama_cpp" else None})()
    for name in [n for n in sys.modules if n.split(".")[0] == "llama_cpp"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [finder, *sys.meta_path])
    llama.library.cache_clear()
    try:
        with pytest.raises(ModelError, match=r"llama-cpp-python does not load .*copersona doctor") as error:
            llama.build_info()
        assert "\n" not in str(error.value)
        assert (str(fault) or "OSError").splitlines()[0] in str(error.value)
        finding = next(f for f in doctor.examine(None) if f.what == "llama-cpp-python")
        assert not finding.ok
        assert "does not load" in finding.found
    finally:
        llama.library.cache_clear()


def test_onnxruntime_is_told_to_send_nothing_before_it_is_imported(tiny_bundle: Path, tmp_path: Path) -> None:
    code = """
import os, sys
os.environ.pop("ORT_DISABLE_TELEMETRY", None)
from copersona import runtime
assert "onnxruntime" not in sys.modules
assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
with runtime.open_bundle(sys.argv[1]) as session:
    session.know((runtime.Interaction("ana", "I love these strings, they last."),))
assert "onnxruntime" in sys.modules
"""
    fresh(code, tiny_bundle, home=tmp_path)
