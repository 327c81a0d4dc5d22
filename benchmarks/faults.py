"""Processes that die, or are told of a full or failing disk, at the k-th call that changes a file.

Linux alone, on x86-64 and ARM: a seccomp filter has the kernel ask about each such call before it is made, whichever
library makes it; the answer is to go on, to fail with an error, or it never comes because the process is killed first.
Each process is forked off this one, so that it has read its code already; it shares nothing else with it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import select
import signal
import socket
import struct
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from syscalls import ALLOW, ANSWER, ARCHITECTURES, GO_ON, IF_EQUAL, LOAD, RECEIVE, RETURN, TELL, install

CALLS = {
    "x86_64": {"write": 1, "pwrite64": 18, "writev": 20, "pwritev": 296, "fsync": 74, "fdatasync": 75, "ftruncate": 77,
               "rename": 82, "renameat": 264, "renameat2": 316, "unlink": 87, "unlinkat": 263, "link": 86,
               "linkat": 265, "mkdir": 83, "mkdirat": 258},
    "aarch64": {"write": 64, "pwrite64": 68, "writev": 66, "pwritev": 70, "fsync": 82, "fdatasync": 83, "ftruncate": 46,
                "renameat": 38, "renameat2": 276, "unlinkat": 35, "linkat": 37, "mkdirat": 34},
}  # fmt: skip
BY_DESCRIPTOR = ("write", "pwrite64", "writev", "pwritev", "fsync", "fdatasync", "ftruncate")
GROWS = ("write", "pwrite64", "writev", "pwritev", "link", "linkat", "mkdir", "mkdirat")
"""What a full disk refuses."""
SECONDS = 600.0  # a process that takes longer hangs


@dataclass(frozen=True)
class Fault:
    """What befalls a process: `kill` at a call or at a moment, `full` from a call on, `fails` at one call alone."""

    kind: str
    call: int = 0
    moment: float = 0.0

    def answer(self, number: int, name: str) -> int:
        """The error number that the n-th call gets, 0 for none."""
        if self.kind == "full" and number >= self.call and name in GROWS:
            return errno.ENOSPC
        return errno.EIO if self.kind == "fails" and number == self.call else 0


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code, negative for the signal that killed it; what it said; how many calls that
    change files it made, and how many seconds it took."""

    code: int
    output: str
    calls: int
    seconds: float


def run(work: Callable[[], int], output: Path, fault: Fault | None = None) -> Ended:
    """Do the work in a process of its own, whose standard output and error go to a file, and have the fault befall it.

    Raises:
        OSError: this system has no such filter.
    """
    ours, theirs = socket.socketpair()
    begun = time.monotonic()
    pid = os.fork()
    if pid == 0:
        _be_it(work, output, theirs)
    theirs.close()
    with ours:
        _, [listener], _, _ = socket.recv_fds(ours, 1, 1)
    calls = _attend(pid, listener, fault, begun)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return Ended(code, output.read_text(encoding="utf-8", errors="replace"), calls, time.monotonic() - begun)


def _be_it(work: Callable[[], int], output: Path, parent: socket.socket) -> None:
    """In the new process: under the filter, do the work and end."""
    code = 70
    try:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        for standard in (1, 2):
            os.dup2(descriptor, standard)
        listener = install(_filter())
        socket.send_fds(parent, [b"."], [listener])
        os.close(listener)
        code = work()
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


def _attend(pid: int, listener: int, fault: Fault | None, begun: float) -> int:
    """Answer each call until the process is gone; how many there were."""
    names = {number: name for name, number in CALLS[platform.machine()].items()}
    end, count = begun + (fault.moment if fault and fault.moment else SECONDS), 0
    ends = os.pidfd_open(pid)
    poll = select.poll()
    for descriptor in (listener, ends):
        poll.register(descriptor, select.POLLIN)
    try:
        while True:
            ready = dict(poll.poll(max(end - time.monotonic(), 0) * 1000))
            if not ready:  # its moment has come, or it hangs
                os.kill(pid, signal.SIGKILL)
                end = time.monotonic() + SECONDS
            elif ready.get(listener, 0) & select.POLLIN:
                told = bytearray(80)
                try:
                    fcntl.ioctl(listener, RECEIVE, told)
                except OSError:  # it was killed meanwhile
                    continue
                identifier, _, _, number, _, _, first = struct.unpack("=QIIiIQQ", told[:40])
                name = names[number]
                counts = name not in BY_DESCRIPTOR or _is_file(pid, first)
                count += counts
                _answer(pid, listener, identifier, count, name, fault if counts else None)
            elif ends in ready or listener in ready:
                return count
    finally:
        os.close(listener)
        os.close(ends)


def _is_file(pid: int, descriptor: int) -> bool:
    """Whether a process has this file open on a disk: no pipe and no device."""
    try:
        path = os.readlink(f"/proc/{pid}/fd/{descriptor}")
    except OSError:  # gone, or no descriptor at all
        return False
    return path.startswith("/") and not path.startswith(("/dev/pts/", "/dev/null", "/dev/tty", "/proc/"))


def _answer(pid: int, listener: int, identifier: int, count: int, name: str, fault: Fault | None) -> None:
    if fault and fault.kind == "kill" and fault.call == count:
        os.kill(pid, signal.SIGKILL)
        return
    code = fault.answer(count, name) if fault else 0
    try:
        fcntl.ioctl(listener, ANSWER, struct.pack("=QqiI", identifier, 0, -code, 0 if code else GO_ON))
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise


def _filter() -> bytes:
    """Each call that changes a file is told, but for writing to the standard streams."""
    audit, numbers = ARCHITECTURES[platform.machine()][0], CALLS[platform.machine()]
    rows = [(LOAD, 0, 0, 4), (IF_EQUAL, 1, 0, audit), (RETURN, 0, 0, ALLOW), (LOAD, 0, 0, 0)]
    for name, number in numbers.items():
        if name != "write":
            rows += [(IF_EQUAL, 0, 1, number), (RETURN, 0, 0, TELL)]
    rows += [(IF_EQUAL, 1, 0, numbers["write"]), (RETURN, 0, 0, ALLOW), (LOAD, 0, 0, 16)]
    for standard in (1, 2):
        rows += [(IF_EQUAL, 0, 1, standard), (RETURN, 0, 0, ALLOW)]
    return b"".join(struct.pack("=HBBI", *row) for row in [*rows, (RETURN, 0, 0, TELL)])
