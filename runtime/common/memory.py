"""Memory that a library has freed and the C library still holds."""

from __future__ import annotations

import contextlib
import ctypes


def return_freed() -> None:
    """Give freed memory back to the system, after a load that used much for a moment. Does nothing where the C
    library has no `malloc_trim`, as elsewhere than on Linux with glibc."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # TypeError: Windows has no library without a name
        ctypes.CDLL(None).malloc_trim(0)
