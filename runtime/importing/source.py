"""An export as it was downloaded: one file, a folder or a zip, seen as files with names. Nothing is written anywhere.

What leads outside (a link, a name with ..) is passed over. A zip may unpack to so many times its size as any
compressed history (`history/packed.py`), and holds at most MAX_FILES files.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import IO

from copersona.runtime.common.errors import HistoryError, TooLarge
from copersona.runtime.history.jsonlines import readable
from copersona.runtime.history.packed import ANYWAY, TIMES, unpacked

MAX_FILES = 500_000
CHUNK = 1 << 20
HEAD = 1 << 16  # bytes that tell a format
END_OF_ZIP = b"PK\x05\x06"


class Source:
    """The files of an export by name, sorted; `outside` counts those that were passed over as leading elsewhere."""

    def __init__(self, path: Path | str) -> None:
        """Raises HistoryError: there is no such file or folder, or a zip that cannot be read or is too large."""
        self.path = Path(path)
        self.outside = 0
        self.done = 0  # bytes read so far
        self._zip: zipfile.ZipFile | None = None
        with readable(str(path)):
            self.is_folder = stat.S_ISDIR(os.stat(path).st_mode)
            if not self.is_folder and not stat.S_ISREG(os.stat(path).st_mode):
                raise HistoryError(f"{path}: a pipe or a device, which can be read only once; write it to a file first")
            packed = None if self.is_folder else self._archive()
            self._sizes = self._folder() if self.is_folder else self._one() if packed is None else packed
        self.names = tuple(sorted(self._sizes))

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        if self._zip is not None:
            self._zip.close()

    @property
    def is_file(self) -> bool:
        """Whether it is one plain file."""
        return self._zip is None and not self.is_folder

    def where(self, name: str) -> str:
        """The file's name for messages."""
        return str(self.path) if self.is_file else f"{self.path}/{name}"

    def size(self, name: str) -> int:
        """Bytes of a file, unpacked from the zip."""
        return self._sizes[name]

    def changed(self, name: str) -> float | None:
        """When the file was last changed, seconds since 1970; None where that is not known."""
        if self._zip is None:
            return os.stat(self._place(name)).st_mtime
        with contextlib.suppress(ValueError):
            return datetime(*self._zip.getinfo(name).date_time, tzinfo=UTC).timestamp()
        return None

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[BufferedReader]:
        """A file's bytes. Raises HistoryError, also while they are read."""
        where = self.where(name)
        with readable(where), contextlib.ExitStack() as stack:
            if self._zip is None:
                plain = stack.enter_context(open(self._place(name), "rb"))
                if not stat.S_ISREG(os.fstat(plain.fileno()).st_mode):
                    raise HistoryError(f"{where}: a pipe or a device, expected a file")
                raw: IO[bytes] = unpacked(where, plain)
            else:
                raw = stack.enter_context(_member(self._zip, name, where))
            with _zip_faults(where):
                yield BufferedReader(_Counted(self, raw), CHUNK)

    def head(self, name: str, size: int = HEAD) -> bytes:
        """The first bytes of a file, none where they cannot be read."""
        try:
            with self.open(name) as file:
                return file.read(size)
        except HistoryError:
            return b""

    def _place(self, name: str) -> Path:
        return self.path / name if self.is_folder else self.path

    def _one(self) -> dict[str, int]:
        return {self.path.name: os.stat(self.path).st_size}

    def _folder(self) -> dict[str, int]:
        found: dict[str, int] = {}
        waiting = [""]
        while waiting:
            below = waiting.pop()
            with os.scandir(self.path / below) as entries:
                for entry in entries:
                    name = f"{below}/{entry.name}" if below else entry.name
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(name)
                    elif entry.is_file(follow_symlinks=False):
                        found[name] = entry.stat(follow_symlinks=False).st_size
                    else:
                        self.outside += 1
                    if len(found) + len(waiting) > MAX_FILES:
                        raise TooLarge(f"{self.path}: more than {MAX_FILES:,} files, the most of one export")
        return found

    def _archive(self) -> dict[str, int] | None:
        with open(self.path, "rb") as file:
            start, size = file.read(4), os.fstat(file.fileno()).st_size
            if start not in (b"PK\x03\x04", END_OF_ZIP):
                return None
            if _entries(file, size) > MAX_FILES:
                raise TooLarge(f"{self.path}: more than {MAX_FILES:,} files, the most of one export")
        with _zip_faults(str(self.path)):
            self._zip = zipfile.ZipFile(self.path)
        found = {}
        for info in self._zip.infolist():
            if info.is_dir():
                continue
            if stat.S_ISLNK(info.external_attr >> 16) or _leads_out(info.filename):
                self.outside += 1
            else:
                found[info.filename] = info.file_size
        most = max(ANYWAY, TIMES * size)
        if sum(found.values()) > most:
            raise TooLarge(f"{self.path}: unpacks to more than {most:,} bytes, {TIMES} times its size; unpack it first")
        return found


def _leads_out(name: str) -> bool:
    return name.startswith(("/", "\\")) or ".." in PurePosixPath(name.replace("\\", "/")).parts or "\0" in name


def _entries(file: IO[bytes], size: int) -> int:
    """How many files a zip's end says it has; the library reads all their names at once."""
    file.seek(max(0, size - (1 << 16) - 22))
    end = file.read()
    place = end.rfind(END_OF_ZIP)
    if place < 0 or len(end) - place < 22:
        return 0  # the library says what is wrong
    count, length = struct.unpack_from("<HI", end, place + 10)
    wide = end.rfind(b"PK\x06\x06", 0, place)
    if 0 <= wide <= len(end) - 56:
        count, length = struct.unpack_from("<QQ", end, wide + 32)
    return max(int(count), int(length) // 1024)  # 46 bytes and a name each


@contextlib.contextmanager
def _zip_faults(where: str) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, EOFError, zlib.error, struct.error) as error:
        raise HistoryError(f"{where}: the zip is cut or damaged ({error})") from None
    except NotImplementedError as error:
        raise HistoryError(f"{where}: packed in a way that is not read ({error}); unpack it first") from None


def _member(archive: zipfile.ZipFile, name: str, where: str) -> IO[bytes]:
    with _zip_faults(where):
        try:
            return archive.open(name)
        except RuntimeError as error:
            raise HistoryError(f"{where}: encrypted ({error}); unpack it first") from None


class _Counted(io.RawIOBase):
    """Bytes of a file, counted in the source."""

    def __init__(self, source: Source, raw: IO[bytes]) -> None:
        self._source, self._raw = source, raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._raw.read(len(buffer))
        self._source.done += len(data)
        buffer[: len(data)] = data
        return len(data)
