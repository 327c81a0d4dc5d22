"""Bundles of variants: as the run's, with another model and personalizer in them, so that the runtime opens them as any
other."""

from __future__ import annotations

import shutil
from pathlib import Path

from copersona.export.common.files import replacing, replacing_folder, scratch
from copersona.export.run.run import Run
from copersona.runtime.assemble.merge import make_model
from copersona.runtime.bundle.verify import open_manifest, verify, write_manifest
from copersona.runtime.common.files import link_or_copy

VERSION = 1  # raise it when a variant's training changes


def folder_of(run: Run, name: str) -> Path:
    """Where a variant lives."""
    return run.path("variants") / name


def base_bundle(run: Run, bundle: Path) -> Path:
    """The bundle with the untrained base in it, quantised as the trained one is."""
    return pack_variant(run, bundle, "base", None, None)


def key_of(bundle: Path, name: str) -> dict[str, str | int]:
    """What the manifest of a variant says of where it comes from."""
    manifest = open_manifest(bundle)
    room = int(manifest.settings["context_length"])
    return {"variant": name, "variant_of": manifest.bundle_id, "variant_version": VERSION, "context_length": room}


def pack_variant(
    run: Run, bundle: Path, name: str, adapter: Path | None, personalizer: Path | None, trained: str = ""
) -> Path:
    """A bundle as `bundle` with another peft adapter merged into its base (None: none) and another personalizer.

    `trained` is the hash of what was trained and is not in the bundle, so that the bundle's id depends on it.
    """
    target = folder_of(run, name) / "bundle"
    key = key_of(bundle, name) | ({"trained": trained} if trained else {})
    if (target / "manifest.json").is_file() and key.items() <= open_manifest(target).settings.items():
        return target
    manifest = verify(bundle)
    with replacing(folder_of(run, name) / "model.gguf") as gguf:
        _write_model(run, adapter, gguf)
        changed = {"model": gguf} | ({} if personalizer is None else {"personalizer": personalizer})
        with replacing_folder(target) as part:
            for row in manifest.files:
                if row.role in changed:
                    shutil.copyfile(changed[row.role], part / row.path)
                else:
                    link_or_copy(bundle / row.path, part / row.path)
            roles = {row.path: row.role for row in manifest.files}
            write_manifest(part, roles, manifest.shapes, {**manifest.settings, **key})
    (folder_of(run, name) / "model.gguf").unlink()
    return target


def _write_model(run: Run, adapter: Path | None, target: Path) -> None:
    """The run's base with an adapter merged, in the run's precision."""
    from copersona.export.convert.lora import base_gguf, convert_lora

    base = Path(run.settings.base)
    with scratch(target.with_name("merging")) as work, base_gguf(base, work) as source:
        lora = None if adapter is None else convert_lora(adapter, base, work / "lora.safetensors")
        make_model(source, lora, target, run.settings.quantize)
