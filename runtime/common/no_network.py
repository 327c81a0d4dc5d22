"""A process that can open no socket any more, where Linux has seccomp: on x86-64 and ARM64."""

from __future__ import annotations

import ctypes
import platform
import sys

NO_NEW_PRIVILEGES, SECCOMP, FILTER = 38, 22, 2  # of prctl
LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06  # instructions of a filter
ALLOW, REFUSE = 0x7FFF0000, 0x00050001  # the second: EPERM
ARCHITECTURE, CALL = 4, 0  # where a filter finds them
OTHER_NUMBERS = 0x40000000  # from here on calls are those of another interface, x32
IO_URING_SETUP = 425  # it opens sockets too
SOCKET = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
"""By machine: how the kernel calls its architecture, and the number of the call `socket`."""


class _Instruction(ctypes.Structure):
    _fields_ = [
        ("code", ctypes.c_uint16),
        ("then", ctypes.c_uint8),
        ("other", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    ]


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint16), ("first", ctypes.POINTER(_Instruction))]


def no_network() -> bool:
    """Refuse this process sockets for good, in every thread that it starts from now on; False where that cannot be had.

    Call it while there is one thread.
    """
    if sys.platform != "linux" or platform.machine() not in SOCKET or sys.maxsize < 1 << 32:
        return False
    architecture, socket = SOCKET[platform.machine()]
    rows = [
        (LOAD, 0, 0, ARCHITECTURE),
        (EQUAL, 0, 5, architecture),
        (LOAD, 0, 0, CALL),
        (AT_LEAST, 3, 0, OTHER_NUMBERS),
        (EQUAL, 2, 0, socket),
        (EQUAL, 1, 0, IO_URING_SETUP),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, REFUSE),
    ]
    program = _Program(len(rows), (_Instruction * len(rows))(*(_Instruction(*row) for row in rows)))
    prctl = ctypes.CDLL(None).prctl
    none = ctypes.c_ulong(0)
    if prctl(NO_NEW_PRIVILEGES, ctypes.c_ulong(1), none, none, none):
        return False
    return bool(prctl(SECCOMP, ctypes.c_ulong(FILTER), ctypes.byref(program), none, none) == 0)
