"""Reads an ONNX file's graph in plain Python: nodes, weights by name and size, inputs and outputs.

A walk over the protobuf fields, whose numbers are those of onnx.proto. Only the fields that an export writes are known;
functions, subgraphs, sparse tensors, text values and data in other files are fields too, and so are refused with all
others.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

MAX_FIELDS = 2_000_000
MAX_NAME = 1_024
SMALL = 64  # elements of a tensor whose numbers are read
# ONNX's number of a type -> bytes of an element and struct's letter
TYPES = {1: (4, "f"), 2: (1, "B"), 3: (1, "b"), 6: (4, "i"), 7: (8, "q"), 9: (1, "?"), 10: (2, "e"), 11: (8, "d")}
WHOLE = (2, 3, 6, 7, 9)

# message -> field number -> (name, kind); a kind with * may be there more than once
_FIELDS: dict[str, dict[int, tuple[str, str]]] = {
    "model": {
        1: ("ir_version", "int"), 2: ("producer", "text"), 3: ("producer_version", "text"), 4: ("domain", "text"),
        5: ("version", "int"), 6: ("doc", "span"), 7: ("graph", "graph"), 8: ("opsets", "opset*"),
        14: ("metadata", "span*"),
    },
    "opset": {1: ("domain", "text"), 2: ("version", "int")},
    "graph": {
        1: ("nodes", "node*"), 2: ("name", "text"), 5: ("tensors", "tensor*"), 10: ("doc", "span"),
        11: ("inputs", "value*"), 12: ("outputs", "value*"), 13: ("values", "value*"), 16: ("metadata", "span*"),
    },
    "node": {
        1: ("inputs", "text*"), 2: ("outputs", "text*"), 3: ("name", "text"), 4: ("op", "text"),
        5: ("attributes", "attribute*"), 6: ("doc", "span"), 7: ("domain", "text"), 9: ("metadata", "span*"),
    },
    "attribute": {
        1: ("name", "text"), 2: ("f", "float"), 3: ("i", "int"), 5: ("t", "tensor"), 8: ("ints", "ints*"),
        13: ("doc", "span"), 20: ("type", "int"),
    },
    "tensor": {
        1: ("dims", "ints*"), 2: ("type", "int"), 4: ("floats", "span"), 5: ("int32s", "span"), 7: ("int64s", "span"),
        8: ("name", "text"), 9: ("raw", "span"), 12: ("doc", "span"), 14: ("location", "int"),
    },
    "value": {1: ("name", "text"), 2: ("type", "kind"), 3: ("doc", "span"), 4: ("metadata", "span*")},
    "kind": {1: ("tensor", "tensor_kind")},
    "tensor_kind": {1: ("type", "int"), 2: ("shape", "shape")},
    "shape": {1: ("dims", "dim*")},
    "dim": {1: ("value", "int"), 2: ("name", "text")},
}  # fmt: skip
_WIRES = {"int": 0, "float": 5}
_ODD = {
    ("model", 20): "it holds a training", ("model", 25): "it holds functions", ("graph", 15): "it holds sparse tensors",
    ("attribute", 6): "an operator holds a graph of its own, as If and Loop do",
    ("attribute", 11): "an operator holds graphs of its own",
    ("tensor", 13): "a tensor keeps its data outside of the file",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tensor:
    """A constant of a graph; `numbers` are all of its elements where there are at most SMALL, else None."""

    name: str
    type: int
    shape: tuple[int, ...]
    numbers: tuple[float, ...] | None


@dataclass(frozen=True, slots=True)
class Node:
    """One operator with the names of what it takes and makes."""

    op: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, int | float | tuple[int, ...] | Tensor]


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a graph: its type, and per dimension the size, 0 where it is open."""

    name: str
    type: int
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Graph:
    """A whole file: the version of its format and of its operators, and what it computes."""

    ir_version: int
    opsets: dict[str, int]
    nodes: tuple[Node, ...]
    tensors: tuple[Tensor, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


def read_graph(data: mmap.mmap) -> Graph:
    """The graph of a whole file. Raises ValueError for anything that is not on the lists of this module."""
    reader = _Reader(data)
    model = reader.message("model", 0, len(data))
    graph = model.get("graph")
    if graph is None:
        raise ValueError("it holds no graph")
    opsets = {row.get("domain", ""): row.get("version", 0) for row in model.get("opsets", ())}
    if len(opsets) != len(model.get("opsets", ())):
        raise ValueError("a set of operators is there twice")
    return Graph(
        model.get("ir_version", 0),
        opsets,
        tuple(reader.node(row) for row in graph.get("nodes", ())),
        tuple(reader.tensor(row) for row in graph.get("tensors", ())),
        tuple(map(_port, graph.get("inputs", ()))),
        tuple(map(_port, graph.get("outputs", ()))),
    )


class _Reader:
    """One pass over a file; every step is counted, so that a hostile file ends too."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._fields = 0

    def message(self, kind: str, start: int, end: int) -> dict[str, Any]:
        """The fields of one message by name. Raises ValueError."""
        known, found = _FIELDS[kind], dict[str, Any]()
        for number, wire, value, stop in self._each(start, end):
            if number not in known:
                raise ValueError(_ODD.get((kind, number), f"the field {number} of {kind!r} is not supported"))
            name, what = known[number]
            one, many = what.rstrip("*"), what.endswith("*")
            if wire not in ((0, 2) if one == "ints" else (_WIRES.get(one, 2),)):
                raise ValueError(f"the field {number} of {kind!r} is of another kind than expected")
            made = self._value(one, wire, value, stop)
            if many:
                found.setdefault(name, []).extend(made if one == "ints" else [made])
            elif name in found:
                raise ValueError(f"the field {number} of {kind!r} is there twice")
            else:
                found[name] = made
        return found

    def _value(self, kind: str, wire: int, value: int, stop: int) -> Any:
        if kind == "int":
            return _signed(value)
        if kind == "float":
            return struct.unpack("<f", self._data[value:stop])[0]
        if kind == "ints":
            return self._ints(value, stop) if wire == 2 else [_signed(value)]
        if kind == "text":
            if stop - value > MAX_NAME:
                raise ValueError(f"a name of {stop - value:,} bytes")
            return self._data[value:stop].decode("utf-8")
        return (value, stop) if kind == "span" else self.message(kind, value, stop)

    def _ints(self, at: int, end: int) -> list[int]:
        found: list[int] = []
        while at < end:
            value, at = self._varint(at, end)
            found.append(_signed(value))
            if len(found) > MAX_NAME:
                raise ValueError("a list of too many numbers")
        return found

    def node(self, row: dict[str, Any]) -> Node:
        """Raises ValueError: an attribute that is there twice or holds nothing."""
        attributes: dict[str, int | float | tuple[int, ...] | Tensor] = {}
        for one in row.get("attributes", ()):
            name = one.get("name", "")
            values = [one[key] for key in ("f", "i", "t", "ints") if key in one]
            if name in attributes or len(values) > 1:
                raise ValueError(f"the attribute {name!r} is there twice")
            value = values[0] if values else []
            attributes[name] = (
                self.tensor(value) if isinstance(value, dict) else tuple(value) if isinstance(value, list) else value
            )
        inputs, outputs = tuple(row.get("inputs", ())), tuple(row.get("outputs", ()))
        return Node(row.get("op", ""), row.get("domain", ""), inputs, outputs, attributes)

    def tensor(self, row: dict[str, Any]) -> Tensor:
        """Raises ValueError: data elsewhere, of a type that is not supported, or not as much as the shape says."""
        name, kind, shape = row.get("name", ""), row.get("type", 0), tuple(row.get("dims", ()))
        if row.get("location", 0):
            raise ValueError("a tensor keeps its data outside of the file")
        if kind not in TYPES or len(shape) > 8 or not all(0 <= size < 2**40 for size in shape):
            raise ValueError(f"tensor {name!r} of the type {kind} and shape {shape} is not supported")
        count, spans = math.prod(shape), [key for key in ("raw", "floats", "int32s", "int64s") if key in row]
        if len(spans) != (1 if count else len(spans)) or len(spans) > 1:
            raise ValueError(f"tensor {name!r} has {len(spans)} kinds of data")
        found: float = 0
        numbers: tuple[float, ...] | None = ()
        if spans:
            start, stop = row[spans[0]]
            found, numbers = self._elements(kind, start, stop, spans[0], count)
        if found != count:
            raise ValueError(f"tensor {name!r} has {found:,} numbers, which do not fit its shape {shape}")
        return Tensor(name, kind, shape, numbers)

    def _elements(
        self, kind: int, start: int, stop: int, field: str, count: int
    ) -> tuple[float, tuple[float, ...] | None]:
        """How many numbers there are, and the numbers themselves where they are few."""
        item, letter = TYPES[kind]
        if field in ("raw", "floats"):
            if field == "floats" and kind != 1:
                raise ValueError("a tensor's data are not of its type")
            few = count <= SMALL and (stop - start) == count * item
            return (stop - start) / item, struct.unpack(f"<{count}{letter}", self._data[start:stop]) if few else None
        if kind not in WHOLE or (kind == 7) != (field == "int64s"):
            raise ValueError("a tensor's data are not of its type")
        found = int(np.count_nonzero(np.frombuffer(self._data, np.uint8, stop - start, start) < 0x80))
        return found, tuple(self._ints(start, stop)) if found == count <= SMALL else None

    def _each(self, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """Field number, wire type, and start and end of its bytes; of a number the value and -1."""
        while at < end:
            self._fields += 1
            if self._fields > MAX_FIELDS:
                raise ValueError("too many fields")
            key, at = self._varint(at, end)
            number, wire = key >> 3, key & 7
            if wire == 0:
                value, at = self._varint(at, end)
                yield number, wire, value, -1
                continue
            if wire not in (1, 2, 5):
                raise ValueError(f"byte {at:,} is no protobuf field")
            size, at = self._varint(at, end) if wire == 2 else (8 if wire == 1 else 4, at)
            if size > end - at:
                raise ValueError(f"a field at byte {at:,} ends behind its message; the file is cut or damaged")
            yield number, wire, at, at + size
            at += size

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = shift = 0
        while at < end and shift < 70:
            byte = self._data[at]
            value |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if byte < 0x80:
                return value, at
        raise ValueError(f"a number at byte {at:,} does not end; the file is cut or damaged")


def _signed(value: int) -> int:
    value &= 2**64 - 1
    return value - 2**64 if value >= 2**63 else value


def _port(row: dict[str, Any]) -> Port:
    kind = row.get("type", {}).get("tensor", {})
    dims = kind.get("shape", {}).get("dims", ())
    return Port(row.get("name", ""), kind.get("type", 0), tuple(dim.get("value", 0) for dim in dims))
