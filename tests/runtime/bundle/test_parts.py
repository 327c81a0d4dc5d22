"""The look inside each file of a bundle: what is damaged, hostile or of another kind ends in one line and no crash."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from copersona.runtime.bundle.graph_file import check_graph_db, open_graph_db
from copersona.runtime.common.errors import BundleError
from copersona.runtime.filecheck.array_check import check_npy, read_tensor_shapes
from copersona.runtime.filecheck.onnx_check import check_onnx
from copersona.runtime.persona.graph import APPLICATION_ID, TABLES


def refused(check: Callable[..., object], path: Path, *more: Any) -> str:
    with pytest.raises(BundleError) as caught:
        check(path, *more)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def proto(number: int, content: bytes | int) -> bytes:
    """One protobuf field of at most 127 bytes."""
    if isinstance(content, int):
        return bytes([number << 3, content])
    return bytes([number << 3 | 2, len(content)]) + content


def onnx_file(tensor: bytes = proto(9, b"\x00" * 16), domain: bytes = b"") -> bytes:
    node = proto(1, b"x") + proto(4, b"Add") + proto(7, domain)
    return proto(1, 8) + proto(7, proto(1, node) + proto(5, tensor)) + proto(8, proto(2, 17))


def graph_db(path: Path, extra: str = "", peers: int = 7) -> Path:
    path.unlink(missing_ok=True)
    database = sqlite3.connect(path)
    database.executescript(f"PRAGMA application_id={APPLICATION_ID}; {TABLES}")
    database.executemany("INSERT INTO peers VALUES (?, ?, '12', '[]')", [(n, f"p{n}") for n in range(peers)])
    database.commit()
    database.executescript(extra)
    database.close()
    return path


def header(entries: Any, data: bytes = b"\x00" * 8, length: int | None = None) -> bytes:
    raw = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def tensor(start: int, end: int, *shape: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


BAD_TENSORS = {
    "empty": b"",
    "cut prefix": b"\x10\x00",
    "header longer than the file": header({}, length=10**6),
    "header over 1 MiB": header(b"{" + b" " * 2**20 + b"}"),
    "header of 4 GB": header({}, length=2**32),
    "no json": header(b"{nonsense"),
    "no object": header(b"[1, 2]"),
    "blank first": header(b" {}", b""),
    "no utf-8": header(b'{"\xff": 1}'),
    "key twice": header(b'{"a": 1, "a": 2}'),
    "nan": header(b'{"a": NaN}'),
    "deep": header(b'{"a":' + b"[" * 50_000),
    "entry a list": header({"a": [1]}),
    "entry a number": header({"a": 1}),
    "more keys": header({"a": {**tensor(0, 8, 2), "x": 1}}),
    "int64": header({"a": tensor(0, 8, 1, dtype="I64")}),
    "dtype a list": header({"a": {**tensor(0, 8, 2), "dtype": []}}),
    "shape does not fit": header({"a": tensor(0, 8, 3)}),
    "negative": header({"a": tensor(0, 8, -1, -2)}),
    "true": header({"a": {**tensor(0, 8, 2), "shape": [True, 2]}}),
    "fraction": header({"a": {**tensor(0, 8, 2), "shape": [2.0]}}),
    "overflow": header({"a": tensor(0, 8, 2**33, 2**33)}),
    "one offset": header({"a": {**tensor(0, 8, 2), "data_offsets": [8]}}),
    "backwards": header({"a": tensor(8, 0, 2)}),
    "hole": header({"a": tensor(0, 4, 1), "b": tensor(8, 12, 1)}, b"\x00" * 12),
    "overlap": header({"a": tensor(0, 8, 2), "b": tensor(4, 12, 2)}, b"\x00" * 12),
    "bytes behind": header({"a": tensor(0, 8, 2)}, b"\x00" * 9),
    "bytes missing": header({"a": tensor(0, 8, 2)}, b"\x00" * 7),
    "metadata numbers": header({"__metadata__": {"a": 1}, "a": tensor(0, 8, 2)}),
}


@pytest.mark.parametrize("case", BAD_TENSORS)
def test_bad_safetensors_are_refused(tmp_path: Path, case: str) -> None:
    path = tmp_path / "t.safetensors"
    path.write_bytes(BAD_TENSORS[case])
    refused(read_tensor_shapes, path)


def test_good_safetensors_are_read(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    save_file({"a": np.zeros((2, 3), np.float32), "b": np.zeros(0, np.float16), "c": np.zeros((), np.float32)}, path)
    assert dict(read_tensor_shapes(path)) == {"a": (2, 3), "b": (0,), "c": ()}


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((3, 4)),
        np.zeros((3, 4), ">f4"),
        np.asfortranarray(np.zeros((3, 4), np.float32)),
        np.zeros((4, 3), np.float32),
        np.zeros(12, np.float32),
        np.zeros((3, 4), [("a", "<f4")]),
        np.array([[None] * 4] * 3),
    ],
    ids=["float64", "big-endian", "fortran", "transposed", "flat", "fields", "pickle"],
)
def test_other_arrays_are_refused(tmp_path: Path, array: Any) -> None:
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    refused(check_npy, tmp_path / "a.npy", (3, 4))


@pytest.mark.parametrize(
    "change",
    [
        lambda b: b[:-1],
        lambda b: b + b"\x00",
        lambda b: b[:50],
        lambda b: b"",
        lambda b: b"PK" + b[2:],
        lambda b: b[:6] + b"\x03" + b[7:],
        lambda b: b[:8] + b"\xff\xff" + b[10:],
        lambda b: b.replace(b"{'descr'", b"[1,2,3,4"),
        lambda b: b.replace(b"(3, 4)", b"f(3,4"),
        lambda b: b.replace(b"'shape'", b"'shapf'"),
    ],
)
def test_damaged_arrays_are_refused(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((3, 4), np.float32))
    check_npy(path, (3, 4))
    path.write_bytes(change(path.read_bytes()))
    refused(check_npy, path, (3, 4))


def patched(at: int, value: bytes) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[at : at + len(value)] = value
        path.write_bytes(content)

    return apply


def longer_by_a_page(path: Path) -> None:
    path.write_bytes(path.read_bytes() + bytes(4096))


BAD_GRAPHS: dict[str, tuple[Callable[[Path], object], str]] = {
    "text": (lambda p: p.write_text("no database " * 100), "no SQLite file"),
    "empty": (lambda p: p.write_bytes(b""), "no SQLite file"),
    "page size": (patched(16, b"\x03\x00"), "page size"),
    "write-ahead log": (patched(18, b"\x02\x02"), "write-ahead log"),
    "application": (patched(68, b"\x00\x00\x00\x01"), "another program's database"),
    "cut": (lambda p: os.truncate(p, p.stat().st_size - 4096), "bytes: found"),
    "longer": (longer_by_a_page, "bytes: found"),
    "garbage": (patched(4096, b"\xa7" * 4096), "damaged"),
    "schema garbage": (patched(110, b"\xa7" * 2000), "damaged"),
    "fewer peers": (lambda p: graph_db(p, peers=6), "peers: found 6, the manifest has 7"),
    "view": (lambda p: graph_db(p, "CREATE VIEW v AS SELECT 1;"), "the view 'v'"),
    "trigger": (lambda p: graph_db(p, "CREATE TRIGGER t AFTER INSERT ON meta BEGIN SELECT 1; END;"), "trigger"),
    "virtual table": (lambda p: graph_db(p, "CREATE VIRTUAL TABLE f USING fts5(x);"), "'f', expected plain"),
    "no peers": (lambda p: graph_db(p, "DROP TABLE peers;", peers=0), "no such table: peers"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_GRAPHS)
def test_a_bad_graph_is_refused(tmp_path: Path, case: str) -> None:
    damage, expected = BAD_GRAPHS[case]
    path = graph_db(tmp_path / "graph.sqlite")
    check_graph_db(path, 7)
    damage(path)
    assert expected in refused(check_graph_db, path, 7)


def test_the_graph_is_opened_read_only_and_leaves_no_trace(tmp_path: Path) -> None:
    path = graph_db(tmp_path / "a ?&#%20 é.sqlite")
    before = path.read_bytes()
    database = open_graph_db(path)
    try:
        assert database.execute("SELECT count(*) FROM peers").fetchone() == (7,)
        for statement in ("DELETE FROM peers", "CREATE TABLE x (y)", "ATTACH ':memory:' AS other"):
            with pytest.raises(sqlite3.Error):
                database.execute(statement)
    finally:
        database.close()
    assert [(file, file.read_bytes()) for file in tmp_path.iterdir()] == [(path, before)]
    with pytest.raises(BundleError, match="none"):
        open_graph_db(tmp_path / "none.sqlite")


EXTERNAL = proto(13, proto(1, b"location") + proto(2, b"../../secret"))
BAD_ONNX = {
    "empty": (b"", "0 bytes"),
    "text": (b"not an onnx file", ""),
    "zeros": (bytes(100), "no graph"),
    "cut": (onnx_file()[:-30], "cut or damaged"),
    "external data": (onnx_file(EXTERNAL), "outside of the file"),
    "external marker": (onnx_file(proto(14, 1)), "outside of the file"),
    "external in a node": (proto(7, proto(1, proto(5, proto(5, EXTERNAL)))), "outside of the file"),
    "external in a subgraph": (proto(7, proto(1, proto(5, proto(6, proto(5, EXTERNAL))))), "outside of the file"),
    "external, sparse": (proto(7, proto(15, proto(1, EXTERNAL))), "outside of the file"),
    "foreign operators": (onnx_file(domain=b"evil.ops"), "domain b'evil.ops'"),
    "endless number": (b"\xff" * 50, "does not end"),
}


@pytest.mark.parametrize("case", BAD_ONNX)
def test_a_bad_encoder_is_refused(tmp_path: Path, case: str) -> None:
    content, expected = BAD_ONNX[case]
    path = tmp_path / "encoder.onnx"
    path.write_bytes(onnx_file())
    check_onnx(path)
    path.write_bytes(content)
    assert expected in refused(check_onnx, path)


@settings(deadline=None)
@given(st.binary(max_size=200), st.sampled_from([check_onnx, read_tensor_shapes, lambda path: check_npy(path, (1,))]))
def test_any_bytes_end_in_one_kind_of_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, check: Callable[[Path], object]
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "f"
    path.write_bytes(content)
    with contextlib.suppress(BundleError):  # anything else fails the test
        check(path)
