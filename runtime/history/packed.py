"""Files that may be compressed (gzip or xz, told by the first bytes) as bytes, within bounds of size and memory."""

from __future__ import annotations

import gzip
import io
import lzma
import os
from io import BufferedReader
from typing import Protocol

from copersona.runtime.common.errors import TooLarge

ANYWAY = 1 << 30  # bytes that any compressed file may unpack to
TIMES = 100  # and a large one to so many times its size; texts are a tenth or a thirtieth
MEMORY = 128 << 20  # bytes; xz -9 takes half of it
CHUNK = 1 << 20

GZIP, XZ = b"\x1f\x8b", b"\xfd7zXZ\x00"


class _Source(Protocol):
    def read(self, size: int) -> bytes: ...


def unpacked(path: str, plain: BufferedReader) -> BufferedReader:
    """The file's bytes, unpacked where they are compressed. While they are read, TooLarge is raised where they
    take too much, and what gzip, zlib and lzma raise where they are damaged."""
    start = plain.peek(len(XZ))[: len(XZ)]
    if start.startswith(GZIP):
        source: _Source = _Gzip(plain)
    elif start == XZ:
        source = _Xz(path, plain)
    else:
        return plain
    most = max(ANYWAY, TIMES * os.fstat(plain.fileno()).st_size)
    return BufferedReader(_Bounded(path, source, most), CHUNK)


class _Bounded(io.RawIOBase):
    """Up to `most` bytes of a source."""

    def __init__(self, path: str, source: _Source, most: int) -> None:
        self._path, self._source, self._most, self._done = path, source, most, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._source.read(len(buffer))
        self._done += len(data)
        if self._done > self._most:
            raise TooLarge(
                f"{self._path}: unpacks to more than {self._most:,} bytes, {TIMES} times its size or the most that is "
                "read of a small one; unpack it first"
            )
        buffer[: len(data)] = data
        return len(data)


class _Gzip:
    def __init__(self, plain: BufferedReader) -> None:
        self._file = gzip.GzipFile(fileobj=plain)

    def read(self, size: int) -> bytes:
        return self._file.read1(size)


class _Xz:
    """Streams of xz, one behind the other, with a bound of the memory that each asks for."""

    def __init__(self, path: str, plain: BufferedReader) -> None:
        self._path, self._file, self._unpack = path, plain, _decompressor()

    def read(self, size: int) -> bytes:
        try:
            while True:
                raw = b""
                if self._unpack.eof:
                    raw = self._unpack.unused_data or self._file.read(CHUNK)
                    while raw and not raw.strip(b"\0"):  # what may stand between streams
                        raw = self._file.read(CHUNK)
                    if not raw:
                        return b""
                    raw, self._unpack = raw.lstrip(b"\0"), _decompressor()
                elif self._unpack.needs_input:
                    raw = self._file.read(CHUNK)
                    if not raw:
                        raise EOFError("it ends before its end mark")
                if data := self._unpack.decompress(raw, size):
                    return data
        except lzma.LZMAError as error:
            if "emory" not in str(error):
                raise
            raise TooLarge(
                f"{self._path}: takes more than {MEMORY:,} bytes of memory to unpack, the most that is given for it; "
                "pack it with a smaller dictionary (xz -9 or less)"
            ) from None


def _decompressor() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MEMORY)
