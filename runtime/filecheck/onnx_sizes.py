"""What a graph will need before it runs: every size of every result, for each length of a text at once.

The graphs that the export writes compute their shapes from the number of tokens and from constants alone, never from
what the tokens are. So shapes can be followed operator by operator, in plain numbers, for all lengths up to the
longest; a graph whose shapes cannot be followed is refused. What is known too: whether a division is one of whole
numbers, and by what, for the processor ends the process over some of these.

Sizes are arrays (N,) int64, one entry for each length 1 to N; numbers are arrays (elements, N).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from copersona.runtime.common.arrays import I64
from copersona.runtime.filecheck.onnx_reader import SMALL, TYPES, WHOLE, Node, Tensor

MAX_RESULT = 2**28  # bytes of one result
MAX_RESULTS = 2**31  # bytes of all results together
MAX_PRODUCTS = 2**38  # multiplications in all matrix products
FLOAT, UINT8, INT32, INT64, BOOL = 1, 2, 6, 7, 9
KNOWN = (INT32, INT64, BOOL)  # types of which numbers are followed
LARGEST = 2**31 - 1  # number that is reckoned with, so that nothing wraps around, neither here nor there

Sizes = tuple[I64, ...]


class Result(NamedTuple):
    """What is known of one tensor: type, sizes, and its whole numbers where these follow from the number of tokens.

    Numbers with a fraction are never followed: they are rounded in other ways here and there.
    """

    type: int
    shape: Sizes
    numbers: Any = None

    @property
    def elements(self) -> I64:
        """(N,) number of elements at each length."""
        count = np.ones(len(self.shape[0]) if self.shape else 1, np.int64)
        for size in self.shape:
            count = count * size
        return count


@dataclass(frozen=True, slots=True)
class Needs:
    """The most that a run can need, and how many rows the table of tokens has."""

    bytes: int
    products: int
    rows: int


class Follower:
    """Follows a graph's nodes in their order. Raises ValueError where a shape cannot be followed or is too large."""

    def __init__(self, lengths: int, tensors: Sequence[Tensor], inputs: Sequence[str]) -> None:
        self.lengths = lengths
        one, upto = np.ones(lengths, np.int64), np.arange(1, lengths + 1)
        self.found: dict[str, Result] = {name: Result(INT64, (one, upto)) for name in inputs}
        self.found |= {tensor.name: self._constant(tensor) for tensor in tensors}
        self.bytes = self.products = 0
        self.rows: list[int] = []

    def needs(self) -> Needs:
        """What all nodes so far need. Raises ValueError where no table is read by the tokens' ids."""
        if not self.rows:
            raise ValueError("no table of vectors is read by input_ids")
        return Needs(self.bytes, self.products, min(self.rows))

    def follow(self, node: Node) -> None:
        """Take up one node's results."""
        if not node.outputs or len(set(node.outputs)) != len(node.outputs):
            raise ValueError(f"{node.op}: results without names of their own")
        taken = [self.found[name] if name else None for name in node.inputs if self._there(name)]
        made = _OPERATORS[node.op].follow(self, node, taken)
        for name, result in zip(node.outputs, made, strict=False):
            if name in self.found:
                raise ValueError(f"{name!r} is made twice")
            self.found[name] = result
            if node.op != "Constant":
                self._count(node, result)
        if len(node.outputs) > len(made):
            raise ValueError(f"{node.op}: {len(node.outputs)} results, expected at most {len(made)}")
        if node.op == "Gather" and node.inputs[1] == "input_ids":
            self.rows.append(int(self.found[node.inputs[0]].shape[0].min()))

    def _there(self, name: str) -> bool:
        if name and name not in self.found:
            raise ValueError(f"{name!r} is used before it is made")
        return True

    def _count(self, node: Node, result: Result) -> None:
        size: Any = 1
        for part in result.shape:  # each factor is looked at, so that no product overflows
            if part.min() < (len(result.shape) > 1):
                raise ValueError(f"{node.op}: makes an empty tensor")
            if part.max() > MAX_RESULT or (size := size * part).max() > MAX_RESULT:
                raise ValueError(f"{node.op}: makes a tensor of more than {MAX_RESULT:,} elements")
        most = int(np.max(size)) * TYPES[result.type][0]
        self.bytes += most
        if most > MAX_RESULT or self.bytes > MAX_RESULTS:
            raise ValueError(f"{node.op}: its results, or all together, need too much memory")

    def multiply(self, count: int) -> None:
        """Count multiplications. Raises ValueError where they are too many."""
        self.products += count
        if self.products > MAX_PRODUCTS:
            raise ValueError("its matrix products would take too long")

    def constant(self, tensor: Tensor) -> Result:
        """A tensor of the file as a result."""
        return self._constant(tensor)

    def _constant(self, tensor: Tensor) -> Result:
        shape = tuple(np.full(self.lengths, size, np.int64) for size in tensor.shape)
        if tensor.numbers is None or len(tensor.shape) > 1 or tensor.type not in KNOWN:
            return Result(tensor.type, shape)
        numbers = np.array(tensor.numbers, np.int64).reshape(-1, 1)
        return Result(tensor.type, shape, np.broadcast_to(numbers, (len(numbers), self.lengths)))


Taken = Sequence[Result | None]


class Operator(NamedTuple):
    """The attributes that an operator may have, and how its results follow."""

    attributes: tuple[str, ...]
    follow: Callable[[Follower, Node, Taken], tuple[Result, ...]]


def attributes_of(op: str) -> tuple[str, ...] | None:
    """The attributes that an operator may have; None where it is not known here."""
    return _OPERATORS[op].attributes if op in _OPERATORS else None


# -- arguments --------------------------------------------------------------------------------------------------------


def _need(node: Node, taken: Taken, place: int) -> Result:
    found = taken[place] if place < len(taken) else None
    if found is None:
        raise ValueError(f"{node.op}: its input {place} is missing")
    return found


def _numbers(node: Node, taken: Taken, place: int) -> Any:
    """The numbers of an input that says a shape or a place: (elements, N)."""
    found = _need(node, taken, place)
    if found.numbers is None or found.type not in (INT32, INT64):
        raise ValueError(f"{node.op}: a shape that depends on more than the number of tokens")
    return found.numbers


def _fixed(node: Node, taken: Taken, place: int, name: str) -> list[int] | None:
    """Numbers that are the same for all lengths, from an input or, in older forms, from an attribute."""
    if name in node.attributes:
        value = node.attributes[name]
        return list(value) if isinstance(value, tuple) else None
    if place >= len(taken) or taken[place] is None:
        return None
    numbers = _numbers(node, taken, place)
    if (numbers != numbers[:, :1]).any():
        raise ValueError(f"{node.op}: {name} that depend on the number of tokens")
    return [int(number) for number in numbers[:, 0]]


def _whole(node: Node, name: str, default: int) -> int:
    value = node.attributes.get(name, default)
    if not isinstance(value, int):
        raise ValueError(f"{node.op}: {name} is no whole number")
    return value


def _axis(node: Node, rank: int, axis: int) -> int:
    if not -rank <= axis < rank:
        raise ValueError(f"{node.op}: axis {axis} of {rank} dimensions")
    return axis % rank


def _broadcast(node: Node, shapes: Sequence[Sizes]) -> Sizes:
    rank, found = max(map(len, shapes)), []
    for place in range(-rank, 0):
        size: Any = 1
        for shape in shapes:
            if -place <= len(shape):
                part = shape[place]
                if ((size != part) & (size != 1) & (part != 1)).any():
                    raise ValueError(f"{node.op}: sizes that do not fit each other")
                size = np.where(np.equal(size, 1), part, size)
        found.append(size)
    return tuple(found)


# -- operators --------------------------------------------------------------------------------------------------------


def _same(_: Follower, node: Node, taken: Taken) -> tuple[Result, ...]:
    first = _need(node, taken, 0)
    return (Result(first.type, first.shape),)


def _joined(compute: Callable[..., Any] | None, kind: int | None = None, first: int = 0) -> Any:
    """Element by element over inputs of which shapes are spread to fit; the type is that of input `first`."""

    def follow(graph: Follower, node: Node, taken: Taken) -> tuple[Result, ...]:
        parts = [_need(node, taken, place) for place in range(first + 2)]
        if len(taken) != len(parts):
            raise ValueError(f"{node.op}: {len(taken)} inputs, expected {len(parts)}")
        shape, type_ = _broadcast(node, [part.shape for part in parts]), kind or parts[first].type
        if node.op == "Div" and type_ in WHOLE:
            by = parts[1].numbers
            if by is None or not ((by != 0) & (by != -1)).all():
                raise ValueError("Div: a division of whole numbers by what may be 0 or -1")
        known = len(shape) <= 1 and all(_reckoned(part) for part in parts)
        numbers = compute(*(part.numbers for part in parts)) if compute and known else None
        made = Result(type_, shape, numbers)
        return (made if _reckoned(made) else Result(type_, shape),)

    return follow


def _reckoned(part: Result) -> bool:
    """Whether its numbers are known and small enough to reckon with."""
    return part.type in KNOWN and part.numbers is not None and not (np.abs(part.numbers) > LARGEST).any()


def _divided(above: Any, below: Any) -> Any:
    return np.trunc(above / below).astype(np.int64)


def _shape(graph: Follower, node: Node, taken: Taken) -> tuple[Result, ...]:
    shape = _need(node, taken, 0).shape
    numbers = np.stack(shape) if shape else np.empty((0, graph.lengths), np.int64)
    return (Result(INT64, (np.full(graph.lengths, len(shape)),), numbers),)


def _cast(_: Follower, node: Node, taken: Taken) -> tuple[Result, ...]:
    first, kind = _need(node, taken, 0), _whole(node, "to", 0)
    if kind not in TYPES:
        raise ValueError(f"Cast: to the type {kind}, which is not supported")
    if kind not in KNOWN or not _reckoned(first):
        return (Result(kind, first.shape),)
    return (Result(kind, first.shape, (first.numbers != 0).astype(np.int64) if kind == BOOL else first.numbers),)


def _constant(graph: Follower, node: Node, taken: Taken) -> tuple[Result, ...]:
    value = node.attributes.get("value")
    if not isinstance(value, Tensor):
        raise ValueError("Constant: without a tensor")
    return (graph.constant(value),)


def _filled(graph: Follower, node: Node, taken: Taken) -> tuple[Result, ...]:
    numbers, value = _numbers(node, taken, 0), node.attributes.get("value")
    if isinstance(value, Tensor) and (value.numbers is None or len(value.numbers) != 1):
        raise ValueError("ConstantOfShape: is filled with more than one number")
    filled = value.numbers[0] if isinstance(value, Tensor) and value.numbers else 0.0
    result = Result(value.type if isinstance(value, Tensor) else FLOAT, tuple(numbers))
    if result.type not in KNOWN or len(numbers) != 1 or not 0 <= numbers.min() == numbers.max() <= SMALL:
        return (result,)
    return (result._replace(numbers=np.full((int(numbers.max()), graph.lengths), int(filled))),)


def _concat(graph: Follower, node: Node, taken: Taken) -> tuple[Result, ...]:
    parts = [_need(node, taken, place) for place in range(len(taken))]
    rank = len(_need(node, taken, 0).shape)
    axis = _axis(node, rank, _whole(node, "axis", 0))
    if any(len(part.shape) != rank for part in parts):
        raise ValueError("Concat: of tensors of different dimensions")
    shape = list(parts[0].shape)
    for part in parts[1:]:
        if any((a != b).any() for place, (a, b) in enumerate(zip(shape, part.shape, strict=True)) if place != axis):
            raise ValueError("Concat: sizes that do not fit each other")
        shape[axis] = shape[axis] + part.shape[axis]
    known = rank == 1 and all(part.numbers is not None for part in parts)
    numbers = np.concatenate([part.numbers for part in parts]) if known else None
    return (Result(parts[0].type, tuple(shape), numbers if known and len(numbers) <= SMALL else None),)


def _gather(graph: Follower, node: Node, taken: Taken) -> tuple[Result, ...]:
    data, index = _need(node, taken, 0), _need(node, taken, 1)
    axis = _axis(node, len(data.shape), _whole(node, "axis", 0))
    shape = (*data.shape[:axis], *index.shape, *data.shape[axis + 1 :])
    if data.numbers is None or index.numbers is None or len(shape) > 1:
        return (Result(data.type, shape),)
    count = len(data.numbers)
    if not ((index.numbers >= -count) & (index.numbers < count)).all():
        raise ValueError("Gather: a place that is not there")
    return (Result(data.type, shape, np.take_along_axis(data.numbers, index.numbers.astype(np.int64) % count, axis=0)),)


def _reshape(graph: Follower, node: Node, taken: Taken) -> tuple[Result, ...]:
    data, wanted = _need(node, taken, 0), _numbers(node, taken, 1)
    elements = data.elements * np.ones(graph.lengths, np.int64)
    sizes: list[Any] = []
    for place, size in enumerate(wanted):
        kept = (size == 0) & (_whole(node, "allowzero", 0) == 0)
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


def _expand(graph: Follower, node: Node, taken: Taken) -> tuple[Result, ...]:
    data = _need(node, taken, 0)
    return (Result(data.type, _broadcast(node, [data.shape, tuple(_numbers(node, taken, 1))])),)


def _slice(graph: Follower, node: Node, taken: Taken) -> tuple[Result, ...]:
    data, starts, ends = _need(node, taken, 0), _numbers(node, taken, 1), _numbers(node, taken, 2)
    rank, axes = len(data.shape), _fixed(node, taken, 3, "axes")
    axes = [_axis(node, rank, axis) for axis in (range(len(starts)) if axes is None else axes)]
    steps = _fixed(node, taken, 4, "steps") or [1] * len(axes)
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


def _range(graph: Follower, node: Node, taken: Taken) -> tuple[Result, ...]:
    start, limit, step = (_numbers(node, taken, place) for place in range(3))
    parts = [_need(node, taken, place) for place in range(3)]
    if not all(_reckoned(part) and not part.shape for part in parts) or (step == 0).any():
        raise ValueError("Range: of other numbers than supported")
    return (Result(parts[0].type, (np.maximum(-((start - limit) // step), 0)[0],)),)


def _picked(graph: Follower, node: Node, taken: Taken) -> tuple[Result, ...]:
    data, index = _need(node, taken, 0), _need(node, taken, 1)
    if len(data.shape) != len(index.shape):
        raise ValueError(f"{node.op}: of tensors of different dimensions")
    return (Result(data.type, index.shape),)


def _kept(graph: Follower, node: Node, taken: Taken) -> tuple[Result, ...]:
    return (_need(node, taken, 0),)


def _transpose(graph: Follower, node: Node, taken: Taken) -> tuple[Result, ...]:
    data = _need(node, taken, 0)
    order = node.attributes.get("perm", tuple(range(len(data.shape)))[::-1])
    if not isinstance(order, tuple) or sorted(order) != list(range(len(data.shape))):
        raise ValueError("Transpose: not an order of the dimensions")
    return (Result(data.type, tuple(data.shape[place] for place in order)),)


def _unsqueeze(graph: Follower, node: Node, taken: Taken) -> tuple[Result, ...]:
    data, axes = _need(node, taken, 0), _fixed(node, taken, 1, "axes")
    if not axes or len(axes) > 8:
        raise ValueError("Unsqueeze: without axes")
    rank, shape = len(data.shape) + len(axes), list(data.shape)
    places = sorted({_axis(node, rank, axis) for axis in axes})
    if len(places) != len(axes):
        raise ValueError("Unsqueeze: an axis twice")
    for place in places:
        shape.insert(place, np.ones(graph.lengths, np.int64))
    return (Result(data.type, tuple(shape), data.numbers if rank <= 1 else None),)


def _squeeze(graph: Follower, node: Node, taken: Taken) -> tuple[Result, ...]:
    data, axes = _need(node, taken, 0), _fixed(node, taken, 1, "axes")
    gone = {_axis(node, len(data.shape), axis) for axis in axes or ()}
    if not gone or any((data.shape[place] != 1).any() for place in gone):
        raise ValueError("Squeeze: of a size that is not 1")
    shape = tuple(size for place, size in enumerate(data.shape) if place not in gone)
    return (Result(data.type, shape, data.numbers),)


def _reduced(graph: Follower, node: Node, taken: Taken) -> tuple[Result, ...]:
    data, axes = _need(node, taken, 0), _fixed(node, taken, 1, "axes")
    if node.op == "ArgMax":
        data, axes = data._replace(type=INT64), [_whole(node, "axis", 0)]
    rank, one = len(data.shape), np.ones(graph.lengths, np.int64)
    gone = {_axis(node, rank, axis) for axis in (axes or range(rank))}
    sizes = [one if place in gone else size for place, size in enumerate(data.shape)]
    if not _whole(node, "keepdims", 1):
        sizes = [size for place, size in enumerate(sizes) if place not in gone]
    return (Result(data.type, tuple(sizes)),)


def _product(graph: Follower, node: Node, taken: Taken) -> tuple[Result, ...]:
    left, right = _need(node, taken, 0), _need(node, taken, 1)
    if min(len(left.shape), len(right.shape)) < 2 or (left.shape[-1] != right.shape[-2]).any():
        raise ValueError(f"{node.op}: of tensors that do not fit each other")
    many = _broadcast(node, [left.shape[:-2], right.shape[:-2]]) if len(left.shape) + len(right.shape) > 4 else ()
    shape = (*many, left.shape[-2], right.shape[-1])
    count = 1.0
    for size in (*shape, left.shape[-1]):
        count *= float(size.max())
    graph.multiply(int(count))
    return (Result(INT32 if node.op == "MatMulInteger" else left.type, shape),)


def _quantised(graph: Follower, node: Node, taken: Taken) -> tuple[Result, ...]:
    data = _need(node, taken, 0)
    return Result(UINT8, data.shape), Result(FLOAT, ()), Result(UINT8, ())


def _spread(graph: Follower, node: Node, taken: Taken) -> tuple[Result, ...]:
    return (Result(FLOAT, _need(node, taken, 0).shape),)


def _normed(graph: Follower, node: Node, taken: Taken) -> tuple[Result, ...]:
    data = _need(node, taken, 0)
    axis = _axis(node, len(data.shape), _whole(node, "axis", -1))
    for place in range(1, len(taken)):
        if len(_need(node, taken, place).shape) != len(data.shape) - axis:
            raise ValueError(f"{node.op}: weights of other dimensions")
    return (Result(data.type, data.shape),)


def _plain(*attributes: str) -> Operator:
    return Operator(attributes, _same)


_OPERATORS: dict[str, Operator] = {
    "Add": Operator((), _joined(np.add)), "Sub": Operator((), _joined(np.subtract)),
    "Mul": Operator((), _joined(np.multiply)), "Div": Operator((), _joined(_divided)),
    "Pow": Operator((), _joined(None)), "Min": Operator((), _joined(np.minimum)),
    "Equal": Operator((), _joined(lambda a, b: (a == b).astype(np.int64), BOOL)),
    "Less": Operator((), _joined(lambda a, b: (a < b).astype(np.int64), BOOL)),
    "And": Operator((), _joined(None, BOOL)), "Not": _plain(),
    "Where": Operator((), _joined(lambda a, b, c: np.where(a != 0, b, c), None, 1)),
    "Cast": Operator(("to",), _cast), "Constant": Operator(("value",), _constant),
    "ConstantOfShape": Operator(("value",), _filled), "Shape": Operator((), _shape),
    "Concat": Operator(("axis",), _concat), "Gather": Operator(("axis",), _gather),
    "Reshape": Operator(("allowzero",), _reshape), "Expand": Operator((), _expand), "Slice": Operator((), _slice),
    "Transpose": Operator(("perm",), _transpose), "Unsqueeze": Operator((), _unsqueeze),
    "Squeeze": Operator((), _squeeze), "MatMul": Operator((), _product), "MatMulInteger": Operator((), _product),
    "DynamicQuantizeLinear": Operator((), _quantised), "DequantizeLinear": Operator((), _spread),
    "ReduceSum": Operator(("keepdims", "axes"), _reduced), "ReduceMean": Operator(("keepdims", "axes"), _reduced),
    "ReduceL2": Operator(("keepdims", "axes"), _reduced),
    "Softmax": _plain("axis"), "LayerNormalization": Operator(("epsilon", "axis"), _normed),
    "Clip": _plain(), "Erf": _plain(), "Sqrt": _plain(), "Tanh": _plain(), "Relu": _plain(), "Abs": _plain(),
    "Neg": _plain(), "Log": _plain(), "CumSum": _plain("exclusive", "reverse"), "Identity": Operator((), _kept),
    "Range": Operator((), _range), "GatherElements": Operator(("axis",), _picked),
    "ArgMax": Operator(("axis", "keepdims", "select_last_index"), _reduced),
}  # fmt: skip
