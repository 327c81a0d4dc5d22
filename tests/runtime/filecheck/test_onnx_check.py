"""An encoder is refused before onnxruntime sees it: what would end the process, take its memory, or read elsewhere."""

from __future__ import annotations

import json
import mmap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from copersona.runtime.common.errors import BundleError
from copersona.runtime.filecheck.onnx_check import LENGTHS, EncoderFacts, check_onnx
from copersona.runtime.filecheck.onnx_reader import read_graph
from copersona.runtime.filecheck.onnx_sizes import Follower
from copersona.runtime.profile.encoder import Encoder

from ...onnx_files import SIZES, TAIL, field, graph, mean_encoder, node, onnx_model, port, sized, tensor, whole
from ...small_bundle import tokenizer

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


def with_nodes(*nodes: bytes, **tensors: Any) -> bytes:
    return mean_encoder(nodes=nodes, tensors=tensors)


def divided(by: int) -> bytes:
    return with_nodes(node("Div", ["a", "b"], ["c"]), a=whole(INT64_MIN), b=whole(by))


def body(content: Any) -> bytes:
    """The graph of a whole file."""
    return graph([node("Gather", ["t", "input_ids"], ["sentence_embedding"], axis=0)], {"t": content}, 8)


SUBGRAPH = field(1, node("Identity", ["x"], ["y"])) + field(2, "inside") + field(12, port("y", "float32", (1,)))
EXTERNAL = tensor("table", np.zeros((4, 2), np.float32)) + field(13, field(1, "location") + field(2, "../../secret"))


def graph_with(part: bytes) -> bytes:
    return onnx_model(graph([], {}, 8) + part)


def chain(times: int) -> bytes:
    """Each result joined to itself: twice as long each time."""
    nodes = [node("Concat", [f"r{n}", f"r{n}"], [f"r{n + 1}"], axis=0) for n in range(times)]
    return with_nodes(node("Shape", ["input_ids"], ["r0"]), *nodes)


BAD = {
    "empty": (b"", "0 bytes"),
    "text": (b"not an onnx file", ""),
    "zeros": (bytes(100), "is not supported"),
    "no graph": (field(1, 8), "no graph"),
    "cut": (mean_encoder()[:-30], "cut or damaged"),
    "endless number": (b"\xff" * 50, "does not end"),
    "onnxruntime's own format": (mean_encoder()[:4] + b"ORTM" + mean_encoder()[8:], "onnxruntime's own format"),
    "external data": (graph_with(field(5, EXTERNAL)), "outside of the file"),
    "external marker": (graph_with(field(5, tensor("t", whole(1)) + field(14, 1))), "outside of the file"),
    "sparse": (graph_with(field(15, b"")), "sparse tensors"),
    "functions": (mean_encoder() + field(25, b""), "functions"),
    "training": (mean_encoder() + field(20, b""), "training"),
    "two graphs": (mean_encoder() + field(7, b""), "twice"),
    "a loop": (with_nodes(node("Loop", ["n", "", "x"], ["y"], body=SUBGRAPH), n=whole(2**62), x=whole(1)), "Loop"),
    "a branch": (with_nodes(node("If", ["n"], ["y"], then_branch=SUBGRAPH), n=np.array([True])), "as If and Loop do"),
    "foreign operators": (with_nodes(node("Add", ["one", "one"], ["y"], domain="evil.ops")), "domain 'evil.ops'"),
    "microsoft's operators": (with_nodes(node("Gelu", ["one"], ["y"], domain="com.microsoft")), "'com.microsoft'"),
    "another operator": (with_nodes(node("Mod", ["one", "one"], ["y"])), "operator 'Mod'"),
    "another attribute": (with_nodes(node("Add", ["one", "one"], ["y"], axis=1)), "attributes ['axis']"),
    "the smallest number by -1": (divided(-1), "0 or -1"),
    "a number by 0": (divided(0), "0 or -1"),
    "a number by what a token is": (
        with_nodes(node("Div", ["a", "input_ids"], ["c"]), a=whole(INT64_MIN)), "0 or -1",
    ),
    "a number by what wraps around": (
        with_nodes(node("Add", ["b", "b"], ["zero"]), node("Div", ["a", "zero"], ["c"]), a=whole(9), b=whole(2**62)),
        "0 or -1",
    ),
    "a number by what was rounded": (
        with_nodes(
            node("Sub", ["x", "y"], ["f"]), node("Cast", ["f"], ["i"], to=7), node("Div", ["a", "i"], ["c"]),
            a=whole(9), x=np.array([2**24 + 1], np.float64), y=np.array([2**24], np.float64),
        ),
        "0 or -1",
    ),
    "a constant of 4 GB": (
        with_nodes(node("ConstantOfShape", ["n"], ["y"], value=np.zeros(1, np.float32)), n=whole(2**30)), "more than",
    ),
    "a constant of what wraps around": (
        with_nodes(node("ConstantOfShape", ["n"], ["y"], value=np.zeros(1, np.float32)), n=whole(2**33, 2**33)), "more",
    ),
    "a constant as long as a token says": (
        with_nodes(node("ConstantOfShape", ["input_ids"], ["y"])), "depends on more",
    ),
    "spread to 4 GB": (with_nodes(node("Expand", ["one", "n"], ["y"]), n=whole(2**15, 2**15, 4)), "more than"),
    "spread as a token says": (with_nodes(node("Expand", ["one", "input_ids"], ["y"])), "depends on more"),
    "each with each": (
        with_nodes(
            node("Expand", ["one", "n"], ["row"]), node("Unsqueeze", ["row", "one"], ["column"]),
            node("Mul", ["row", "column"], ["y"]), n=whole(2**20),
        ),
        "more than",
    ),
    "doubled and doubled": (chain(40), "too much memory"),
    "many of a middle size": (
        with_nodes(*(node("Expand", ["one", "n"], [f"y{i}"]) for i in range(40)), n=whole(2**24)), "too much memory",
    ),
    "products without end": (
        with_nodes(
            node("Expand", ["f", "n"], ["m0"]), *(node("MatMul", [f"m{i}", "m0"], [f"m{i + 1}"]) for i in range(400)),
            f=np.ones(1, np.float32), n=whole(1024, 1024),
        ),
        "too long",
    ),
    "a range without end": (
        with_nodes(node("Range", ["a", "b", "c"], ["y"]), a=np.int64(0), b=np.int64(2**31 - 1), c=np.int64(1)), "more",
    ),
    "a tensor with too few numbers": (
        graph_with(field(5, field(1, 9) + field(2, 1) + field(8, "t") + field(9, b"\0" * 8))), "do not fit its shape",
    ),
    "a tensor of texts": (graph_with(field(5, field(1, 1) + field(2, 8) + field(8, "t"))), "type 8"),
    "a result twice": (with_nodes(node("Neg", ["one"], ["y"]), node("Neg", ["one"], ["y"])), "made twice"),
    "before it is made": (
        with_nodes(node("Neg", ["later"], ["y"]), node("Neg", ["one"], ["later"])), "before it is made",
    ),
    "an old version": (onnx_model(body(np.zeros((4, 2), np.float32)), opset=7), "not supported"),
    "no version": (onnx_model(body(np.zeros((4, 2), np.float32)), domain="evil"), "not supported"),
    "no vector": (onnx_model(body(np.zeros((4, 8), np.float32))), "no result 'sentence_embedding' of one vector"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_encoder_is_refused(tmp_path: Path, case: str) -> None:
    content, expected = BAD[case]
    path = tmp_path / "encoder.onnx"
    path.write_bytes(content)
    with pytest.raises(BundleError) as caught:
        check_onnx(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert expected in str(caught.value)


def written(folder: Path, content: bytes) -> tuple[Path, Path]:
    (folder / "encoder.onnx").write_bytes(content)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer()))
    return folder / "encoder.onnx", folder / "tokenizer.json"


def test_a_good_encoder_is_read_and_runs(tmp_path: Path) -> None:
    model, words = written(tmp_path, mean_encoder(rows=40, width=6))
    assert check_onnx(model) == EncoderFacts(width=6, rows=40)
    vector = Encoder(model, words).encode("a good guitar")
    assert vector.shape == (6,)
    assert np.linalg.norm(vector) == pytest.approx(1)


def test_the_width_that_is_said_must_be_the_one_that_is_made(tmp_path: Path) -> None:
    content = onnx_model(graph(TAIL, {"table": np.ones((9, 6), np.float32), "one": whole(1)}, 7))
    model, _ = written(tmp_path, content)
    with pytest.raises(BundleError, match="its width is 6"):
        check_onnx(model)


@pytest.mark.parametrize("case", SIZES)
def test_sizes_are_those_that_onnxruntime_finds(tmp_path: Path, case: str) -> None:
    import onnxruntime

    content = sized(case)
    path = tmp_path / "encoder.onnx"
    path.write_bytes(content)
    check_onnx(path)
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        read = read_graph(data)
    follower = Follower(LENGTHS, read.tensors, [one.name for one in read.inputs])
    for one in read.nodes:
        follower.follow(one)
    found = follower.found["y"].shape
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for length in (1, 2, 3, 7, 250):
        ids = np.ones((1, length), np.int64)
        (made,) = session.run(["y"], {"input_ids": ids, "attention_mask": ids})
        assert tuple(int(size[length - 1]) for size in found) == made.shape, length
