"""Looks inside the files of a verified bundle without loading them: are they what they should be, do they fit together?

Each check reads a header with bounds of its own, so that no parser of others meets a hostile or mixed file first. The
numbers found are compared with the shapes of the manifest; an error names both.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from copersona.runtime.bundle.graph_file import check_graph_db
from copersona.runtime.bundle.guard import read_guard
from copersona.runtime.bundle.manifest import AGAIN, MANIFEST, Manifest, Shapes
from copersona.runtime.bundle.said import check_settings, context_length
from copersona.runtime.bundle.signature import signer
from copersona.runtime.common.errors import BundleError, FacetError, ModelError
from copersona.runtime.common.hashes import CheckedHashes, file_sha256
from copersona.runtime.engine.turns import TurnTokens, read_turns
from copersona.runtime.filecheck.array_check import TensorShapes, check_npy, must_agree, read_tensor_shapes
from copersona.runtime.filecheck.tokenizer_check import check_tokenizer
from copersona.runtime.filecheck.values import bounded
from copersona.runtime.persona.graph import map_vectors
from copersona.runtime.profile.facets import FacetSchema, read_schema
from copersona.runtime.profile.profiler import Centring

CHECKS = "checks 5"  # raise it when a part is checked in another way, here or in the modules of its format
MOST_UNIT = 2.0  # of a number in a centred unit vector, which float16 has rounded
MOST_MEAN = 16.0
MOST_MEMORY = 2 << 30  # bytes that a context may take beside the model, or twice the model's size


def check_parts(folder: Path | str, manifest: Manifest) -> TensorShapes:
    """Check every part of the bundle against its format and the manifest's shapes; the tensors of the personalizer,
    none where nothing is trained.

    Raises:
        BundleError: a part is damaged, or does not fit the manifest; the message names the file and both numbers.
    """
    from copersona.runtime.filecheck.onnx_check import check_onnx  # not at a start that checks nothing

    shapes = manifest.shapes
    check_settings(manifest)
    schema = _check_facets(manifest.path(folder, "facets"), shapes)
    _check_vectors(manifest.path(folder, "peers"), (shapes.facets, shapes.peers, shapes.width))
    _check_vectors(manifest.path(folder, "anchors"), (shapes.peers, shapes.width))
    check_graph_db(manifest.path(folder, "graph"), shapes.peers, schema.names)
    tensors = check_personalizer(manifest.path(folder, "personalizer"), shapes) if manifest.trained else {}
    if manifest.file("arrays") is not None:
        check_means(manifest.path(folder, "arrays"), shapes)
    encoder = check_onnx(path := manifest.path(folder, "encoder"))
    must_agree(path, "the encoder's width and the features", encoder.width + len(schema.features), shapes.width)
    check_tokenizer(manifest.path(folder, "encoder_tokenizer"), encoder.rows)
    layers = _check_model(manifest.path(folder, "model"), manifest)
    read_guard(folder, manifest, layers)
    return tensors


def check_parts_once(folder: Path | str, manifest: Manifest, *, full: bool = False, cache: Path | None = None) -> None:
    """`signer` and `check_parts` of a verified bundle, unless `cache` (as `bundle.verify` has it) remembers that the
    same manifest's parts passed, by these checks. `full` checks again.

    Raises:
        BundleError: as these two.
    """
    path, hashes = Path(folder) / MANIFEST, CheckedHashes(cache)
    found = file_sha256(path)
    passed = f"{CHECKS} {found.sha256}"
    if not full and hashes.knows(path, os.lstat(path), passed):
        return
    signer(folder, manifest)
    check_parts(folder, manifest)
    hashes.remember(path, replace(found, sha256=passed))
    hashes.save()


def _check_facets(path: Path, shapes: Shapes) -> FacetSchema:
    try:
        found = read_schema(path)
    except FacetError as error:
        raise BundleError(str(error)) from None
    must_agree(path, "facets", len(found), shapes.facets)
    return found


def _check_vectors(path: Path, shape: tuple[int, ...]) -> None:
    check_npy(path, shape)
    try:
        bounded("it", map_vectors(path, len(shape)), MOST_UNIT)
    except ValueError as error:
        raise BundleError(f"{path}: {error}; export the bundle again") from None


def check_means(path: Path, shapes: Shapes) -> Centring:
    """The means of the layers and the placeholder, (M, D) float32 each. Raises BundleError."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    shape = (shapes.facets, shapes.width)
    found = read_tensor_shapes(path)
    if found != {"means": shape, "placeholder": shape}:
        raise BundleError(f"{path}: holds {dict(found)}, expected means and placeholder of {shape}; {AGAIN}")
    try:
        arrays = load_file(path)
        for name, array in arrays.items():
            if array.dtype != np.float32:
                raise ValueError(f"{name} is {array.dtype}, expected float32")
            bounded(name, array, MOST_MEAN)
    except (OSError, SafetensorError, ValueError) as error:
        raise BundleError(f"{path}: {error}; {AGAIN}") from None
    return Centring(arrays["means"], arrays["placeholder"])


def _check_model(path: Path, manifest: Manifest) -> int:
    """How many layers it has."""
    from copersona.runtime.engine.model_memory import context_memory
    from copersona.runtime.filecheck.gguf_any import check_any_gguf
    from copersona.runtime.filecheck.gguf_check import check_gguf

    try:
        found = check_gguf(path) if manifest.trained else check_any_gguf(path)
    except ModelError as error:
        raise BundleError(str(error)) from None
    must_agree(path, "the model's width", found.width, manifest.shapes.hidden)
    manifest_turns(manifest, found.vocabulary)
    most = max(MOST_MEMORY, 2 * os.path.getsize(path))
    if (needed := context_memory(found, context_length(manifest))) > most:
        raise BundleError(
            f"{MANIFEST}: context_length is {context_length(manifest):,}, with which {path} needs {needed >> 20:,} MiB "
            f"for prompts, at most {most >> 20:,} are allowed; make the bundle with less"
        )
    return found.layers


def manifest_turns(manifest: Manifest, vocabulary: int) -> TurnTokens | None:
    """The turns in which a bundle's prompts are written, for a model of that many tokens; None where the manifest has
    none, as those of before turns were data: these are ChatML.

    Raises:
        BundleError: they are no turns of this vocabulary.
    """
    if "turns" not in manifest.settings:
        return None
    try:
        return read_turns(manifest.settings["turns"], vocabulary)
    except ValueError as error:
        raise BundleError(f"{MANIFEST}: {error}; {AGAIN}") from None


def check_personalizer(path: Path, shapes: Shapes) -> TensorShapes:
    """The personalizer's tensors by name, with exactly the shapes that M, D, L and H ask for. Raises BundleError."""
    from copersona.runtime.persona.personalizer import tensor_shapes

    found = read_tensor_shapes(path)
    graph, hidden = (found.get(name, (0,))[0] if found.get(name) else 0 for name in ("graph_bias", "hidden_bias"))
    expected = tensor_shapes(shapes.facets, shapes.width, graph, hidden, shapes.soft_tokens, shapes.hidden)
    for name in sorted(expected.keys() | found.keys()):
        must_agree(path, f"tensor {name!r}", found.get(name), expected.get(name))
    return found
