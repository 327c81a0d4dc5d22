"""What is known of a tensor before a graph runs, and the inputs and attributes of an operator read with care.

Sizes are arrays (N,) int64, one entry for each length 1 to N; numbers are arrays (elements, N).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from copersona.runtime.common.arrays import I64
from copersona.runtime.filecheck.onnx_reader import Node, Tensor

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


class Run(Protocol):
    """What an operator needs of the graph that it stands in."""

    lengths: int

    def multiply(self, count: int) -> None:
        """Count multiplications. Raises ValueError where they are too many."""

    def constant(self, tensor: Tensor) -> Result:
        """A tensor of the file as a result."""


Taken = Sequence[Result | None]


class Operator(NamedTuple):
    """The attributes that an operator may have, and how its results follow."""

    attributes: tuple[str, ...]
    follow: Callable[[Run, Node, Taken], tuple[Result, ...]]


def reckoned(part: Result) -> bool:
    """Whether its numbers are known and small enough to reckon with."""
    return part.type in KNOWN and part.numbers is not None and not (np.abs(part.numbers) > LARGEST).any()


def need(node: Node, taken: Taken, place: int) -> Result:
    found = taken[place] if place < len(taken) else None
    if found is None:
        raise ValueError(f"{node.op}: its input {place} is missing")
    return found


def numbers_of(node: Node, taken: Taken, place: int) -> Any:
    """The numbers of an input that says a shape or a place: (elements, N)."""
    found = need(node, taken, place)
    if found.numbers is None or found.type not in (INT32, INT64):
        raise ValueError(f"{node.op}: a shape that depends on more than the number of tokens")
    return found.numbers


def fixed(node: Node, taken: Taken, place: int, name: str) -> list[int] | None:
    """Numbers that are the same for all lengths, from an input or, in older forms, from an attribute."""
    if name in node.attributes:
        value = node.attributes[name]
        return list(value) if isinstance(value, tuple) else None
    if place >= len(taken) or taken[place] is None:
        return None
    numbers = numbers_of(node, taken, place)
    if (numbers != numbers[:, :1]).any():
        raise ValueError(f"{node.op}: {name} that depend on the number of tokens")
    return [int(number) for number in numbers[:, 0]]


def whole(node: Node, name: str, default: int) -> int:
    value = node.attributes.get(name, default)
    if not isinstance(value, int):
        raise ValueError(f"{node.op}: {name} is no whole number")
    return value


def axis_of(node: Node, rank: int, axis: int) -> int:
    if not -rank <= axis < rank:
        raise ValueError(f"{node.op}: axis {axis} of {rank} dimensions")
    return axis % rank


def broadcast(node: Node, shapes: Sequence[Sizes]) -> Sizes:
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
