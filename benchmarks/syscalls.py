"""What a process and all it starts ask of the kernel: internet sockets and their use, name look-ups, files to write.

Linux alone, on x86-64 and ARM: a seccomp filter has the kernel tell us of each such call before it is made (those of C
libraries as well as Python's; nothing is sampled, so nothing is too short to be seen) and lets it go on. It is no
sandbox: nothing is kept from happening. Not seen: what goes through a file or a socket that was open before, and
io_uring, whose mere set-up is therefore told as use. Run by `watched`; the file itself starts the command.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import select
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ARCHITECTURES = {  # audit number, then the numbers of calls
    "x86_64": (0xC000003E, {"seccomp": 317, "socket": 41, "connect": 42, "openat": 257, "open": 2, "creat": 85,
                            "openat2": 437, "mkdir": 83, "mkdirat": 258, "io_uring_setup": 425,
                            "sendto": 44, "sendmsg": 46, "sendmmsg": 307, "listen": 50}),
    "aarch64": (0xC00000B7, {"seccomp": 277, "socket": 198, "connect": 203, "openat": 56, "openat2": 437,
                             "mkdirat": 34, "io_uring_setup": 425, "sendto": 206, "sendmsg": 211, "sendmmsg": 269,
                             "listen": 201}),
}  # fmt: skip
RESOLVER = ("/etc/resolv.conf", "/etc/hosts", "/etc/host.conf")
"""Files that are read when a name is looked up, and by nothing else."""
RESOLVERS = ("/var/run/nscd/socket", "/run/nscd/socket", "/run/systemd/resolve/", "/run/avahi-daemon/socket")
NO_FILES = ("/dev/", "/proc/")
PR_SET_NO_NEW_PRIVS, SET_FILTER, NEW_LISTENER = 38, 1, 8
RECEIVE, ANSWER, GO_ON = 0xC0502100, 0xC0182101, 1
ALLOW, TELL = 0x7FFF0000, 0x7FC00000
LOAD, IF_EQUAL, RETURN = 0x20, 0x15, 0x06  # of the filter's machine
HERE = -100  # AT_FDCWD
CHANNEL = 1000  # the one socket whose messages are not told of: the filter itself goes through it, before the command


@dataclass
class Seen:
    """What was asked for, in order, each in words."""

    sockets: list[str] = field(default_factory=list)
    """Sockets of the internet, used or not."""
    connections: list[str] = field(default_factory=list)
    """What they were used for: connections, datagrams, waiting for others."""
    lookups: list[str] = field(default_factory=list)
    written: list[Path] = field(default_factory=list)
    """Files opened to be written and folders made, by their full paths."""
    code: int | None = None
    output: str = ""

    def outside(self, folders: Sequence[Path]) -> list[Path]:
        """What was written elsewhere than in these folders or files."""
        places = [folder.resolve() for folder in folders]
        return [path for path in self.written if not any(path == p or p in path.parents for p in places)]

    def left(self, endpoint: str | None = None) -> list[str]:
        """Everything that says that something left or could: look-ups, and sockets and their use but for connections to
        `endpoint` (host:port)."""
        others = [one for one in self.connections if endpoint is None or not one.endswith(f" {endpoint}")]
        meant = len(self.connections) - len(others)
        return [*self.sockets[meant:], *others, *self.lookups]


def watched(
    command: Sequence[str], *, environment: Mapping[str, str] | None = None, given: str | None = None,
    hold: float = 0.0, timeout: float = 600.0,
) -> Seen:  # fmt: skip
    """Run a command to its end and tell what it asked for. `given` is its standard input, of which the end comes only
    after `hold` seconds.

    Raises:
        OSError: this system has no such filter.
    """
    if sys.platform != "linux" or platform.machine() not in ARCHITECTURES:
        raise OSError(errno.ENOSYS, "watching needs Linux on x86-64 or ARM")
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-I", __file__, str(theirs.fileno()), *command], pass_fds=[theirs.fileno()],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, text=True,
            )  # fmt: skip
        _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
    if not descriptors:
        raise OSError(errno.ENOSYS, f"the kernel took no filter: {process.communicate()[0].strip()}")
    seen = Seen()
    watcher = threading.Thread(target=_watch, args=(descriptors[0], seen))
    watcher.start()
    try:
        assert process.stdin is not None
        process.stdin.write(given or "")
        process.stdin.flush()
        if hold:
            threading.Timer(hold, process.stdin.close).start()
            process.stdin = None  # the timer closes it
        seen.output, _ = process.communicate(timeout=timeout)
    finally:
        process.kill()
        seen.code = process.wait()
        watcher.join()
    return seen


# -- outside: what the kernel tells ---------------------------------------------------------------------------------


def _watch(listener: int, seen: Seen) -> None:
    names = {number: name for name, number in ARCHITECTURES[platform.machine()][1].items()}
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    while True:
        [(_, event)] = poll.poll()
        if not event & select.POLLIN:  # nobody is left under the filter
            os.close(listener)
            return
        told = bytearray(80)
        try:
            fcntl.ioctl(listener, RECEIVE, told)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINTR):  # the caller was killed meanwhile
                continue
            raise
        identifier, pid, _, number, _, _, *given = struct.unpack("=QIIiIQ6Q", told)
        try:
            _note(names.get(number, "?"), pid, given, seen)
        except OSError:
            seen.lookups.append(f"{names[number]} of a process that could not be looked into")
        try:
            fcntl.ioctl(listener, ANSWER, struct.pack("=QqiI", identifier, 0, 0, GO_ON))
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise


def _note(call: str, pid: int, given: Sequence[int], seen: Seen) -> None:
    who = Path(f"/proc/{pid}/comm").read_text().strip()
    if call == "socket":
        family = {socket.AF_INET: "IPv4", socket.AF_INET6: "IPv6"}.get(given[0], str(given[0]))
        seen.sockets.append(f"{who}: a socket of {family}")
    elif call in ("io_uring_setup", "?"):
        seen.connections.append(f"{who}: an io_uring, or calls of another kind of processor: they cannot be seen")
    elif call == "connect":
        _note_address(f"{who}: connects to", _memory(pid, given[1], given[2]), seen)
    elif call == "listen":
        if not _is_local(pid, given[0]):
            seen.connections.append(f"{who}: waits for connections")
    elif call == "sendto":
        _note_address(f"{who}: sends to", _memory(pid, given[4], given[5]), seen)
    elif call in ("sendmsg", "sendmmsg"):
        pointer, size = struct.unpack("=QI", _memory(pid, given[1], 12))
        _note_address(f"{who}: sends to", _memory(pid, pointer, size), seen)
    else:
        _note_file(call, who, pid, given, seen)


def _note_address(what: str, address: bytes, seen: Seen) -> None:
    """A connection or a datagram by its address; one without is of a connection that was told before."""
    family = struct.unpack("=H", address[:2])[0] if len(address) > 2 else socket.AF_UNSPEC
    if family == socket.AF_UNIX:
        path = address[2:].split(b"\0")[0].decode(errors="replace")
        if path.startswith(RESOLVERS) and os.path.exists(path):  # asked in vain, it is the user's name that is wanted
            seen.lookups.append(f"{what} {path}")
    elif family in (socket.AF_INET, socket.AF_INET6):
        port = struct.unpack("!H", address[2:4])[0]
        host = socket.inet_ntop(family, address[4:8] if family == socket.AF_INET else address[8:24])
        (seen.lookups if port in (53, 853, 5353) else seen.connections).append(f"{what} {host}:{port}")


def _is_local(pid: int, descriptor: int) -> bool:
    """Whether a socket is one of this machine alone."""
    number = os.readlink(f"/proc/{pid}/fd/{descriptor}").removeprefix("socket:[").removesuffix("]")
    return any(number in row.split() for row in Path(f"/proc/{pid}/net/unix").read_text().split("\n"))


def _note_file(call: str, who: str, pid: int, given: Sequence[int], seen: Seen) -> None:
    at = call.endswith(("at", "at2"))
    folder, start = (given[0], given[1:]) if at else (HERE, given)
    path = _path(pid, folder, start[0])
    if path.as_posix() in RESOLVER:
        seen.lookups.append(f"{who}: reads {path}")
    flags = {"open": start[1], "openat": start[1], "creat": os.O_WRONLY}.get(call, 0)
    if call == "openat2":
        flags = struct.unpack("=Q", _memory(pid, start[1], 8))[0]
    writes = call.startswith("mkdir") or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if writes and not path.as_posix().startswith(NO_FILES):
        seen.written.append(path)


def _path(pid: int, folder: int, pointer: int) -> Path:
    """The full path that a call names, links in its folder followed."""
    raw = _memory(pid, pointer, 4096).split(b"\0")[0]
    base = "cwd" if struct.unpack("=i", struct.pack("=I", folder & 0xFFFFFFFF))[0] == HERE else f"fd/{folder}"
    path = Path(os.readlink(f"/proc/{pid}/{base}")) / os.fsdecode(raw)
    return path.parent.resolve() / path.name


def _memory(pid: int, pointer: int, size: int) -> bytes:
    """What stands there in a process's memory; less where it ends."""
    if not pointer or not size:
        return b""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        first = min(size, 4096 - pointer % 4096)  # the next page need not be there
        found = os.pread(memory.fileno(), first, pointer)
        if first < size and b"\0" not in found:
            found += os.pread(memory.fileno(), size - first, pointer + first)
        return found


# -- inside: the filter, then the command ---------------------------------------------------------------------------


def _filter() -> bytes:
    """Of each call: told if it is one of ours (a socket only if it is of the internet), else let pass."""
    audit, calls = ARCHITECTURES[platform.machine()]
    told = [number for name, number in calls.items() if name not in ("seccomp", "socket", "sendmsg")]
    rows = [(LOAD, 0, 0, 4), (IF_EQUAL, 1, 0, audit), (RETURN, 0, 0, TELL), (LOAD, 0, 0, 0)]
    for number in told:
        rows += [(IF_EQUAL, 0, 1, number), (RETURN, 0, 0, TELL)]
    rows += [(IF_EQUAL, 0, 4, calls["sendmsg"]), (LOAD, 0, 0, 16)]
    rows += [(IF_EQUAL, 0, 1, CHANNEL), (RETURN, 0, 0, ALLOW), (RETURN, 0, 0, TELL)]
    rows += [(IF_EQUAL, 1, 0, calls["socket"]), (RETURN, 0, 0, ALLOW), (LOAD, 0, 0, 16)]
    for family in (socket.AF_INET, socket.AF_INET6, 17):  # 17: raw packets
        rows += [(IF_EQUAL, 0, 1, family), (RETURN, 0, 0, TELL)]
    return b"".join(struct.pack("=HBBI", *row) for row in [*rows, (RETURN, 0, 0, ALLOW)])


def install(raw: bytes) -> int:
    """Have this filter over all that this thread does from here on, and what it starts: the descriptor that tells.
    Raises OSError."""
    code = ctypes.create_string_buffer(raw, len(raw))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(raw) // 8, ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    number = ARCHITECTURES[platform.machine()][1]["seccomp"]
    listener = int(libc.syscall(number, SET_FILTER, NEW_LISTENER, program))
    if listener < 0:
        raise OSError(ctypes.get_errno(), f"seccomp: {os.strerror(ctypes.get_errno())}")
    return listener


def _start(parent: int, command: Sequence[str]) -> None:
    os.dup2(parent, CHANNEL)
    os.close(parent)
    with socket.socket(fileno=CHANNEL) as channel:
        try:
            listener = install(_filter())
        except OSError as error:
            sys.exit(str(error))
        socket.send_fds(channel, [b"."], [listener])
    os.close(listener)
    os.execvp(command[0], command)


if __name__ == "__main__":
    _start(int(sys.argv[1]), sys.argv[2:])
