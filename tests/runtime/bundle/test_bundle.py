"""The bundle: what was exported is accepted, anything else is refused with one line that says which file and why."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from copersona.runtime.bundle.manifest import FileRow, bundle_id, population_id
from copersona.runtime.bundle.parts import check_parts, check_parts_once
from copersona.runtime.bundle.verify import (
    FORMAT_VERSION,
    MANIFEST,
    Manifest,
    Shapes,
    open_manifest,
    verify,
    write_manifest,
)
from copersona.runtime.common import hashes
from copersona.runtime.common.errors import BundleError, ModelError
from copersona.runtime.filecheck import gguf_check
from copersona.runtime.filecheck.gguf_check import check_gguf
from copersona.runtime.persona.graph import APPLICATION_ID, TABLES
from copersona.runtime.persona.personalizer import tensor_shapes
from copersona.runtime.profile.facets import (
    Facet,
    FacetProfile,
    FacetSchema,
    Feature,
    Reliability,
    profile_to_json,
    schema_to_json,
)

from ...onnx_files import mean_encoder
from ...small_bundle import tokenizer

SHAPES = Shapes(facets=2, peers=7, width=8, neighbors=3, soft_tokens=4, hidden=16)
ROLES = {
    "facets.json": "facets",
    "encoder.onnx": "encoder",
    "encoder_tokenizer.json": "encoder_tokenizer",
    "graph.sqlite": "graph",
    "peers.npy": "peers",
    "anchors.npy": "anchors",
    "personalizer.safetensors": "personalizer",
    "model.gguf": "model",
    "README.md": "card",
    "licences/model.txt": "licence",
}
SETTINGS = {
    "graph": {"threshold": 0.35, "cap": [1, 2]},
    "seeds": [0],
    "licences": {"model": "Apache-2.0 für alle"},
    "none": None,
}


def graph_db(path: Path) -> None:
    database = sqlite3.connect(path)
    database.executescript(f"PRAGMA application_id={APPLICATION_ID}; {TABLES}")
    labels = {"f0": Reliability.WEAK, "f1": Reliability.MODERATE}
    profile = profile_to_json([FacetProfile(name, "low", (), label, 0.4) for name, label in labels.items()])
    rows = [(n, f"p{n}", profile) for n in range(SHAPES.peers)]
    database.executemany("INSERT INTO peers VALUES (?, ?, '12', ?)", rows)
    database.commit()
    database.close()


def fill(folder: Path) -> None:
    draw = np.random.default_rng(0)
    ordinal = [Facet(f"f{n}", "", "ordinal", ("low", "high"), "", ("w",), (1.0,), (0.0,)) for n in range(SHAPES.facets)]
    schema = FacetSchema(tuple(ordinal), (Feature("w", "", 0.0, 1.0, 1.0, ("word",)),), 0.5)
    (folder / "facets.json").write_text(schema_to_json(schema))
    (folder / "encoder.onnx").write_bytes(mean_encoder(width=SHAPES.width - 1))
    (folder / "encoder_tokenizer.json").write_text(json.dumps(tokenizer()))
    graph_db(folder / "graph.sqlite")
    np.save(folder / "peers.npy", draw.random((SHAPES.facets, SHAPES.peers, SHAPES.width), dtype=np.float32))
    np.save(folder / "anchors.npy", draw.random((SHAPES.peers, SHAPES.width), dtype=np.float32))
    wanted = tensor_shapes(SHAPES.facets, SHAPES.width, 4, 6, SHAPES.soft_tokens, SHAPES.hidden)
    tensors = {name: draw.random(shape, dtype=np.float32) for name, shape in wanted.items()}
    save_file(tensors, folder / "personalizer.safetensors", {"made": "by a test"})
    (folder / "model.gguf").write_bytes(draw.bytes(5000))
    (folder / "README.md").write_text("# A card\n")
    (folder / "licences").mkdir()
    (folder / "licences" / "model.txt").write_text("Apache-2.0")


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "bundle"
    folder.mkdir()
    fill(folder)
    write_manifest(folder, ROLES, SHAPES, SETTINGS)
    return folder


@pytest.fixture
def bundle(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy that was written long enough ago for its hashes to be remembered."""
    monkeypatch.setenv("COPERSONA_HOME", str(tmp_path / "home"))
    folder = tmp_path / "bundle"
    shutil.copytree(original, folder)
    for path in folder.rglob("*"):
        os.utime(path, ns=(10**18, 10**18))
    return folder


def refused(bundle: Path, **options: Any) -> str:
    with pytest.raises(BundleError) as caught:
        verify(bundle, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def rewrite(bundle: Path, shapes: Shapes = SHAPES) -> Manifest:
    return write_manifest(bundle, ROLES, shapes, SETTINGS)


# -- manifest -------------------------------------------------------------------------------------------------------


def test_a_fresh_export_is_accepted(bundle: Path) -> None:
    manifest = verify(bundle)
    assert manifest == verify(bundle, full=True) == open_manifest(bundle)
    assert manifest.format_version == FORMAT_VERSION
    assert manifest.shapes == SHAPES
    assert manifest.settings == SETTINGS
    assert manifest.path(bundle, "model") == bundle / "model.gguf"
    assert {row.path: row.role for row in manifest.files} == ROLES
    assert manifest.file("items") is None
    with pytest.raises(BundleError, match="no 'items' file"):
        manifest.path(bundle, "items")


def test_the_id_is_that_of_the_files(bundle: Path) -> None:
    first = open_manifest(bundle)
    assert rewrite(bundle).bundle_id == first.bundle_id == bundle_id(tuple(reversed(first.files)))
    (bundle / "README.md").write_text("# Another card\n")
    assert rewrite(bundle).bundle_id != first.bundle_id


POPULATION = {"graph", "peers", "anchors", "arrays", "facets", "encoder", "encoder_tokenizer"}
OTHERS = {"model", "personalizer", "card", "licence", "items"}


def test_the_population_is_what_defines_it_and_nothing_else(bundle: Path) -> None:
    np.savez(bundle / "arrays.npz", one=np.ones(1))
    (bundle / "items.txt").write_text("words")
    roles = {**ROLES, "arrays.npz": "arrays", "items.txt": "items"}
    assert set(roles.values()) == POPULATION | OTHERS
    first = write_manifest(bundle, roles, SHAPES, SETTINGS)
    for path, role in roles.items():
        before = (bundle / path).read_bytes()
        (bundle / path).write_bytes(before + b" ")
        changed = write_manifest(bundle, roles, SHAPES, SETTINGS)
        assert changed.bundle_id != first.bundle_id
        assert (changed.population_id != first.population_id) == (role in POPULATION), role
        (bundle / path).write_bytes(before)
    ids = {write_manifest(bundle, roles, SHAPES, {**SETTINGS, "profiler": one}).population_id for one in (None, 1, 2)}
    assert len(ids) == 3
    assert first.population_id in ids  # a bundle that names no profiler
    other = write_manifest(bundle, roles, replace(SHAPES, hidden=8, soft_tokens=1), {"profiler": 1, "base": "another"})
    assert other.population_id == write_manifest(bundle, roles, SHAPES, {**SETTINGS, "profiler": 1}).population_id
    assert open_manifest(bundle).population_id in ids


rows = st.lists(
    st.tuples(st.sampled_from(sorted(POPULATION | OTHERS)), st.integers(0, 3), st.integers(0, 9), st.text("ab")),
    max_size=8,
)


@given(rows, rows, st.integers(0, 2), st.integers(0, 2), st.dictionaries(st.sampled_from(["base", "x"]), st.integers()))
def test_two_populations_are_one_where_roles_hashes_and_profiler_are(
    one: list[tuple[str, int, int, str]],
    other: list[tuple[str, int, int, str]],
    profiler: int,
    others_profiler: int,
    settings: dict[str, int],
) -> None:
    def id_of(listed: list[tuple[str, int, int, str]], profiler: int, settings: dict[str, int]) -> str:
        files = tuple(FileRow(path, role, size, f"{digest:064x}") for role, digest, size, path in listed)
        return population_id(files, {**settings, "profiler": profiler})

    def counted(listed: list[tuple[str, int, int, str]]) -> Counter[tuple[str, int]]:
        return Counter((role, digest) for role, digest, _, _ in listed if role in POPULATION)

    same = counted(one) == counted(other) and profiler == others_profiler
    assert (id_of(one, profiler, {}) == id_of(other, others_profiler, settings)) == same
    resized = [(role, digest, size + 1, path + "c") for role, digest, size, path in reversed(one)]
    assert id_of(one, profiler, {}) == id_of(resized, profiler, settings)


def test_the_population_id_by_hand() -> None:
    rows = [("g", "graph", "b"), ("m", "model", "c"), ("a", "anchors", "a")]
    files = tuple(FileRow(path, role, 1, digit * 64) for path, role, digit in rows)
    text = f'{{"files":[["anchors","{"a" * 64}"],["graph","{"b" * 64}"]],"profiler":1}}'
    assert population_id(files, {"profiler": 1}) == hashlib.sha256(text.encode()).hexdigest()


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcé\n", max_size=3), inner, max_size=3),
    max_leaves=10,
)  # fmt: skip


@settings(deadline=None)
@given(
    st.dictionaries(st.text("abc", max_size=3), plain, max_size=3),
    st.lists(st.integers(0, 2**40), min_size=9, max_size=9),
)
def test_a_manifest_is_read_back(content: dict[str, Any], sizes: list[int]) -> None:
    listed = [(path, role) for path, role in ROLES.items() if role != "licence"]
    files = tuple(FileRow(path, role, size, f"{size:064x}") for (path, role), size in zip(listed, sizes, strict=True))
    manifest = Manifest(1, bundle_id(files), "2026-01-01T00:00:00+00:00", files, SHAPES, content)
    assert Manifest.from_json(manifest.to_json()) == manifest


@pytest.mark.parametrize(
    "bad", [{"x": float("nan")}, {"x": {1, 2}}, {"x": "\ud800"}, {"x": Path()}, {"x": "a" * 2_000_000}, {1: 1, "1": 2}]
)
def test_settings_that_are_no_plain_json_are_refused(bundle: Path, bad: dict[Any, Any]) -> None:
    before = (bundle / MANIFEST).read_bytes()
    with pytest.raises(BundleError):
        write_manifest(bundle, ROLES, SHAPES, bad)
    assert (bundle / MANIFEST).read_bytes() == before
    verify(bundle)


def reseal(body: dict[str, Any]) -> str:
    """The text of a manifest whose own hash is right, whatever it holds."""
    body.pop("sha256")
    canonical = json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    sealed = {**body, "sha256": hashlib.sha256(canonical.encode()).hexdigest()}
    return json.dumps(sealed, indent=2, ensure_ascii=False) + "\n"


def edit(change: Callable[[dict[str, Any]], Any]) -> Callable[[str], str]:
    def apply(text: str) -> str:
        body = json.loads(text)
        change(body)
        return reseal(body)

    return apply


def row(body: dict[str, Any], role: str) -> dict[str, Any]:
    found: dict[str, Any] = next(found for found in body["files"] if found["role"] == role)
    return found


BAD_MANIFESTS: dict[str, tuple[Callable[[str], str | bytes], str]] = {
    "empty": (lambda t: "", "not a manifest"),
    "cut": (lambda t: t[:-40], "not a manifest"),
    "a list": (lambda t: "[]", "not a manifest"),
    "deep": (lambda t: "[" * 100_000, "not a manifest"),
    "no utf-8": (lambda t: b"\xff" + t.encode(), "not UTF-8"),
    "too long": (lambda t: t + " " * 2**20, "longer than"),
    "blank at the end": (lambda t: t + " ", "changed after it was written"),
    "a setting edited": (lambda t: t.replace("0.35", "0.36"), "changed after it was written"),
    "a hash edited": (lambda t: t.replace('"sha256": "', '"sha256": "0', 1), "no sha256"),
    "key twice": (lambda t: t.replace('"shapes": {', '"shapes": {"facets": 1,'), "a key is there twice"),
    "nan": (lambda t: t.replace("0.35", "NaN"), "NaN is no JSON number"),
    "newer": (edit(lambda b: b.update(format_version=2)), r"format 2, this copersona reads 1; update"),
    "no version": (edit(lambda b: b.pop("format_version")), "'format_version' is missing"),
    "no shapes": (edit(lambda b: b.pop("shapes")), "'shapes' is missing"),
    "shape a text": (edit(lambda b: b["shapes"].update(peers="7")), "expected a number from 0"),
    "shape negative": (edit(lambda b: b["shapes"].update(peers=-7)), "expected a number from 0"),
    "another id": (edit(lambda b: b.update(bundle_id="0" * 64)), "changed after it was written"),
    "unknown key": (edit(lambda b: b.update(more=1)), "changed after it was written"),
    "no model": (edit(lambda b: row(b, "model").update(role="licence")), "0 files have the role 'model'"),
    "two cards": (edit(lambda b: row(b, "licence").update(role="card")), "2 files have the role 'card'"),
    "unknown role": (edit(lambda b: row(b, "licence").update(role="x")), "'x', which is not known"),
    "file twice": (edit(lambda b: row(b, "model").update(path="PEERS.NPY")), "two files are called"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_MANIFESTS)
def test_a_bad_manifest_is_refused(bundle: Path, case: str) -> None:
    change, expected = BAD_MANIFESTS[case]
    path = bundle / MANIFEST
    content = change(path.read_text(encoding="utf-8"))
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    message = refused(bundle)
    assert message.startswith(str(path))
    assert expected in message


UNSAFE = [
    "../out", "/etc/passwd", "a/../b", "./a", "a//b", "a/", "", ".hidden", "C:/x", "a\\b", "con", "x/NUL.txt", "a.",
    "é.txt", "a b", "manifest.json", "MANIFEST.json", "a" * 201, "a\n",
]  # fmt: skip


@pytest.mark.parametrize("path", UNSAFE)
def test_unsafe_paths_are_refused(bundle: Path, path: str) -> None:
    text = (bundle / MANIFEST).read_text(encoding="utf-8")
    (bundle / MANIFEST).write_text(edit(lambda b: b["files"][0].update(path=path))(text), encoding="utf-8")
    message = refused(bundle)
    assert "no safe relative path" in message or "does not list itself" in message


# -- folder ---------------------------------------------------------------------------------------------------------


def test_folders_that_are_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "no such folder" in refused(tmp_path / "none")
    assert "this is a file" in refused(tmp_path / "file")
    assert f"holds no {MANIFEST}" in refused(tmp_path)
    (tmp_path / MANIFEST).mkdir()
    assert "not a regular file" in refused(tmp_path)


def longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\x00")


def changed(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)


def linked(path: Path) -> None:
    path.rename(path.parent.parent / "elsewhere")
    path.symlink_to(path.parent.parent / "elsewhere")


def piped(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (Path.unlink, "missing"),
        (lambda path: os.truncate(path, 1000), "cut, 1,000 bytes where the manifest has 5,000"),
        (lambda path: os.truncate(path, 0), "cut, 0 bytes"),
        (longer, "changed, 5,001 bytes"),
        (changed, "changed or from another export"),
        (linked, "a link"),
        (piped, "not a regular file"),
        (folder, "not a regular file"),
    ],
    ids=["missing", "cut", "emptied", "longer", "changed", "linked", "piped", "folder"],
)
def test_a_damaged_file_is_named(bundle: Path, damage: Callable[[Path], None], expected: str) -> None:
    verify(bundle)
    damage(bundle / "model.gguf")
    message = refused(bundle)
    assert message.startswith(f"{bundle / 'model.gguf'}: {expected}")


@pytest.mark.parametrize(
    "name", ["graph.sqlite-wal", ".DS_Store", "licences/more.txt", "empty/", "a/b/c/d/e/f/g/h/i/j/k"]
)
def test_what_is_not_listed_is_refused(bundle: Path, name: str) -> None:
    path = bundle / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir() if name.endswith("/") else path.touch()
    assert "not listed" in refused(bundle)


def test_a_file_from_another_export(bundle: Path) -> None:
    peers = np.load(bundle / "peers.npy")
    np.save(bundle / "peers.npy", peers[:, ::-1].copy())
    assert "peers.npy: changed or from another export" in refused(bundle)


def test_an_export_lists_all_its_files(bundle: Path) -> None:
    (bundle / "left.tmp").touch()
    with pytest.raises(BundleError, match=r"left\.tmp: not listed"):
        rewrite(bundle)
    (bundle / "left.tmp").unlink()
    (bundle / "model.gguf").unlink()
    with pytest.raises(BundleError, match=r"model\.gguf: missing"):
        rewrite(bundle)
    (bundle / "model.gguf").touch()
    with pytest.raises(BundleError, match="0 files have the role 'card'"):
        write_manifest(bundle, {**ROLES, "README.md": "licence"}, SHAPES, SETTINGS)


def test_promise_damaged_bundle_is_refused(bundle: Path) -> None:
    draw = random.Random(3)
    files = sorted(path for path in bundle.rglob("*") if path.is_file())
    verify(bundle)
    for n in range(200):
        path = files[n % len(files)]
        content = path.read_bytes()
        at = draw.randrange(len(content))
        flipped = bytearray(content)
        flipped[at] ^= 1 << draw.randrange(8)
        path.write_bytes(flipped)
        os.utime(path, ns=(10**18, 10**18))
        assert str(path) in refused(bundle, full=True)
        path.write_bytes(content)
    verify(bundle, full=True)


def test_every_flipped_bit_of_the_manifest_is_found(bundle: Path) -> None:
    text = (bundle / MANIFEST).read_bytes()
    for at in range(0, len(text), 3):
        flipped = bytearray(text)
        flipped[at] ^= 1 << (at % 8)
        (bundle / MANIFEST).write_bytes(flipped)
        with pytest.raises(BundleError):
            open_manifest(bundle)


# -- memory of hashes -----------------------------------------------------------------------------------------------


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    read: list[str] = []

    def counted(path: Path, **options: bool) -> hashes.FileHash:
        read.append(path.name)
        return hashes.file_sha256(path, **options)

    monkeypatch.setattr("copersona.runtime.bundle.verify.file_sha256", counted)
    return read


def test_promise_a_start_reads_what_changed(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = count_reads(monkeypatch)
    verify(bundle)
    assert len(read) == len(ROLES)
    verify(bundle)
    assert len(read) == len(ROLES)
    os.utime(bundle / "model.gguf", ns=(10**18 + 1, 10**18 + 1))
    verify(bundle)
    assert read[len(ROLES) :] == ["model.gguf"]
    verify(bundle, full=True)
    assert len(read) == 2 * len(ROLES) + 1
    verify(bundle, cache=tmp_path / "other.json")
    assert len(read) == 3 * len(ROLES) + 1
    assert (tmp_path / "home" / "checked.json").exists()


def test_a_file_that_just_changed_is_not_remembered(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.utime(bundle / "README.md")
    verify(bundle)
    read = count_reads(monkeypatch)
    verify(bundle)
    assert read == ["README.md"]


@pytest.mark.parametrize("content", ["", "[]", "nonsense", '{"a": 1}', "\x00"])
def test_a_damaged_memory_costs_time_only(bundle: Path, tmp_path: Path, content: str) -> None:
    cache = tmp_path / "cache.json"
    cache.write_text(content)
    verify(bundle, cache=cache)
    assert len(json.loads(cache.read_text())) == len(ROLES)


def test_a_memory_that_cannot_be_written_is_no_error(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    verify(bundle, cache=tmp_path / "file" / "cache.json")


# -- parts ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def width(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Stands for the model: its width as the check of GGUF files finds it."""
    facts = SimpleNamespace(width=SHAPES.hidden, vocabulary=100, layers=2, heads=2, kv_heads=2, context=512)
    monkeypatch.setattr(gguf_check, "check_gguf", lambda path: facts)
    return facts


def unfit(bundle: Path, shapes: Shapes = SHAPES) -> str:
    manifest = rewrite(bundle, shapes)
    with pytest.raises(BundleError) as caught:
        check_parts(bundle, manifest)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_parts_that_fit(bundle: Path, width: SimpleNamespace) -> None:
    tensors = check_parts(bundle, open_manifest(bundle))
    assert tensors["layer_means"] == (SHAPES.facets, SHAPES.width)
    assert tensors["output_bias"] == (SHAPES.soft_tokens * SHAPES.hidden,)


@pytest.mark.parametrize(
    ("field", "file", "numbers"),
    [
        ("facets", "facets.json", ("found 2", "has 3")),
        ("peers", "peers.npy", ("(2, 7, 8)", "(2, 8, 8)")),
        ("width", "peers.npy", ("(2, 7, 8)", "(2, 7, 9)")),
        ("soft_tokens", "personalizer.safetensors", ("(64,)", "(80,)")),
        ("hidden", "personalizer.safetensors", ("(64,)", "(68,)")),
    ],
)
def test_numbers_that_disagree_are_both_named(
    bundle: Path, width: SimpleNamespace, field: str, file: str, numbers: tuple[str, str]
) -> None:
    values = {name: getattr(SHAPES, name) for name in Shapes.__dataclass_fields__}
    message = unfit(bundle, Shapes(**{**values, field: values[field] + 1}))
    assert message.startswith(str(bundle / file))
    assert all(number in message for number in numbers)


def test_a_model_of_another_width_or_none_at_all(
    bundle: Path, width: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    width.width = 32
    message = unfit(bundle)
    assert "model.gguf: the model's width: found 32, the manifest has 16" in message
    monkeypatch.undo()
    message = unfit(bundle)
    assert str(bundle / "model.gguf") in message


def test_errors_of_the_model_check_are_errors_of_the_bundle(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise ModelError(f"{path}: odd")

    monkeypatch.setattr(gguf_check, "check_gguf", refuse)
    assert "model.gguf: odd" in unfit(bundle)


def test_tensors_that_are_missing_are_named(bundle: Path, width: SimpleNamespace) -> None:
    save_file({"gate_start": np.zeros(1, np.float32)}, bundle / "personalizer.safetensors")
    assert "tensor 'attention': found None" in unfit(bundle)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("facets.json", "{}"),
        ("facets.json", "no"),
        ("encoder_tokenizer.json", "{"),
        ("encoder_tokenizer.json", ""),
        ("graph.sqlite", "no database"),
        ("peers.npy", "no array"),
        ("anchors.npy", ""),
        ("encoder.onnx", "no model"),
        ("personalizer.safetensors", "no tensors"),
    ],
)
def test_parts_that_cannot_be_read_are_named(bundle: Path, width: SimpleNamespace, file: str, content: str) -> None:
    (bundle / file).write_text(content)
    assert unfit(bundle).startswith(str(bundle / file))


def test_parts_that_passed_are_looked_into_again_only_where_something_changed(
    bundle: Path, width: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Path] = []
    monkeypatch.setattr("copersona.runtime.bundle.parts.check_npy", lambda path, shape: looked.append(path))

    def looks(**options: Any) -> bool:
        before = len(looked)
        check_parts_once(bundle, verify(bundle), **options)
        return len(looked) > before

    assert [looks(), looks(), looks(full=True), looks()] == [True, False, True, False]
    assert looks(cache=tmp_path / "other.json")
    monkeypatch.setattr("copersona.runtime.bundle.parts.CHECKS", "other checks")
    assert [looks(), looks()] == [True, False]
    (bundle / "model.gguf").write_bytes(b"another")
    rewrite(bundle)
    for path in bundle.rglob("*"):
        os.utime(path, ns=(10**18, 10**18))
    assert [looks(), looks()] == [True, False]


def test_parts_that_failed_are_refused_each_time(bundle: Path, width: SimpleNamespace) -> None:
    (bundle / "anchors.npy").write_text("no array")
    rewrite(bundle)
    for path in bundle.rglob("*"):
        os.utime(path, ns=(10**18, 10**18))
    for _ in range(2):
        with pytest.raises(BundleError, match=r"anchors\.npy"):
            check_parts_once(bundle, verify(bundle))


def test_a_real_model_of_another_width(bundle: Path, tiny_gguf: Path) -> None:
    shutil.copyfile(tiny_gguf, bundle / "model.gguf")
    width = check_gguf(tiny_gguf).width
    assert width != 16
    assert f"model.gguf: the model's width: found {width}, the manifest has 16" in unfit(bundle)
