"""What this machine has and lacks for copersona."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import tempfile
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from copersona.runtime.cli.passphrase import open_store, source
from copersona.runtime.common.errors import CoPersonaError

PACKAGES = (
    "numpy",
    "onnxruntime",
    "tokenizers",
    "regex",
    "safetensors",
    "sqlite-utils",
    "click",
    "rich",
    "platformdirs",
    "jinja2",
    "gguf",
    "py3langid",
    "httpx",
)
BUILD_HINT = (
    "it is built from source: install a C and C++ compiler (Debian: apt-get install g++; macOS: "
    "xcode-select --install; Windows: Visual Studio Build Tools) and run: pip install llama-cpp-python"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    found: str


def examine(folder: Path | None) -> list[Finding]:
    """Everything, never raising for what is missing."""
    findings = [Finding("python", True, f"{platform.python_version()} on {platform.platform()}")]
    findings += [_package(name) for name in PACKAGES]
    findings += [_llama(), Finding("sqlite", True, f"{sqlite3.sqlite_version}, rollback journal"), _store()]
    findings.append(Finding("processors", True, str(os.cpu_count())))
    if folder is not None:
        findings.append(_bundle(folder))
    return findings


def _package(name: str) -> Finding:
    try:
        return Finding(name, True, version(name))
    except PackageNotFoundError:
        return Finding(name, False, f"not installed; run: pip install {name}")


def _llama() -> Finding:
    found = _package("llama-cpp-python")
    if not found.ok:
        compiler = next((c for c in ("c++", "g++", "clang++") if shutil.which(c)), None)
        hint = BUILD_HINT if compiler is None else f"run: pip install llama-cpp-python (compiler: {compiler})"
        return Finding("llama-cpp-python", False, f"not installed; {hint}")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        import_module("llama_cpp")
    except Exception as error:  # a shared library that does not load raises whatever it likes
        what = next(iter(str(error).splitlines()), type(error).__name__)
        return Finding("llama-cpp-python", False, f"{found.found} does not load ({what}); {BUILD_HINT}")
    return found


def _store() -> Finding:
    from copersona.runtime.people.sealed import check_packages, is_sealed
    from copersona.runtime.people.store import store_path

    path = store_path()
    if not path.exists():
        fault = _unwritable(path.parent)
        return Finding("people store", not fault, f"{path} {fault or '(not there yet)'}")
    try:
        sealed = path.is_file() and is_sealed(path)
        if sealed:
            check_packages(path)
        if sealed and source().asks:  # a check-up asks nobody
            return Finding("people store", True, f"{path}, sealed; looked into with --passphrase-fd or --keyring")
        with open_store() as store:
            store.check()
            return Finding("people store", True, f"{path}{', sealed' * sealed}, {store.count():,} people")
    except (CoPersonaError, OSError) as error:
        return Finding("people store", False, str(error))


def _unwritable(folder: Path) -> str:
    """Why a folder, or the nearest one above it that is there, cannot take a file; empty where one could be made."""
    place = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    try:
        with tempfile.TemporaryFile(dir=place):
            return ""
    except OSError as error:
        return f"cannot be made: {place}: {error.strerror or error}; set COPERSONA_HOME to a folder of yours"


def _bundle(folder: Path) -> Finding:
    from copersona.runtime.session.session import open_bundle

    try:
        with open_bundle(folder, full=True) as session:
            return Finding("bundle", True, f"{folder} is whole, {session.manifest.shapes.peers} peers")
    except CoPersonaError as error:
        return Finding("bundle", False, str(error))
