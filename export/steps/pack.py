"""Pack a finished run into a bundle; refused when a parity check fails.

The bundle is put together beside its final place and renamed, so that there is the old bundle or the new one, whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from copersona.export.common.files import replacing_folder, scratch
from copersona.export.common.hub import model_name
from copersona.export.common.source import read_source
from copersona.export.convert.encoder import encoder_languages, encoder_name
from copersona.export.convert.lora import base_gguf
from copersona.export.discovery.proposals import PROMPT as FACETS_PROMPT
from copersona.export.measure.parity import Agreement, all_checks, base_config, failures
from copersona.export.run.run import Run, RunSettings
from copersona.runtime.assemble.assemble import assemble
from copersona.runtime.assemble.pinned import PACKAGES, PinnedBase
from copersona.runtime.assemble.probe import make_probe
from copersona.runtime.assemble.thin import HALVED, Thin, halve
from copersona.runtime.bundle.manifest import FileRow, Shapes
from copersona.runtime.bundle.parts import check_parts
from copersona.runtime.bundle.verify import verify, write_manifest
from copersona.runtime.common.errors import ExportError
from copersona.runtime.common.hashes import file_sha256
from copersona.runtime.engine.engine import build_info
from copersona.runtime.engine.turns import turns_json
from copersona.runtime.history.interactions import clean_text, outputs
from copersona.runtime.persona.neighbors import PER_FACET, THRESHOLD
from copersona.runtime.profile.claims import PROMPT as PROFILES_PROMPT
from copersona.runtime.profile.language import measured_languages
from copersona.runtime.profile.profiler import VERSION as PROFILER_VERSION

PROBED = 64  # tokens of the probe of a thin bundle
FILES = {
    "facets.json": "facets",
    "encoder.onnx": "encoder",
    "encoder_tokenizer.json": "encoder_tokenizer",
    "graph.sqlite": "graph",
    "peers.npy": "peers",
    "anchors.npy": "anchors",
    "arrays.safetensors": "arrays",
    "personalizer.safetensors": "personalizer",
    "model.gguf": "model",
    "lora.safetensors": "lora",
    "README.md": "card",
}


def pack(run: Run) -> Mapping[str, Any]:
    """Check, copy, write the manifest, verify, and put the bundle in its place.

    Raises:
        ExportError: a parity check misses its bar; the run folder stays as it is.
    """
    figures = all_checks(run)
    missed = failures(figures)
    if missed:
        raise ExportError(f"{run.folder}: not packed, {len(missed)} parity checks fail: {'; '.join(missed)}")
    thin = thin_settings(run) if run.settings.thin else None
    with replacing_folder(run.path("bundle")) as part:
        files = FILES | dict.fromkeys(licences(run), "licence")
        del files["lora.safetensors" if thin is None else "model.gguf"]
        for name, role in files.items():
            if name == "README.md":
                (part / name).write_text(model_card(run, figures), encoding="utf-8")
            elif thin is not None and role in HALVED:
                halve(source_of(run, name), part / name)
            else:
                shutil.copyfile(source_of(run, name), part / name)
        settings = manifest_settings(run, figures) | ({} if thin is None else {"thin": thin.to_json()})
        manifest = write_manifest(part, files, shapes(run), settings)
        verify(part, full=True)
        if thin is None:
            check_parts(part, manifest)
        else:
            check_thin(run, part, thin)
    size = sum(row.bytes for row in manifest.files)
    return {"bundle": manifest.bundle_id[:12], "megabytes": round(size / 1e6, 1), "parity": figures}


def thin_settings(run: Run) -> Thin:
    """What a thin bundle of the run says of its base, and of the files that it is to become."""
    source = read_source(Path(run.settings.base))
    if source is None:
        raise ExportError(f"{run.settings.base}: was not made from a GGUF, which a thin bundle has to name")
    package = next((name for name, file in PACKAGES.items() if Path(file).name == source.file), "")
    base = PinnedBase(
        source.file, source.sha256, source.bytes, source.architecture, source.licence,
        f"in the package {package}" if package else "",
    )  # fmt: skip

    def row(name: str) -> FileRow:
        digest = file_sha256(source_of(run, name))
        return FileRow(name, FILES[name], digest.bytes, digest.sha256)

    text = " ".join(facet.definition for facet in run.schema.facets)  # nobody's words: the probe is public
    tokens = run.layout.prompt(text).tokens[:PROBED]
    probe = make_probe(run.path("model.gguf"), tuple(tokens))
    whole = tuple(row(name) for role in HALVED for name, own in FILES.items() if own == role)
    return Thin(base, run.settings.quantize, probe, row("model.gguf"), whole)


def check_thin(run: Run, folder: Path, thin: Thin) -> None:
    """Assemble the packed bundle once: its model must be the run's. Raises ExportError."""
    with scratch(run.path("assembled")) as work, base_gguf(Path(run.settings.base), run.folder) as base:
        model = assemble(folder, base, work / "bundle") / thin.model.path
        if file_sha256(model).sha256 != thin.model.sha256:
            raise ExportError(f"{folder}: assembled, its model is another than {run.path('model.gguf')}")


def licences(run: Run) -> list[str]:
    """Names of the licence files that lie beside the base model; they go with its weights."""
    names = sorted(path.name for path in Path(run.settings.base).glob("*") if path.is_file())
    return [name for name in names if name.upper().partition(".")[0] in ("LICENSE", "LICENCE", "NOTICE")]


def source_of(run: Run, name: str) -> Path:
    """Where a file of the bundle comes from."""
    if name == "personalizer.safetensors":
        return run.path("train") / "best" / name
    return run.path(name) if name in FILES else Path(run.settings.base) / name


def shapes(run: Run) -> Shapes:
    """The sizes that the parts of the bundle share."""
    facets, peers, width = np.load(run.path("peers.npy"), mmap_mode="r").shape
    hidden = int(base_config(run)["hidden_size"])
    return Shapes(facets, peers, width, PER_FACET, run.settings.train.soft_tokens, hidden)


def manifest_settings(run: Run, figures: Agreement) -> dict[str, Any]:
    """What the manifest says beside files and shapes; no path of the machine that exported."""
    settings = asdict(run.settings)
    for private in ("histories", "base", "encoder", "workers", "model", "thin"):
        settings.pop(private)
    settings["keep"] = None if run.settings.keep is None else Path(run.settings.keep).name
    packages = ("copersona", "torch", "transformers", "peft", "onnxruntime", "optimum", "gguf", "numpy")
    return {
        "context": settings.pop("context"),
        "context_length": settings.pop("context_length"),
        "turns": turns_json(run.turns),
        "graph": {"threshold": THRESHOLD, "per_facet": PER_FACET},
        "training": settings.pop("train"),
        "export": settings,
        "base": model_name(Path(run.settings.base)),
        "encoder": encoder_name(Path(run.settings.encoder)),
        "languages": {
            "facets": list(_written_in(run)) if run.settings.profiles_model is None else [],
            "encoder": list(encoder_languages(Path(run.settings.encoder))),
        },
        "profiler": PROFILER_VERSION,
        "made_by": made_by(run.settings),
        "versions": {name: version(name) for name in packages} | {"engine": build_info()},
        "parity": figures,
        "licences": {"note": "as of the base model, the encoder and the histories that it was made from"},
    }


def _written_in(run: Run) -> tuple[str, ...]:
    """The languages of the training people, which measured facets are measured in."""
    texts = (outputs(run.training_histories[person]) for person in run.people)
    return measured_languages(map(clean_text, row) for row in texts)


def made_by(settings: RunSettings) -> dict[str, str]:
    """What found the facets and what profiled the peers: statistics, or a model by name and prompt."""
    names = {"facets": (settings.facets_model, FACETS_PROMPT), "profiles": (settings.profiles_model, PROFILES_PROMPT)}
    return {part: "statistics" if name is None else f"{name}, {prompt}" for part, (name, prompt) in names.items()}


def model_card(run: Run, figures: Agreement) -> str:
    """The bundle's README: what it holds, what it was made from, what was checked."""
    names = "\n".join(f"- **{f.name}**: {f.definition}" for f in run.schema.facets)
    checks = "\n".join(f"| {name} | {value:.6g} |" for name, value in figures.items())
    settings = run.settings
    base = model_name(Path(settings.base))
    return f"""# A copersona bundle

Facets, a persona graph of {len(run.people)} pseudonymous peers, a personalizer and a language model
({base}, LoRA merged, {settings.quantize}). Look inside with `copersona bundle show`, ask with
`copersona ask`.

## Facets

{names}

## Peers

Random pseudonyms, facet summaries, embeddings{" and short scrubbed quotes" if settings.peer_quotes else ", no quotes"}.
No histories, no source ids.

## Terms

Those of the base model{_beside(licences(run))}, of the encoder
({encoder_name(Path(settings.encoder))}) and of the histories that this was made from ({settings.format}).

## Checked when it was packed

| check | value |
| --- | --- |
{checks}
"""


def _beside(licences: list[str]) -> str:
    return f" ({', '.join(licences)} beside this file)" if licences else ""
