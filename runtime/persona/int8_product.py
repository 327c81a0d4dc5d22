"""One unsigned row times a matrix of signed bytes, by ONNX Runtime: numpy multiplies bytes one by one.

The model is a single MatMulInteger, written here as protobuf, as the runtime has no other use for the package `onnx`.
Its operands are an unsigned row and a signed matrix with the long side inside: the one form for which ONNX Runtime
streams the matrix once (with two signed operands it took 25 times as long).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from copersona.runtime.common.arrays import I32

U8 = NDArray[np.uint8]
I8 = NDArray[np.int8]

LEVELS = 127
"""Largest entry of the row. Processors without VNNI add two products in 16 bits: 2 x 127 x 127 still fits."""

UINT8, INT8, INT32 = 2, 3, 6  # onnx.TensorProto.DataType


class Int8Product:
    """Made once; loads ONNX Runtime."""

    def __init__(self) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session: Any = onnxruntime.InferenceSession(model(), options, providers=["CPUExecutionProvider"])

    def __call__(self, row: U8, matrix: I8) -> I32:
        """(D,) uint8 up to LEVELS times (D, U) int8 -> (U,) int32, exact."""
        products: I32 = self._session.run(None, {"row": row[None], "matrix": matrix})[0][0]
        return products


def model() -> bytes:
    """The ONNX file; numbers of fields are those of onnx.proto."""
    node = _field(1, b"row") + _field(1, b"matrix") + _field(2, b"products") + _field(4, b"MatMulInteger")
    graph = _field(1, node) + _field(2, b"product")
    graph += _field(11, _tensor(b"row", UINT8, 1, b"d")) + _field(11, _tensor(b"matrix", INT8, b"d", b"u"))
    graph += _field(12, _tensor(b"products", INT32, 1, b"u"))
    return _field(1, 8) + _field(7, graph) + _field(8, _field(2, 13))


def _tensor(name: bytes, kind: int, *shape: int | bytes) -> bytes:
    """A ValueInfoProto: sizes are numbers or names."""
    sizes = b"".join(_field(1, _field(1 if isinstance(size, int) else 2, size)) for size in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, kind) + _field(2, sizes)))


def _field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])
