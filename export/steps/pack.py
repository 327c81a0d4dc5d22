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

from copersona.export.common.files import replacing_folder
from copersona.export.common.hub import model_name
from copersona.export.convert.encoder import encoder_name
from copersona.export.discovery.proposals import PROMPT as FACETS_PROMPT
from copersona.export.measure.parity import Agreement, all_checks, base_config, failures
from copersona.export.run.run import Run, RunSettings
from copersona.runtime.bundle.manifest import Shapes
from copersona.runtime.bundle.parts import check_parts
from copersona.runtime.bundle.verify import verify, write_manifest
from copersona.runtime.common.errors import ExportError
from copersona.runtime.engine.engine import build_info
from copersona.runtime.engine.turns import turns_json
from copersona.runtime.persona.neighbors import PER_FACET, THRESHOLD
from copersona.runtime.profile.claims import PROMPT as PROFILES_PROMPT
from copersona.runtime.profile.profiler import VERSION as PROFILER_VERSION

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
    with replacing_folder(run.path("bundle")) as part:
        files = FILES | dict.fromkeys(licences(run), "licence")
        for name in files:
            if name == "README.md":
                (part / name).write_text(model_card(run, figures), encoding="utf-8")
            else:
                shutil.copyfile(source_of(run, name), part / name)
        manifest = write_manifest(part, files, shapes(run), manifest_settings(run, figures))
        verify(part, full=True)
        check_parts(part, manifest)
    size = sum(row.bytes for row in manifest.files)
    return {"bundle": manifest.bundle_id[:12], "megabytes": round(size / 1e6, 1), "parity": figures}


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
    for private in ("histories", "base", "encoder", "workers", "model"):
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
        "profiler": PROFILER_VERSION,
        "made_by": made_by(run.settings),
        "versions": {name: version(name) for name in packages} | {"engine": build_info()},
        "parity": figures,
        "licences": {"note": "as of the base model, the encoder and the histories that it was made from"},
    }


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
