"""What a file may make of time and memory: each bound is one clear line that names it, and far from real histories."""

from __future__ import annotations

import gzip
import json
import lzma
import resource
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from copersona.runtime.common.errors import HistoryError
from copersona.runtime.history import importers, jsonlines, packed
from copersona.runtime.history.formats import read_metadata
from copersona.runtime.history.importers import load_history, read_history, read_requests

ROW = json.dumps({"person": "ana", "output": "good strings"}) + "\n"


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def blank_lines(gigabytes: int) -> bytes:
    """A gzip of line ends: one stream, many times, as `cat` joins them."""
    return gzip.compress(b"\n" * (64 << 20)) * (gigabytes * 16)


def test_a_gzip_of_blank_lines_is_refused_within_seconds(tmp_path: Path) -> None:
    path = write(tmp_path / "h.gz", gzip.compress(ROW.encode()) + blank_lines(9))
    assert path.stat().st_size < 10_000_000
    start = time.process_time()
    with pytest.raises(HistoryError, match=r"h\.gz: more than 5,000,000 blank lines"):
        load_history([path], skip_bad=True)
    assert time.process_time() - start < 20


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
@pytest.mark.parametrize("first", [ROW, "[" + ROW, ""])
def test_what_unpacks_to_far_more_than_it_is_is_refused(
    pack: Callable[[bytes], bytes], first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "ANYWAY", 1 << 20)
    path = write(tmp_path / "h", pack(first.encode() + b" " * (64 << 20)))
    with pytest.raises(HistoryError, match=r"h: unpacks to more than [\d,]+ bytes, 100 times its size") as caught:
        load_history([path], "lamp", skip_bad=True)
    assert "unpack it first" in str(caught.value)
    plain = write(tmp_path / "plain", (ROW + " " * (4 << 20)).encode())
    assert len(list(read_history(plain))) == 1


def test_a_real_ratio_is_no_bomb(tmp_path: Path) -> None:
    rows = "".join(json.dumps({"person": f"p{n % 99}", "output": f"good {n}"}) + "\n" for n in range(20_000))
    for pack in (gzip.compress, lzma.compress):
        data = pack(rows.encode())
        assert len(rows) < packed.TIMES * len(data)
        path = write(tmp_path / "h", data + pack(rows.encode()))
        assert sum(1 for _ in jsonlines.read_objects(path)) == 40_000


def test_the_dictionary_of_an_xz_is_bounded(tmp_path: Path) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 64 << 20}]  # as xz -9 has it
    fits = write(tmp_path / "fits.xz", lzma.compress(ROW.encode(), filters=filters))
    assert len(list(read_history(fits))) == 1
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    path = write(tmp_path / "h.xz", dictionary_of(fits.read_bytes(), 40 - 2))
    with pytest.raises(HistoryError, match=r"h\.xz: takes more than 134,217,728 bytes of memory to unpack"):
        list(read_history(path))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000


def dictionary_of(data: bytes, bits: int) -> bytes:
    """The xz with another dictionary size in its block's header, and that header's checksum."""
    header = bytearray(data[12 : 12 + (data[12] + 1) * 4])
    at = header.index(b"\x21\x01") + 2  # the filter LZMA2, and one byte of properties
    header[at] = bits
    header[-4:] = zlib.crc32(bytes(header[:-4])).to_bytes(4, "little")
    return data[:12] + bytes(header) + data[12 + len(header) :]


def test_lines_and_blank_lines_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonlines, "MAX_LINES", 10)
    monkeypatch.setattr(jsonlines, "MAX_BLANK", 3)
    assert len(list(read_history(write(tmp_path / "h", (ROW * 7 + "\n \t\n\n").encode())))) == 7
    with pytest.raises(HistoryError, match=r"h: more than 3 blank lines"):
        list(read_history(write(tmp_path / "h", (ROW + "\n" * 4).encode())))
    assert len(list(read_history(write(tmp_path / "h", (ROW * 10).encode())))) == 10
    for content in (ROW * 11, "[" + ",".join([ROW] * 11) + "]"):
        with pytest.raises(HistoryError, match=r"h: more than 10 (lines|records)"):
            load_history([write(tmp_path / "h", content.encode())], "dpl", skip_bad=True)


def test_lines_that_cannot_be_read_are_listed_up_to_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonlines, "MAX_BAD", 3)
    path = write(tmp_path / "h", (ROW + "x\n" * 4).encode())
    with pytest.raises(HistoryError, match=r"h: more than 3 records cannot be read; the first: .*h:2: not JSON"):
        load_history([path], skip_bad=True)
    with pytest.raises(HistoryError, match=r"h: more than 3 records cannot be read; the first: .*h:1: "):
        read_metadata(path, skip_bad=True)


def test_requests_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importers, "MAX_REQUESTS", 3)
    rows = [json.dumps({"id": str(n), "input": "x"}) for n in range(4)]
    assert len(list(read_requests(write(tmp_path / "r", "\n".join(rows[:3]).encode())))) == 3
    with pytest.raises(HistoryError, match=r"r: more than 3 requests"):
        list(read_requests(write(tmp_path / "r", "\n".join(rows).encode())))


def test_blanks_between_the_records_of_an_array_cost_little(tmp_path: Path) -> None:
    path = write(tmp_path / "h", b"[" + b" \n" * (100 << 20) + b"]")
    start = time.process_time()
    with pytest.raises(HistoryError, match="holds no interactions"):
        load_history([path], "dpl")
    assert time.process_time() - start < 10
