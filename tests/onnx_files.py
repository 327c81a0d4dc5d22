"""ONNX files written field by field, without the onnx package: small encoders, and what no encoder may be."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "bool": 9, "float64": 11}


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def field(number: int, content: bytes | int | float | str) -> bytes:
    """One protobuf field."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    if isinstance(content, float):
        return varint(number << 3 | 5) + struct.pack("<f", content)
    content = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(content)) + content


def tensor(name: str, array: Any) -> bytes:
    array = np.asarray(array)
    dims = b"".join(field(1, size) for size in array.shape)
    return dims + field(2, TYPES[str(array.dtype)]) + field(8, name) + field(9, array.tobytes())


def node(op: str, inputs: Sequence[str], outputs: Sequence[str], domain: str = "", **attributes: Any) -> bytes:
    body = b"".join(field(1, name) for name in inputs) + b"".join(field(2, name) for name in outputs) + field(4, op)
    body += b"".join(field(5, _attribute(name, value)) for name, value in attributes.items())
    return body + (field(7, domain) if domain else b"")


def _attribute(name: str, value: Any) -> bytes:
    if isinstance(value, bytes):  # a graph
        return field(1, name) + field(6, value) + field(20, 5)
    if isinstance(value, int):
        return field(1, name) + field(3, value) + field(20, 2)
    if isinstance(value, float):
        return field(1, name) + field(2, value) + field(20, 1)
    if isinstance(value, list):
        return field(1, name) + b"".join(field(8, one) for one in value) + field(20, 7)
    return field(1, name) + field(5, tensor("", value)) + field(20, 4)


def port(name: str, kind: str, shape: Sequence[int | str]) -> bytes:
    dims = b"".join(field(1, field(1, size) if isinstance(size, int) else field(2, size)) for size in shape)
    return field(1, name) + field(2, field(1, field(1, TYPES[kind]) + field(2, dims)))


def graph(nodes: Sequence[bytes], tensors: Mapping[str, Any], width: int) -> bytes:
    """A graph from the ids and the mask of tokens to one vector."""
    body = b"".join(field(1, one) for one in nodes) + field(2, "encoder")
    body += b"".join(field(5, tensor(name, array)) for name, array in tensors.items())
    for name in ("input_ids", "attention_mask"):
        body += field(11, port(name, "int64", ("batch", "tokens")))
    return body + field(12, port("sentence_embedding", "float32", ("batch", width)))


def onnx_model(body: bytes, *, opset: int = 18, domain: str = "", more: bytes = b"") -> bytes:
    imported = field(1, domain) + field(2, opset)
    return field(1, 8) + field(7, body) + field(8, imported) + more


def mean_encoder(
    rows: int = 64, width: int = 8, *, nodes: Sequence[bytes] = (), tensors: Mapping[str, Any] | None = None
) -> bytes:
    """The mean of the tokens' vectors, after other `nodes` of no consequence."""
    table = np.random.default_rng(0).normal(0, 1, (rows, width)).astype(np.float32)
    last = [
        node("Gather", ["table", "input_ids"], ["tokens"], axis=0),
        node("ReduceMean", ["tokens", "one"], ["sentence_embedding"], keepdims=0),
    ]
    known = {"table": table, "one": np.array([1], np.int64), **(tensors or {})}
    return onnx_model(graph([*nodes, *last], known, width))


def whole(*numbers: int) -> Any:
    return np.array(numbers, np.int64)


TAIL = [
    node("Gather", ["table", "input_ids"], ["tokens"], axis=0),
    node("ReduceMean", ["tokens", "one"], ["sentence_embedding"], keepdims=0),
]
SIZES = {
    "sizes of a tensor": [node("Shape", ["input_ids"], ["s"]), node("ConstantOfShape", ["s"], ["y"])],
    "a part of them": [
        node("Shape", ["input_ids"], ["s"]), node("Gather", ["s", "one"], ["n"], axis=0),
        node("Mul", ["n", "three"], ["m"]), node("Expand", ["one", "m"], ["y"]),
    ],
    "divided": [
        node("Shape", ["input_ids"], ["s"]), node("Add", ["s", "three"], ["t"]), node("Div", ["t", "three"], ["m"]),
        node("Expand", ["one", "m"], ["y"]),
    ],
    "put into another shape": [node("Reshape", ["input_ids", "shape"], ["y"], allowzero=0)],
    "a slice": [node("Slice", ["input_ids", "first", "end", "one", "two"], ["y"])],
    "joined": [node("Concat", ["input_ids", "attention_mask", "input_ids"], ["y"], axis=1)],
    "turned": [node("Transpose", ["input_ids"], ["y"], perm=[1, 0])],
    "each with each": [
        node("Transpose", ["input_ids"], ["t"], perm=[1, 0]), node("Mul", ["t", "attention_mask"], ["y"]),
    ],
    "a range": [
        node("Shape", ["input_ids"], ["s"]), node("Gather", ["s", "at"], ["n"], axis=0),
        node("Range", ["zero", "n", "step"], ["y"]),
    ],
    "summed": [node("ReduceSum", ["input_ids", "one"], ["y"], keepdims=1)],
    "where": [
        node("Shape", ["input_ids"], ["s"]), node("Equal", ["s", "one"], ["e"]),
        node("Where", ["e", "three", "s"], ["m"]),
        node("Expand", ["one", "m"], ["y"]),
    ],
}  # fmt: skip
"""Graphs that make `y`, whose size follows from that of the text."""

KNOWN = {
    "three": whole(3), "first": whole(0), "two": whole(2), "end": whole(2**63 - 1), "shape": whole(-1, 1),
    "at": np.int64(1), "zero": np.int64(0), "step": np.int64(2),
}  # fmt: skip


def sized(case: str, rows: int = 9, width: int = 8) -> bytes:
    """The encoder of TAIL, with one of SIZES as a second result."""
    tensors = {**KNOWN, "table": np.ones((rows, width), np.float32), "one": whole(1)}
    kind = field(2, field(1, field(1, 1 if case == "sizes of a tensor" else 7)))
    return onnx_model(graph([*SIZES[case], *TAIL], tensors, width) + field(12, field(1, "y") + kind))
