"""Memory that is free, and memory that a library has freed and the C library still holds."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

SYSTEM = Path("/proc/meminfo")
CONTAINER = Path("/sys/fs/cgroup")


def free_memory() -> int | None:
    """Bytes that may still be taken, as system and container say, or all that is built in where they do not; None where
    that is not known either."""
    return min([*_free_of_system(), *_free_of_container()], default=None)


def _free_of_system() -> Iterator[int]:
    try:
        rows = dict(line.split(":", 1) for line in SYSTEM.read_text(encoding="ascii").splitlines())
        yield int(rows["MemAvailable"].split()[0]) << 10
    except (OSError, ValueError, KeyError, IndexError):
        with contextlib.suppress(AttributeError, OSError, ValueError):
            yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _free_of_container() -> Iterator[int]:
    """What the limit of a container leaves; pages of files that it holds can be given back."""
    with contextlib.suppress(OSError, ValueError, KeyError):  # no such file, or "max"
        most, used = (int((CONTAINER / f"memory.{name}").read_text(encoding="ascii")) for name in ("max", "current"))
        rows = dict(line.split() for line in (CONTAINER / "memory.stat").read_text(encoding="ascii").splitlines())
        yield max(most - used + int(rows["inactive_file"]) + int(rows["active_file"]), 0)


def return_freed() -> None:
    """Give freed memory back to the system, after a load that used much for a moment. Does nothing where the C
    library has no `malloc_trim`, as elsewhere than on Linux with glibc."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # TypeError: Windows has no library without a name
        ctypes.CDLL(None).malloc_trim(0)
