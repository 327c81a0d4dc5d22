"""The operators that our encoders have, with the attributes that each may have and how its results follow.

A division of whole numbers by 0, or of the smallest one by -1, ends the process: it must be known by what is divided.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from copersona.runtime.filecheck import onnx_moves as moves
from copersona.runtime.filecheck.onnx_reader import SMALL, TYPES, WHOLE, Node, Tensor
from copersona.runtime.filecheck.onnx_results import (
    BOOL,
    FLOAT,
    INT64,
    KNOWN,
    Operator,
    Result,
    Run,
    Taken,
    broadcast,
    need,
    numbers_of,
    reckoned,
    whole,
)


def _same(_: Run, node: Node, taken: Taken) -> tuple[Result, ...]:
    first = need(node, taken, 0)
    return (Result(first.type, first.shape),)


def _joined(compute: Callable[..., Any] | None, kind: int | None = None, first: int = 0) -> Any:
    """Element by element over inputs of which shapes are spread to fit; the type is that of input `first`."""

    def follow(graph: Run, node: Node, taken: Taken) -> tuple[Result, ...]:
        parts = [need(node, taken, place) for place in range(first + 2)]
        if len(taken) != len(parts):
            raise ValueError(f"{node.op}: {len(taken)} inputs, expected {len(parts)}")
        shape, type_ = broadcast(node, [part.shape for part in parts]), kind or parts[first].type
        if node.op == "Div" and type_ in WHOLE:
            by = parts[1].numbers
            if by is None or not ((by != 0) & (by != -1)).all():
                raise ValueError("Div: a division of whole numbers by what may be 0 or -1")
        known = len(shape) <= 1 and all(reckoned(part) for part in parts)
        numbers = compute(*(part.numbers for part in parts)) if compute and known else None
        made = Result(type_, shape, numbers)
        return (made if reckoned(made) else Result(type_, shape),)

    return follow


def _divided(above: Any, below: Any) -> Any:
    return np.trunc(above / below).astype(np.int64)


def _shape(graph: Run, node: Node, taken: Taken) -> tuple[Result, ...]:
    shape = need(node, taken, 0).shape
    numbers = np.stack(shape) if shape else np.empty((0, graph.lengths), np.int64)
    return (Result(INT64, (np.full(graph.lengths, len(shape)),), numbers),)


def _cast(_: Run, node: Node, taken: Taken) -> tuple[Result, ...]:
    first, kind = need(node, taken, 0), whole(node, "to", 0)
    if kind not in TYPES:
        raise ValueError(f"Cast: to the type {kind}, which is not supported")
    if kind not in KNOWN or not reckoned(first):
        return (Result(kind, first.shape),)
    return (Result(kind, first.shape, (first.numbers != 0).astype(np.int64) if kind == BOOL else first.numbers),)


def _constant(graph: Run, node: Node, taken: Taken) -> tuple[Result, ...]:
    value = node.attributes.get("value")
    if not isinstance(value, Tensor):
        raise ValueError("Constant: without a tensor")
    return (graph.constant(value),)


def _filled(graph: Run, node: Node, taken: Taken) -> tuple[Result, ...]:
    numbers, value = numbers_of(node, taken, 0), node.attributes.get("value")
    if isinstance(value, Tensor) and (value.numbers is None or len(value.numbers) != 1):
        raise ValueError("ConstantOfShape: is filled with more than one number")
    filled = value.numbers[0] if isinstance(value, Tensor) and value.numbers else 0.0
    result = Result(value.type if isinstance(value, Tensor) else FLOAT, tuple(numbers))
    if result.type not in KNOWN or len(numbers) != 1 or not 0 <= numbers.min() == numbers.max() <= SMALL:
        return (result,)
    return (result._replace(numbers=np.full((int(numbers.max()), graph.lengths), int(filled))),)


def _plain(*attributes: str) -> Operator:
    return Operator(attributes, _same)


OPERATORS: dict[str, Operator] = {
    "Add": Operator((), _joined(np.add)), "Sub": Operator((), _joined(np.subtract)),
    "Mul": Operator((), _joined(np.multiply)), "Div": Operator((), _joined(_divided)),
    "Pow": Operator((), _joined(None)), "Min": Operator((), _joined(np.minimum)),
    "Equal": Operator((), _joined(lambda a, b: (a == b).astype(np.int64), BOOL)),
    "Less": Operator((), _joined(lambda a, b: (a < b).astype(np.int64), BOOL)),
    "And": Operator((), _joined(None, BOOL)), "Not": _plain(),
    "Where": Operator((), _joined(lambda a, b, c: np.where(a != 0, b, c), None, 1)),
    "Cast": Operator(("to",), _cast), "Constant": Operator(("value",), _constant),
    "ConstantOfShape": Operator(("value",), _filled), "Shape": Operator((), _shape),
    "Concat": Operator(("axis",), moves.concat), "Gather": Operator(("axis",), moves.gather),
    "Reshape": Operator(("allowzero",), moves.reshape), "Expand": Operator((), moves.expand),
    "Slice": Operator((), moves.sliced), "Squeeze": Operator((), moves.squeeze),
    "Transpose": Operator(("perm",), moves.transpose), "Unsqueeze": Operator((), moves.unsqueeze),
    "MatMul": Operator((), moves.product), "MatMulInteger": Operator((), moves.product),
    "DynamicQuantizeLinear": Operator((), moves.quantised), "DequantizeLinear": Operator((), moves.spread),
    "ReduceSum": Operator(("keepdims", "axes"), moves.reduced),
    "ReduceMean": Operator(("keepdims", "axes"), moves.reduced),
    "ReduceL2": Operator(("keepdims", "axes"), moves.reduced),
    "Softmax": _plain("axis"), "LayerNormalization": Operator(("epsilon", "axis"), moves.normed),
    "Clip": _plain(), "Erf": _plain(), "Sqrt": _plain(), "Tanh": _plain(), "Relu": _plain(), "Abs": _plain(),
    "Neg": _plain(), "Log": _plain(), "CumSum": _plain("exclusive", "reverse"), "Identity": Operator((), moves.kept),
    "Range": Operator((), moves.counted), "GatherElements": Operator(("axis",), moves.picked),
    "ArgMax": Operator(("axis", "keepdims", "select_last_index"), moves.reduced),
}  # fmt: skip


def attributes_of(op: str) -> tuple[str, ...] | None:
    """The attributes that an operator may have; None where it is not known here."""
    return OPERATORS[op].attributes if op in OPERATORS else None
