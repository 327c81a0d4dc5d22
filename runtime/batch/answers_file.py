"""A file of answers that grows line by line: a kill at any moment loses no line that was acknowledged, doubles none.

Beside `answers.jsonl` stands `answers.jsonl.run.json`, the record of what it is made from (requests, bundle, settings).
A file is gone on with only where the record is the same; what a kill left behind its last whole line is cut off. While
it grows, lines stand as they were finished; at the end they are put in the order of the requests, in one step.

Knows nothing of what an answer is but that its line is a JSON object with an "id".
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from copersona.runtime.common.closing import Closing
from copersona.runtime.common.errors import HistoryError
from copersona.runtime.common.files import sync_folder, write_whole


def record_path(answers: Path) -> Path:
    """Where the record of a file of answers stands."""
    return answers.with_name(f"{answers.name}.run.json")


def private(path: str, flags: int) -> int:
    """An opener: a file that it makes can be read by this user only, for it holds what people asked."""
    return os.open(path, flags, 0o600)


class AnswersFile(Closing):
    """One run's answers. Close it, or use it in a `with`; what was added is kept at the latest then.

    `done` are the ids that are there, `cut` the bytes that were no whole line and are gone.

    Raises:
        HistoryError: there is no such folder; without `resume`, the file is there already; with it, the file is of
            another run or of none; another process is writing it. Nothing is changed then.
    """

    def __init__(self, path: Path, made_from: Mapping[str, Any], *, resume: bool = False) -> None:
        self.path = path
        if not path.absolute().parent.is_dir():
            raise HistoryError(f"{path.parent}: there is no such folder for the answers; make it first")
        if path.exists() and not path.is_file():
            raise HistoryError(f"{path}: not a regular file; answers are written to one, so that none is lost")
        self._file = open(path, "a+b", opener=private)  # noqa: SIM115
        try:
            _lock(self._file.fileno(), path)
            self._begin(made_from, resume)
            self._spans, self._end = _whole_lines(path)
            self.cut = self._file.seek(0, os.SEEK_END) - self._end
            if self.cut:
                self._file.truncate(self._end)
            self._sync()
        except BaseException:
            self._file.close()
            raise

    @property
    def done(self) -> frozenset[str]:
        return frozenset(self._spans)

    def add(self, lines: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """Append answers by id; when this returns, the device has them. Raises OSError."""
        for id_, body in lines:
            raw = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
            self._file.write(raw)
            self._spans[id_] = (self._end, len(raw))
            self._end += len(raw)
        self._sync()

    def put_in_order(self, ids: Sequence[str]) -> None:
        """Have the lines stand in the order of `ids`; the file is replaced in one step, or left as it is."""
        spans = [self._spans[id_] for id_ in ids if id_ in self._spans]
        if spans == sorted(spans):
            return
        write_whole(self.path, self._lines(spans), self.path.stat().st_mode & 0o777)
        self._file.close()

    def close(self) -> None:
        """Keep what was added and let others write. Closing twice is no error."""
        if not self._file.closed:
            with contextlib.closing(self._file):
                self._sync()

    def _lines(self, spans: Sequence[tuple[int, int]]) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            for start, size in spans:
                file.seek(start)
                yield file.read(size)

    def _sync(self) -> None:
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:  # which names no file
            raise OSError(error.errno, error.strerror, str(self.path)) from None

    def _begin(self, made_from: Mapping[str, Any], resume: bool) -> None:
        """Write the record of a new file, or compare that of an old one."""
        record = record_path(self.path)
        if not self._file.seek(0, os.SEEK_END) and not (resume and record.exists()):
            write_whole(record, [(json.dumps(made_from, ensure_ascii=False, indent=2) + "\n").encode("utf-8")], 0o600)
            sync_folder(self.path.absolute().parent)
            return
        if not resume:
            raise HistoryError(
                f"{self.path}: is there already; go on with it by --resume, move it away, or give another name"
            )
        differ = _differences(_read_record(record), json.loads(json.dumps(made_from)))
        if differ:
            raise HistoryError(
                f"{self.path}: was begun with {differ[0]}; call it the same way, or give another name for the answers"
            )


def _read_record(path: Path) -> dict[str, Any]:
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HistoryError(
            f"{path}: the record of what the answers are made from cannot be read ({error}), so they cannot be gone on "
            "with; give another name for the answers"
        ) from None
    return body if isinstance(body, dict) else {}


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Each setting in which two records differ: what it was, and what it is."""
    found = []
    for name in [*before, *(name for name in now if name not in before)]:
        old, new = before.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            found += _differences(old, new, f"{prefix}{name} ")
        elif old != new:
            found.append(f"{prefix}{name} {_shown(old)}, this call has {_shown(new)}")
    return found


def _shown(value: object) -> str:
    return "unset" if value is None else value[:12] if isinstance(value, str) else json.dumps(value)


def _whole_lines(path: Path) -> tuple[dict[str, tuple[int, int]], int]:
    """Place and size of each line by its id, and where the last whole line ends."""
    spans: dict[str, tuple[int, int]] = {}
    end = 0
    with path.open("rb") as file:
        for raw in file:
            id_ = _id_of(raw)
            if id_ is None or id_ in spans:
                break
            spans[id_] = (end, len(raw))
            end += len(raw)
    return spans, end


def _id_of(raw: bytes) -> str | None:
    """The id of a line; None where it is not whole."""
    if not raw.endswith(b"\n"):
        return None
    try:
        body = json.loads(raw)
    except ValueError:
        return None
    found = body.get("id") if isinstance(body, dict) else None
    return found if isinstance(found, str) else None


def _lock(descriptor: int, path: Path) -> None:
    """Have this file for one process; systems without such locks go without."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise HistoryError(f"{path}: another process is writing answers into it; wait for it to end") from None
