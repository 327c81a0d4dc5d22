"""Looks through an ONNX file before onnxruntime does: one file with everything in it, the operators that our encoders
have, and shapes that follow from the number of tokens and stay within bounds."""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from pathlib import Path

from copersona.runtime.common.errors import BundleError
from copersona.runtime.filecheck.onnx_operators import attributes_of
from copersona.runtime.filecheck.onnx_reader import Graph, Node, Port, read_graph
from copersona.runtime.filecheck.onnx_results import FLOAT, INT64
from copersona.runtime.filecheck.onnx_sizes import Follower

MAX_BYTES = 2 * 1024**3
MAX_NODES = 20_000
MAX_DIMENSIONS = 8
LENGTHS = 256  # the longest text, in tokens
IR_VERSIONS = range(4, 12)
OPSETS = range(13, 23)
DOMAINS = ("", "ai.onnx")
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
OUTPUT = "sentence_embedding"
ORT = b"ORTM"  # onnxruntime's own format, which none of these checks reads


@dataclass(frozen=True, slots=True)
class EncoderFacts:
    """What a checked encoder says of itself: its width E, and how many ids of tokens it knows."""

    width: int
    rows: int


def check_onnx(path: Path) -> EncoderFacts:
    """Read the whole graph and follow its shapes.

    Raises:
        BundleError: over 2 GiB, no protobuf or another format too, external data, an operator or a field that is not
            known, a division that may end the process, or shapes that are too large or depend on what the tokens are.
    """
    try:
        size = os.stat(path).st_size
        if not 0 < size <= MAX_BYTES:
            raise BundleError(f"{path}: {size:,} bytes, expected an ONNX file of at most 2 GiB")
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data[4:8] == ORT:
                raise ValueError("it is in onnxruntime's own format")
            return _check(read_graph(data))
    except (ValueError, OverflowError) as error:
        raise BundleError(f"{path}: no ONNX file that may be opened: {' '.join(str(error).split())}") from None
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror or error})") from None


def _check(graph: Graph) -> EncoderFacts:
    versions = [graph.opsets.get(domain, 0) for domain in DOMAINS if domain in graph.opsets]
    if graph.ir_version not in IR_VERSIONS or len(versions) != 1 or versions[0] not in OPSETS:
        raise ValueError(
            f"its version is {graph.ir_version}, that of its operators {versions}; these are not supported"
        )
    if not 0 < len(graph.nodes) <= MAX_NODES:
        raise ValueError(f"it has {len(graph.nodes):,} operators, expected 1 to {MAX_NODES:,}")
    names = [port.name for port in graph.inputs]
    constants = [tensor.name for tensor in graph.tensors]
    if not {"input_ids"} <= set(names) <= set(INPUTS) or len(set(names) | set(constants)) != len(names + constants):
        raise ValueError(f"its inputs are {names[:5]}, expected {', '.join(INPUTS)}, and each name once")
    for port in graph.inputs:
        _check_input(port)
    follower = Follower(LENGTHS, graph.tensors, names)
    for node in graph.nodes:
        _check_node(node)
        follower.follow(node)
    return EncoderFacts(_width(graph, follower), follower.needs().rows)


def _check_input(port: Port) -> None:
    if port.type != INT64 or len(port.shape) != 2 or port.shape[0] not in (0, 1) or port.shape[1]:
        raise ValueError(f"its input {port.name!r} is not of any number of tokens")


def _check_node(node: Node) -> None:
    known = attributes_of(node.op)
    if node.domain not in DOMAINS:
        raise ValueError(f"operators of the domain {node.domain[:80]!r}")
    if known is None:
        raise ValueError(f"the operator {node.op[:80]!r} is none that encoders have")
    if not set(node.attributes) <= set(known):
        raise ValueError(f"{node.op} has the attributes {sorted(node.attributes)}, known are {sorted(known)}")


def _width(graph: Graph, follower: Follower) -> int:
    said = {port.name: port.shape for port in graph.outputs}
    found = {name: follower.found.get(name) for name in said}
    if None in found.values() or len(found) != len(graph.outputs):
        raise ValueError("a result is not made, or named twice")
    made = found.get(OUTPUT)
    if made is None or made.type != FLOAT or len(made.shape) != 2 or (made.shape[0] != 1).any():
        raise ValueError(f"no result {OUTPUT!r} of one vector")
    if made.shape[1].min() != made.shape[1].max():
        raise ValueError(f"the width of {OUTPUT!r} depends on the number of tokens")
    if said[OUTPUT][1:] != (int(made.shape[1][0]),):
        raise ValueError(f"{OUTPUT!r} is said to be {said[OUTPUT]}, its width is {int(made.shape[1][0])}")
    return int(made.shape[1][0])
