"""What a graph will need before it runs: every size of every result, for each length of a text at once.

The graphs that the export writes compute their shapes from the number of tokens and from constants alone, never from
what the tokens are. So shapes can be followed operator by operator, in plain numbers, for all lengths up to the
longest; a graph whose shapes cannot be followed is refused. What is known too: whether a division is one of whole
numbers, and by what, for the processor ends the process over some of these.

Sizes are arrays (N,) int64, one entry for each length 1 to N; numbers are arrays (elements, N).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from copersona.runtime.filecheck.onnx_operators import OPERATORS
from copersona.runtime.filecheck.onnx_reader import TYPES, Node, Tensor
from copersona.runtime.filecheck.onnx_results import INT64, KNOWN, Result

MAX_RESULT = 2**28  # bytes of one result
MAX_RESULTS = 2**31  # bytes of all results together
MAX_PRODUCTS = 2**38  # multiplications in all matrix products


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
        made = OPERATORS[node.op].follow(self, node, taken)
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
