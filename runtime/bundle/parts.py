"""Looks inside the files of a verified bundle without loading them: are they what they should be, do they fit together?

Each check reads a header with bounds of its own, so that no parser of others meets a hostile or mixed file first. The
numbers found are compared with the shapes of the manifest; an error names both.
"""

from __future__ import annotations

import json
import os
import sqlite3
from dataclasses import replace
from pathlib import Path

from copersona.runtime.bundle.manifest import AGAIN, MANIFEST, Manifest, Shapes
from copersona.runtime.common.errors import BundleError, FacetError, ModelError
from copersona.runtime.common.hashes import CheckedHashes, file_sha256
from copersona.runtime.engine.turns import TurnTokens, read_turns
from copersona.runtime.filecheck.array_check import TensorShapes, check_npy, must_agree, read_tensor_shapes
from copersona.runtime.filecheck.onnx_check import check_onnx
from copersona.runtime.profile.facets import read_schema

CHECKS = "checks 3"  # raise it when a part is checked in another way, here or in the modules of its format
GRAPH_ID = 0x436F5072  # "CoPr"
GRAPH_PRAGMAS = (
    "PRAGMA trusted_schema=OFF",
    "PRAGMA cell_size_check=ON",
    "PRAGMA mmap_size=0",
    "PRAGMA query_only=ON",
)


def check_parts(folder: Path | str, manifest: Manifest) -> TensorShapes:
    """Check every part of the bundle against its format and the manifest's shapes; the tensors of the personalizer,
    none where nothing is trained.

    Raises:
        BundleError: a part is damaged, or does not fit the manifest; the message names the file and both numbers.
    """
    shapes = manifest.shapes
    _check_facets(manifest.path(folder, "facets"), shapes)
    check_npy(manifest.path(folder, "peers"), (shapes.facets, shapes.peers, shapes.width))
    check_npy(manifest.path(folder, "anchors"), (shapes.peers, shapes.width))
    check_graph_db(manifest.path(folder, "graph"), shapes.peers)
    tensors = check_personalizer(manifest.path(folder, "personalizer"), shapes) if manifest.trained else {}
    if (arrays := manifest.file("arrays")) and arrays.path.endswith(".safetensors"):
        read_tensor_shapes(manifest.path(folder, "arrays"))
    check_onnx(manifest.path(folder, "encoder"))
    _check_json(manifest.path(folder, "encoder_tokenizer"))
    _check_model(manifest.path(folder, "model"), manifest)
    return tensors


def check_parts_once(folder: Path | str, manifest: Manifest, *, full: bool = False, cache: Path | None = None) -> None:
    """`check_parts` of a verified bundle, unless `cache` (as `bundle.verify` has it) remembers that the same manifest's
    parts passed, by these checks. `full` checks again.

    Raises:
        BundleError: as `check_parts`.
    """
    path, hashes = Path(folder) / MANIFEST, CheckedHashes(cache)
    found = file_sha256(path)
    passed = f"{CHECKS} {found.sha256}"
    if not full and hashes.knows(path, os.lstat(path), passed):
        return
    check_parts(folder, manifest)
    hashes.remember(path, replace(found, sha256=passed))
    hashes.save()


def _check_facets(path: Path, shapes: Shapes) -> None:
    try:
        found = len(read_schema(path))
    except FacetError as error:
        raise BundleError(str(error)) from None
    must_agree(path, "facets", found, shapes.facets)


def _check_model(path: Path, manifest: Manifest) -> None:
    from copersona.runtime.filecheck.gguf_any import check_any_gguf
    from copersona.runtime.filecheck.gguf_check import check_gguf

    try:
        found = check_gguf(path) if manifest.trained else check_any_gguf(path)
    except ModelError as error:
        raise BundleError(str(error)) from None
    must_agree(path, "the model's width", found.width, manifest.shapes.hidden)
    manifest_turns(manifest, found.vocabulary)


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


def _check_json(path: Path) -> None:
    try:
        json.loads(
            path.read_text(encoding="utf-8")
        )  # of 700 KB nothing is used but by its own library, which reads it again
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{path}: not JSON that can be read ({error})") from None


def check_personalizer(path: Path, shapes: Shapes) -> TensorShapes:
    """The personalizer's tensors by name, with exactly the shapes that M, D, L and H ask for. Raises BundleError."""
    from copersona.runtime.persona.personalizer import tensor_shapes

    found = read_tensor_shapes(path)
    graph, hidden = (found.get(name, (0,))[0] if found.get(name) else 0 for name in ("graph_bias", "hidden_bias"))
    expected = tensor_shapes(shapes.facets, shapes.width, graph, hidden, shapes.soft_tokens, shapes.hidden)
    for name in sorted(expected.keys() | found.keys()):
        must_agree(path, f"tensor {name!r}", found.get(name), expected.get(name))
    return found


# -- graph ----------------------------------------------------------------------------------------------------------


def open_graph_db(path: Path | str) -> sqlite3.Connection:
    """The bundle's graph, opened so that nothing in it can be changed or run; the caller closes it.

    Raises:
        BundleError: the file cannot be opened.
    """
    try:
        database = sqlite3.connect(
            f"{Path(path).absolute().as_uri()}?mode=ro&immutable=1",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
        )
    except sqlite3.Error as error:
        raise BundleError(f"{path}: cannot be opened ({error})") from None
    try:
        for pragma in GRAPH_PRAGMAS:
            database.execute(pragma)
        database.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 16 * 1024 * 1024)
    except sqlite3.Error as error:
        database.close()
        raise BundleError(f"{path}: no SQLite file that can be opened ({error})") from None
    return database


def check_graph_db(path: Path, peers: int) -> None:
    """A whole SQLite file of ours: header, size, pages, plain tables only, and as many peers as expected.

    Raises:
        BundleError: it is damaged, another database, or holds another number of peers.
    """
    _check_graph_header(path)
    database = open_graph_db(path)
    try:
        found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise BundleError(f"{path}: damaged ({' '.join(found.split())}); fetch a whole copy")
        for name, kind, sql in database.execute("SELECT name, type, sql FROM sqlite_master"):
            if kind not in ("table", "index") or str(sql).upper().startswith("CREATE VIRTUAL"):
                raise BundleError(f"{path}: holds the {kind} {name!r}, expected plain tables only")
        count = database.execute("SELECT count(*) FROM peers").fetchone()[0]
    except sqlite3.Error as error:
        raise BundleError(f"{path}: damaged, or no persona graph ({error}); fetch a whole copy") from None
    finally:
        database.close()
    must_agree(path, "peers", count, peers)


def _check_graph_header(path: Path) -> None:
    try:
        with open(path, "rb") as file:
            head, size = file.read(100), os.fstat(file.fileno()).st_size
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror or error})") from None
    if len(head) < 100 or head[:16] != b"SQLite format 3\x00":
        raise BundleError(f"{path}: no SQLite file; export the bundle again")
    page = int.from_bytes(head[16:18], "big")
    page, pages = 65536 if page == 1 else page, int.from_bytes(head[28:32], "big")
    if page < 512 or page & (page - 1):
        raise BundleError(f"{path}: a page size of {page}, expected a power of two from 512 to 65536")
    if head[18:20] != b"\x01\x01":
        raise BundleError(
            f"{path}: written with a write-ahead log, expected journal_mode DELETE; export the bundle again"
        )
    if int.from_bytes(head[68:72], "big") != GRAPH_ID:
        raise BundleError(f"{path}: another program's database, expected a persona graph")
    must_agree(path, "bytes", size, page * pages)
