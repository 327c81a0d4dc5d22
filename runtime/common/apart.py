"""Work on what others made, in a process of its own: whatever it does there, it does not end the one that asks.

`run_apart` is the side that asks. The module that it runs answers in `main`, and first calls `asked`, which reads what
is asked and bounds the process: in time and memory, without core dumps, files to write, network where Linux lets it be
without one (`no_network`), and without this process's environment. A system that has not all of these limits has the
time limit outside.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from copersona.runtime.common.errors import ModelError
from copersona.runtime.common.no_network import no_network
from copersona.runtime.common.terminal import one_line

KEPT = ("PATH", "SYSTEMROOT", "PYTHONHOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LLAMA_CPP_LIB_PATH")
"""Where libraries are. Nothing else of the environment: keys may stand in it."""
ADDED = {"MALLOC_ARENA_MAX": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "GGML_NO_BACKTRACE": "1"}
"""A thread takes no address space that it does not use; no file is written, and no debugger called."""
PATIENCE = 10  # seconds of waiting for each of computing, as others compute too
OVER = -getattr(signal, "SIGXCPU", 0) or None  # how a process ends that has computed for too long
NO_PROCESS = "no process of its own can be had for what others made"
GRACE = 5  # seconds more, for a process to begin and end


@dataclass(frozen=True, slots=True)
class Ended:
    """What a process wrote, and how it ended: `code` None is that its time was over, below 0 a signal."""

    out: bytes
    code: int | None
    last: str
    """The last line of what it complained about."""

    @property
    def how(self) -> str:
        """In words, of one that did not end well."""
        if self.code is None:
            return "does not end"
        name = signal.Signals(-self.code).name if -self.code in set(signal.Signals) else f"status {self.code}"
        why = f" ({self.last})" if self.last else ""
        return f"ends the process by {name}{why}" if self.code < 0 else f"fails{why}"


def run_apart(module: str, body: Mapping[str, Any], *, seconds: float, memory: int) -> Ended:
    """Run a module in a fresh interpreter, with what is asked on its standard input as JSON.

    Args:
        seconds: of computing, all threads together; waited for is longer (PATIENCE).
        memory: bytes of address space.

    Raises:
        ModelError: no process can be had.
    """
    if getattr(sys, "frozen", False) or not sys.executable:  # such a program would start itself
        raise ModelError(f"{NO_PROCESS}: this program comes without an interpreter; see `trusted` of open_bundle")
    text = json.dumps({**body, "seconds": seconds, "memory": memory})
    environment = {name: os.environ[name] for name in KEPT if name in os.environ}
    environment |= {**ADDED, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        # -P: nothing of the folder that the command happens to run in is imported; -B: nothing is written
        done = subprocess.run([sys.executable, "-BP", "-m", module], input=text.encode(), capture_output=True,
                              timeout=PATIENCE * seconds + GRACE, env=environment, check=False)  # fmt: skip
    except subprocess.TimeoutExpired as error:
        return Ended(error.stdout or b"", None, "")
    except OSError as error:
        raise ModelError(f"{NO_PROCESS}: {error}") from None
    last = one_line(done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2])
    return Ended(done.stdout, None if done.returncode == OVER else done.returncode, last)


def asked() -> dict[str, Any]:
    """What is asked of this process, which is bounded from here on."""
    body: dict[str, Any] = json.load(sys.stdin)
    _bound(body.pop("seconds"), body.pop("memory"))
    return body


def _bound(seconds: float, memory: int) -> None:
    no_network()
    with suppress(ImportError):
        import resource

        limits = {"RLIMIT_CPU": int(seconds) + 1, "RLIMIT_AS": memory, "RLIMIT_CORE": 0, "RLIMIT_FSIZE": 0}
        for name, limit in limits.items():
            with suppress(AttributeError, OSError, ValueError):  # ValueError: less is allowed already
                # A second more for the computing: at the second limit the signal would be another one.
                resource.setrlimit(getattr(resource, name), (limit, limit + (name == "RLIMIT_CPU")))
