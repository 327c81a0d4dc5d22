"""The library that runs the model: imported at first use, quiet but for errors, which go into our own messages.

The only file that imports llama_cpp.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections import deque
from pathlib import Path
from typing import Any, Literal

from copersona.runtime.common.errors import ModelError
from copersona.runtime.common.threads import MAX_THREADS
from copersona.runtime.filecheck.gguf_check import check_gguf

MOST_THREADS = 16  # more gain nothing: the memory's bandwidth is used up
CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")

_complaints: deque[str] = deque(maxlen=1)  # llama.cpp's last error line
_keep: list[Any] = []  # C holds the address of the callback for good


@functools.cache
def library() -> Any:
    """The module llama_cpp. Raises ModelError where it is not installed or does not load."""
    # Workers that spin while they wait starve every other busy process; read once, when the library is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        import llama_cpp
    except (ImportError, OSError, RuntimeError) as error:  # not installed, or its shared library does not load
        what = next(iter(str(error).splitlines()), type(error).__name__)
        raise ModelError(f"llama-cpp-python does not load ({what}); run: copersona doctor") from error

    def listen(level: int, text: bytes, _: object) -> None:
        if level == 4:  # GGML_LOG_LEVEL_ERROR
            _complaints.append(text.decode("utf-8", "replace").strip())

    callback = llama_cpp.llama_log_callback(listen)
    llama_cpp.llama_log_set(callback, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    _keep.append(callback)
    return llama_cpp


def no_complaint() -> None:
    """Forget what llama.cpp complained about before."""
    _complaints.clear()


def complaint() -> str:
    """What llama.cpp last complained about, in brackets for the end of a message; taken once."""
    return f" ({_complaints.pop()})" if _complaints else ""


def build_info() -> str:
    """Name and version of the library that runs the model, for receipts."""
    return f"llama-cpp-python {library().__version__}"


@functools.cache
def exact_build() -> str:
    """The very build, for states of a context, which no other one may read: versions, commit, processor features."""
    llama = library()
    parts = [build_info(), bytes(llama.llama_print_system_info()).decode()]
    core = getattr(llama.llama_cpp, "_lib", None)  # the symbols of ggml are found through it
    for name in ("ggml_version", "ggml_commit"):
        function = getattr(core, name, None)
        if function is not None:
            function.restype = ctypes.c_char_p
            parts.append((function() or b"").decode())
    path = Path(str(getattr(core, "_name", "")))
    if path.is_file():  # a library built by hand may have no commit
        status = path.stat()
        parts.append(f"{status.st_size} {status.st_mtime_ns}")
    return "; ".join(parts)


def default_threads() -> int:
    """COPERSONA_THREADS if it is set, else the cores that this process may use: affinity and container quota counted.

    Raises:
        ModelError: COPERSONA_THREADS is no whole number from 1 to MAX_THREADS.
    """
    if given := os.environ.get("COPERSONA_THREADS"):
        if not given.isdecimal() or len(given) > 9 or not 1 <= int(given) <= MAX_THREADS:
            raise ModelError(f"COPERSONA_THREADS is {given[:20]!r}, expected a whole number from 1 to {MAX_THREADS}")
        return int(given)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, _quota() or cores, MOST_THREADS))


def _quota() -> int | None:
    """Whole cores of processor time that the container grants; None without such a limit."""
    try:
        quota, period = CPU_QUOTA.read_text(encoding="ascii").split()
        return max(1, int(quota) // int(period))
    except (OSError, ValueError, ZeroDivisionError):  # no such file, or "max"
        return None


def quantize(source: str | Path, target: str | Path, kind: Literal["q8_0", "q4_k_m"]) -> None:
    """Quantise the F32 or F16 GGUF `source` to `target`, which is replaced in one step.

    Raises:
        ModelError: the source is no such GGUF, the kind is unknown, or llama.cpp fails.
    """
    llama = library()
    kinds = {"q8_0": llama.LLAMA_FTYPE_MOSTLY_Q8_0, "q4_k_m": llama.LLAMA_FTYPE_MOSTLY_Q4_K_M}
    if kind not in kinds:
        raise ModelError(f"quantisation {kind!r} is not one of {', '.join(kinds)}")
    check_gguf(source)
    part = Path(f"{target}.part")
    params = llama.llama_model_quantize_default_params()
    params.ftype, params.nthread = kinds[kind], default_threads()
    no_complaint()
    try:
        if llama.llama_model_quantize(os.fsencode(source), os.fsencode(part), ctypes.byref(params)):
            raise ModelError(f"{source}: cannot be quantised to {kind}{complaint()}")
        check_gguf(part)
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
