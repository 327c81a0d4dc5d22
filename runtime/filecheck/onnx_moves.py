"""How the sizes of results follow where an operator moves, joins or picks what it takes."""

from __future__ import annotations

from typing import Any

import numpy as np

from copersona.runtime.filecheck.onnx_reader import SMALL, Node
from copersona.runtime.filecheck.onnx_results import (
    FLOAT,
    INT32,
    INT64,
    UINT8,
    Result,
    Run,
    Taken,
    axis_of,
    broadcast,
    fixed,
    need,
    numbers_of,
    reckoned,
    whole,
)


def concat(graph: Run, node: Node, taken: Taken) -> tuple[Result, ...]:
    parts = [need(node, taken, place) for place in range(len(taken))]
    rank = len(need(node, taken, 0).shape)
    axis = axis_of(node, rank, whole(node, "axis", 0))
    if any(len(part.shape) != rank for part in parts):
        raise ValueError("Concat: of tensors of different dimensions")
    shape = list(parts[0].shape)
    for part in parts[1:]:
        if any((a != b).any() for place, (a, b) in enumerate(zip(shape, part.shape, strict=True)) if place != axis):
            raise ValueError("Concat: sizes that do not fit each other")
        shape[axis] = shape[axis] + part.shape[axis]
    known = rank == 1 and all(part.numbers is not None for part in parts)
    joined: Any = np.concatenate([part.numbers for part in parts]) if known else ()
    return (Result(parts[0].type, tuple(shape), joined if 0 < len(joined) <= SMALL else None),)


def gather(graph: Run, node: Node, taken: Taken) -> tuple[Result, ...]:
    data, index = need(node, taken, 0), need(node, taken, 1)
    axis = axis_of(node, len(data.shape), whole(node, "axis", 0))
    shape = (*data.shape[:axis], *index.shape, *data.shape[axis + 1 :])
    if data.numbers is None or index.numbers is None or len(shape) > 1:
        return (Result(data.type, shape),)
    count = len(data.numbers)
    if not ((index.numbers >= -count) & (index.numbers < count)).all():
        raise ValueError("Gather: a place that is not there")
    return (Result(data.type, shape, np.take_along_axis(data.numbers, index.numbers.astype(np.int64) % count, axis=0)),)


def reshape(graph: Run, node: Node, taken: Taken) -> tuple[Result, ...]:
    data, wanted = need(node, taken, 0), numbers_of(node, taken, 1)
    elements = data.elements * np.ones(graph.lengths, np.int64)
    sizes: list[Any] = []
    for place, size in enumerate(wanted):
        kept = (size == 0) & (whole(node, "allowzero", 0) == 0)
        if kept.any() and place >= len(data.shape):
            raise ValueError("Reshape: keeps a size that is not there")
        sizes.append(np.where(kept, data.shape[place] if kept.any() else 0, size))
    rest = np.ones(graph.lengths)
    for size in sizes:
        rest = rest * np.where(size == -1, 1, size)
    if (rest < 1).any() or (rest > 2**53).any() or (sum((size == -1).astype(int) for size in sizes) > 1).any():
        raise ValueError("Reshape: to a shape that is none")
    open_ = elements // rest.astype(np.int64)
    shape = tuple(np.where(size == -1, open_, size) for size in sizes)
    made = Result(data.type, shape)
    if (made.elements != elements).any():
        raise ValueError("Reshape: to a shape of another number of elements")
    return (made._replace(numbers=data.numbers if len(shape) <= 1 else None),)


def expand(graph: Run, node: Node, taken: Taken) -> tuple[Result, ...]:
    data = need(node, taken, 0)
    return (Result(data.type, broadcast(node, [data.shape, tuple(numbers_of(node, taken, 1))])),)


def sliced(graph: Run, node: Node, taken: Taken) -> tuple[Result, ...]:
    data, starts, ends = need(node, taken, 0), numbers_of(node, taken, 1), numbers_of(node, taken, 2)
    rank, axes = len(data.shape), fixed(node, taken, 3, "axes")
    axes = [axis_of(node, rank, axis) for axis in (range(len(starts)) if axes is None else axes)]
    steps = fixed(node, taken, 4, "steps") or [1] * len(axes)
    if not len(starts) == len(ends) == len(axes) == len(steps) == len(set(axes)) or min(steps, default=1) < 1:
        raise ValueError("Slice: of other places than supported")
    shape, numbers = list(data.shape), data.numbers
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        size = shape[axis]
        low, high = (np.clip(np.where(at < 0, at + size, at), 0, size) for at in (start, end))
        shape[axis] = np.maximum(-(-(high - low) // step), 0)
        if numbers is not None:
            same = low.min() == low.max() and high.min() == high.max()
            numbers = numbers[int(low[0]) : int(high[0]) : step] if same else None
    return (Result(data.type, tuple(shape), numbers),)


def counted(graph: Run, node: Node, taken: Taken) -> tuple[Result, ...]:
    start, limit, step = (numbers_of(node, taken, place) for place in range(3))
    parts = [need(node, taken, place) for place in range(3)]
    if not all(reckoned(part) and not part.shape for part in parts) or (step == 0).any():
        raise ValueError("Range: of other numbers than supported")
    return (Result(parts[0].type, (np.maximum(-((start - limit) // step), 0)[0],)),)


def picked(graph: Run, node: Node, taken: Taken) -> tuple[Result, ...]:
    data, index = need(node, taken, 0), need(node, taken, 1)
    if len(data.shape) != len(index.shape):
        raise ValueError(f"{node.op}: of tensors of different dimensions")
    return (Result(data.type, index.shape),)


def kept(graph: Run, node: Node, taken: Taken) -> tuple[Result, ...]:
    return (need(node, taken, 0),)


def transpose(graph: Run, node: Node, taken: Taken) -> tuple[Result, ...]:
    data = need(node, taken, 0)
    order = node.attributes.get("perm", tuple(range(len(data.shape)))[::-1])
    if not isinstance(order, tuple) or sorted(order) != list(range(len(data.shape))):
        raise ValueError("Transpose: not an order of the dimensions")
    return (Result(data.type, tuple(data.shape[place] for place in order)),)


def unsqueeze(graph: Run, node: Node, taken: Taken) -> tuple[Result, ...]:
    data, axes = need(node, taken, 0), fixed(node, taken, 1, "axes")
    if not axes or len(axes) > 8:
        raise ValueError("Unsqueeze: without axes")
    rank, shape = len(data.shape) + len(axes), list(data.shape)
    places = sorted({axis_of(node, rank, axis) for axis in axes})
    if len(places) != len(axes):
        raise ValueError("Unsqueeze: an axis twice")
    for place in places:
        shape.insert(place, np.ones(graph.lengths, np.int64))
    return (Result(data.type, tuple(shape), data.numbers if rank <= 1 else None),)


def squeeze(graph: Run, node: Node, taken: Taken) -> tuple[Result, ...]:
    data, axes = need(node, taken, 0), fixed(node, taken, 1, "axes")
    gone = {axis_of(node, len(data.shape), axis) for axis in axes or ()}
    if not gone or any((data.shape[place] != 1).any() for place in gone):
        raise ValueError("Squeeze: of a size that is not 1")
    shape = tuple(size for place, size in enumerate(data.shape) if place not in gone)
    return (Result(data.type, shape, data.numbers),)


def reduced(graph: Run, node: Node, taken: Taken) -> tuple[Result, ...]:
    data, axes = need(node, taken, 0), fixed(node, taken, 1, "axes")
    if node.op == "ArgMax":
        data, axes = data._replace(type=INT64), [whole(node, "axis", 0)]
    rank, one = len(data.shape), np.ones(graph.lengths, np.int64)
    gone = {axis_of(node, rank, axis) for axis in (axes or range(rank))}
    sizes = [one if place in gone else size for place, size in enumerate(data.shape)]
    if not whole(node, "keepdims", 1):
        sizes = [size for place, size in enumerate(sizes) if place not in gone]
    return (Result(data.type, tuple(sizes)),)


def product(graph: Run, node: Node, taken: Taken) -> tuple[Result, ...]:
    left, right = need(node, taken, 0), need(node, taken, 1)
    if min(len(left.shape), len(right.shape)) < 2 or (left.shape[-1] != right.shape[-2]).any():
        raise ValueError(f"{node.op}: of tensors that do not fit each other")
    many = broadcast(node, [left.shape[:-2], right.shape[:-2]]) if len(left.shape) + len(right.shape) > 4 else ()
    shape = (*many, left.shape[-2], right.shape[-1])
    count = 1.0
    for size in (*shape, left.shape[-1]):
        count *= float(size.max())
    graph.multiply(int(count))
    return (Result(INT32 if node.op == "MatMulInteger" else left.type, shape),)


def quantised(graph: Run, node: Node, taken: Taken) -> tuple[Result, ...]:
    data = need(node, taken, 0)
    return Result(UINT8, data.shape), Result(FLOAT, ()), Result(UINT8, ())


def spread(graph: Run, node: Node, taken: Taken) -> tuple[Result, ...]:
    return (Result(FLOAT, need(node, taken, 0).shape),)


def normed(graph: Run, node: Node, taken: Taken) -> tuple[Result, ...]:
    data = need(node, taken, 0)
    axis = axis_of(node, len(data.shape), whole(node, "axis", -1))
    for place in range(1, len(taken)):
        if len(need(node, taken, place).shape) != len(data.shape) - axis:
            raise ValueError(f"{node.op}: weights of other dimensions")
    return (Result(data.type, data.shape),)
