"""Thin bundles: packed without a model, assembled to the whole one of the same run, or refused in one line."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from copersona.export.convert.gguf_base import base_folder
from copersona.export.run.run import Run
from copersona.export.steps.pack import PROBED, pack
from copersona.export.steps.steps import convert
from copersona.runtime import open_bundle
from copersona.runtime.assemble import assemble as module
from copersona.runtime.assemble import pinned
from copersona.runtime.assemble.assemble import assemble, whole_bundle
from copersona.runtime.assemble.folder import PART
from copersona.runtime.assemble.lora import Lora, read_lora
from copersona.runtime.assemble.thin import halve, read_thin, widen
from copersona.runtime.bundle.opened import Bundle
from copersona.runtime.bundle.verify import open_manifest, verify, write_manifest
from copersona.runtime.cli.main import main
from copersona.runtime.common.errors import BundleError, CoPersonaError, ModelError
from copersona.runtime.engine.engine import Engine, Sampling

pytestmark = pytest.mark.export


@pytest.fixture(scope="module")
def run(tiny_run: Path, tiny_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """`tiny_run` as if its base had been given as a GGUF, packed thin."""
    made = tmp_path_factory.mktemp("thin")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COPERSONA_HOME", str(made / "home"))
        base = base_folder(str(tiny_gguf))
    leave = shutil.ignore_patterns("bundle", "*.gguf", "done")
    shutil.copytree(tiny_run, made / "run", ignore=leave)
    done = Run(made / "run", replace(Run.open(tiny_run).settings, base=str(base), thin=True))
    done.save_settings()
    convert(done)
    pack(done)
    return done


@pytest.fixture
def thin(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the thin bundle on a device with an empty cache."""
    monkeypatch.setenv("COPERSONA_HOME", str(tmp_path / "home"))
    return Path(shutil.copytree(run.path("bundle"), tmp_path / "bundle"))


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(main, ["bundle", *map(str, arguments)])


def test_it_holds_no_model_and_half_of_the_arrays(run: Run, thin: Path) -> None:
    assert not (thin / "model.gguf").exists()
    assert np.load(thin / "peers.npy").dtype == np.float16
    for name in ("peers.npy", "anchors.npy"):
        np.testing.assert_array_equal(np.load(thin / name).astype(np.float32), np.load(run.path(name)))
    assert open_manifest(thin).thin
    with pytest.raises(BundleError, match="copersona bundle assemble"):
        Bundle(thin)


def test_opening_a_thin_one_assembles_it_once_or_says_what_is_missing(thin: Path, tiny_gguf: Path) -> None:
    with pytest.raises(ModelError, match=f"not on this device: {tiny_gguf.name}"):
        open_bundle(thin)
    whole = assemble(thin, tiny_gguf)
    with open_bundle(thin) as session:
        assert session.bundle.folder == whole
        assert session.answer("Write.", None, Sampling(max_tokens=2)).finish().text


def test_assembled_it_is_the_whole_bundle_of_the_run(run: Run, thin: Path, tiny_gguf: Path, tmp_path: Path) -> None:
    whole = Run(run.folder, replace(run.settings, thin=False))
    shutil.move(run.path("bundle"), tmp_path / "kept")
    try:
        pack(whole)
        shutil.move(run.path("bundle"), tmp_path / "packed")
    finally:
        shutil.move(tmp_path / "kept", run.path("bundle"))
    result = invoke("assemble", thin, "--base", tiny_gguf, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert str(tmp_path / "out") in result.output
    names = {path.name for path in (tmp_path / "packed").iterdir()}
    assert names == {path.name for path in (tmp_path / "out").iterdir()}
    for name in names - {"manifest.json", "README.md"}:
        assert (tmp_path / "packed" / name).read_bytes() == (tmp_path / "out" / name).read_bytes(), name
    made, packed = verify(tmp_path / "out"), open_manifest(tmp_path / "packed")
    assert made.settings["assembled_from"] == open_manifest(thin).bundle_id
    assert made.population_id == packed.population_id == open_manifest(thin).population_id
    with open_bundle(tmp_path / "out") as session:
        assert session.answer("Write a review.", None).finish().receipt.versions["bundle"] == session.manifest.bundle_id


def test_the_probe_holds_nobodys_words(run: Run) -> None:
    tokens = read_thin(open_manifest(run.path("bundle"))).probe.tokens
    with Engine(run.path("model.gguf"), n_ctx=64) as engine:
        asked = engine.detokenize(tokens)
    assert len(tokens) == PROBED
    definitions = " ".join(facet.definition for facet in run.schema.facets)
    assert definitions[:40] in asked


def test_verify_and_show_tell_of_a_thin_one(thin: Path, tiny_gguf: Path) -> None:
    result = invoke("verify", thin)
    assert result.exit_code == 0
    assert "thin" in result.output
    assert tiny_gguf.name in result.output
    body = json.loads(invoke("verify", thin, "--json").output)
    assert body["whole"] is False
    assert body["base"]["file"] == tiny_gguf.name
    shown = invoke("show", thin)
    assert shown.exit_code == 0, shown.output
    assert "lora.safetensors" in shown.output
    assert tiny_gguf.name in shown.output


def test_the_cache_is_filled_once(thin: Path, tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = assemble(thin, tiny_gguf)
    monkeypatch.setattr(module, "make_model", lambda *_: pytest.fail("made again"))
    assert assemble(thin) == whole_bundle(thin) == first
    assert whole_bundle(first) == first


def test_a_damaged_one_in_the_cache_is_made_again(thin: Path, tiny_gguf: Path) -> None:
    first = assemble(thin, tiny_gguf)
    (first / "model.gguf").write_bytes(b"GGUF")
    assert assemble(thin, tiny_gguf) == first
    assert verify(first, full=True).settings["assembled_from"] == open_manifest(thin).bundle_id


def test_the_base_is_found_in_a_package_without_importing_it(
    thin: Path, tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, name = tmp_path / "site", tiny_gguf.name
    (site / "somemodel").mkdir(parents=True)
    (site / "somemodel" / "__init__.py").write_text("raise RuntimeError('imported')")
    shutil.copyfile(tiny_gguf, site / "somemodel" / name)
    (site / "some_model-1.0.dist-info").mkdir()
    about = "Metadata-Version: 2.1\nName: some-model\nVersion: 1.0\n"
    (site / "some_model-1.0.dist-info" / "METADATA").write_text(about)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr(pinned, "PACKAGES", {"absent-model": name, "some-model": f"somemodel/{name}"})
    assert verify(assemble(thin)).file("model") is not None


def other_base(thin: Path, base: Path) -> None:
    base.write_bytes(base.read_bytes()[:-1] + b"\x01")


def other_size(thin: Path, base: Path) -> None:
    base.write_bytes(base.read_bytes() + b"\0")


def no_file(thin: Path, base: Path) -> None:
    base.unlink()


def cut_lora(thin: Path, base: Path) -> None:
    path = thin / "lora.safetensors"
    path.write_bytes(path.read_bytes()[:-10])


def remade(change: Callable[[dict[str, Any]], object]) -> Callable[[Path, Path], None]:
    """The bundle with other settings under a manifest whose hashes are right."""

    def spoil(thin: Path, base: Path) -> None:
        manifest = open_manifest(thin)
        settings = json.loads(json.dumps(dict(manifest.settings)))
        change(settings["thin"])
        (thin / "manifest.json").unlink()
        write_manifest(thin, {row.path: row.role for row in manifest.files}, manifest.shapes, settings)

    return spoil


def other_lora(thin: Path, base: Path) -> None:
    """Another LoRA under right hashes: only the probe can tell."""
    found = read_lora(thin / "lora.safetensors")
    Lora(found.scale * -40, found.pairs).write(thin / "lora.safetensors")
    remade(lambda body: None)(thin, base)


def other_peers(thin: Path, base: Path) -> None:
    np.save(thin / "peers.npy", np.load(thin / "peers.npy")[::-1].copy())
    remade(lambda body: None)(thin, base)


def no_tensors(thin: Path, base: Path) -> None:
    (thin / "personalizer.safetensors").write_bytes(b"x" * 100)
    remade(lambda body: None)(thin, base)


def no_array(thin: Path, base: Path) -> None:
    (thin / "anchors.npy").write_bytes(b"")
    remade(lambda body: None)(thin, base)


BAD: dict[str, tuple[Callable[[Path, Path], None], str]] = {
    "another base": (other_base, "is another file"),
    "another size": (other_size, "is another file"),
    "no base": (no_file, "cannot be read"),
    "cut LoRA": (cut_lora, "cut"),
    "another LoRA": (other_lora, "answers otherwise than when the bundle was made"),
    "other peers": (other_peers, "does not become the peers.npy"),
    "no tensors": (no_tensors, "personalizer.safetensors: cannot be read as float16"),
    "no array": (no_array, "anchors.npy: cannot be read as float16"),
    "another name": (
        remade(lambda body: body["whole"][0].update(path="x.npy", sha256="0" * 64)),
        "does not become the x.npy",
    ),
    "probe of nothing": (remade(lambda body: body["probe"].update(tokens=[])), "its probe holds what cannot be"),
    "probe of text": (remade(lambda body: body["probe"].update(tokens=["a"])), "its probe holds what cannot be"),
    "probe out of the vocabulary": (remade(lambda body: body["probe"].update(tokens=[9_999_999])), "9999999"),
    "loose tolerance": (remade(lambda body: body["probe"].update(tolerance=5.0)), "its probe holds what cannot be"),
    "no quantisation": (remade(lambda body: body.update(quantize="q1")), "quantisation 'q1' is not known"),
    "base without hash": (remade(lambda body: body["base"].update(sha256="0")), "no sha256"),
    "path as base": (remade(lambda body: body["base"].update(file="../../etc/passwd")), "no plain name"),
    "model outside": (remade(lambda body: body["model"].update(path="../model.gguf")), "no safe relative path"),
    "no files": (remade(lambda body: body.update(whole=[])), "the files to widen"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_assembled_is_one_line_and_nothing_half_made(
    thin: Path, tiny_gguf: Path, tmp_path: Path, name: str
) -> None:
    base = tmp_path / tiny_gguf.name
    shutil.copyfile(tiny_gguf, base)
    spoil, message = BAD[name]
    spoil(thin, base)
    before = {path.name for path in tmp_path.iterdir()}
    result = invoke("assemble", thin, "--base", base, "--out", tmp_path / "out")
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    line = result.output.strip().splitlines()[-1]
    assert line.startswith("error: ")
    assert message in line
    assert {path.name for path in tmp_path.iterdir()} - {"home"} == before - {"home"}


def test_without_a_base_it_says_which_is_wanted(thin: Path, tiny_gguf: Path) -> None:
    with pytest.raises(ModelError, match=f"not on this device: {tiny_gguf.name}"):
        assemble(thin)


def test_what_is_there_is_not_written_over(thin: Path, tiny_gguf: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(BundleError, match="is there already"):
        assemble(thin, tiny_gguf, tmp_path / "out")
    whole = assemble(thin, tiny_gguf)
    with pytest.raises(BundleError, match="whole already"):
        assemble(whole, tiny_gguf, tmp_path / "again")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_a_stop_in_the_middle_leaves_nothing(
    thin: Path, tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def stop(base: Path, lora: object, target: Path, kind: str) -> None:
        target.write_bytes(b"half")
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(module, "make_model", stop)
        with pytest.raises((KeyboardInterrupt, CoPersonaError)) as caught:
            assemble(thin, tiny_gguf)
    assert isinstance(caught.value, KeyboardInterrupt) or "No space left" in str(caught.value)
    assert list((tmp_path / "home" / "bundles").iterdir()) == []
    assert verify(assemble(thin, tiny_gguf)).file("model") is not None


def test_no_room_is_said_before_the_merge(thin: Path, tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(thin)._replace(free=1_000)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage)
    monkeypatch.setattr(module, "make_model", lambda *_: pytest.fail("merged all the same"))
    with pytest.raises(ModelError, match="MB are free"):
        assemble(thin, tiny_gguf)


def test_what_a_kill_left_is_removed_and_what_another_process_makes_is_not(thin: Path, tiny_gguf: Path) -> None:
    target = module.assembled_folder(open_manifest(thin))
    dead, alive = (target.parent / f"{PART}{target.name}-{name}" for name in ("dead", "alive"))
    for folder in (dead, alive):
        folder.mkdir(parents=True)
        (folder / "model.gguf").write_bytes(b"half")
    os.utime(dead, (0.0, 0.0))
    assert assemble(thin, tiny_gguf) == target
    assert {path.name for path in target.parent.iterdir()} == {target.name, alive.name}


def test_two_at_once_end_with_one_whole_bundle(
    thin: Path, tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = assemble(thin, tiny_gguf, tmp_path / "first")
    target, fill = module.assembled_folder(open_manifest(thin)), module._fill

    def overtaken(*arguments: Any) -> None:
        fill(*arguments)
        shutil.copytree(first, target)

    monkeypatch.setattr(module, "_fill", overtaken)
    assert assemble(thin, tiny_gguf) == target
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    assert verify(target, full=True).settings["assembled_from"] == open_manifest(thin).bundle_id


def test_halves_widen_to_the_same_bytes(run: Run, tmp_path: Path) -> None:
    for source in (run.path("peers.npy"), run.path("anchors.npy"), run.path("train") / "best/personalizer.safetensors"):
        halve(source, tmp_path / f"half{source.suffix}")
        widen(tmp_path / f"half{source.suffix}", tmp_path / source.name)
        assert (tmp_path / source.name).read_bytes() == source.read_bytes()
        assert (tmp_path / f"half{source.suffix}").stat().st_size < 0.6 * source.stat().st_size


def test_values_that_would_change_are_not_halved(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([[0.1]], np.float32))
    with pytest.raises(ValueError, match="do not fit float16"):
        halve(tmp_path / "x.npy", tmp_path / "y.npy")
    assert not (tmp_path / "y.npy").exists()


def test_the_manifest_says_how(run: Run, thin: Path) -> None:
    said = read_thin(open_manifest(thin))
    assert said.quantize == run.settings.quantize
    assert said.model.bytes == run.path("model.gguf").stat().st_size
    assert [row.role for row in said.whole] == ["peers", "anchors", "personalizer"]


def test_thin_needs_a_gguf(tiny_base: Path, tiny_run: Path, tmp_path: Path, encoder_dir: Path) -> None:
    people = Run.open(tiny_run).settings.histories[0]
    asked = ["export", "run", people, "--base", str(tiny_base), "--encoder", str(encoder_dir), "--thin"]
    result = CliRunner().invoke(main, [*asked, "--out", str(tmp_path / "run")])
    assert result.exit_code == 1
    assert "give --base FILE.gguf" in result.output
