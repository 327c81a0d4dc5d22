"""What the figures were measured on: processor, memory and versions. No name of the machine, no path."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("copersona", "numpy", "onnxruntime", "llama-cpp-python", "torch", "sentence-transformers")


def machine() -> dict[str, str]:
    """Name to what it is."""
    from copersona.runtime.engine.llama import library

    features = bytes(library().llama_print_system_info()).decode()
    found = {
        "processor": processor(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "memory": memory(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load at the start": f"{os.getloadavg()[0]:.1f}",
        "llama.cpp": " ".join(part.split(" = ")[0] for part in features.split(" | ") if part.endswith(" = 1")),
    }
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def processor() -> str:
    """As Linux says, else as Python does."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"


def memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    except (ValueError, OSError):
        return "unknown"
