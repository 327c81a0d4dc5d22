"""`copersona bundle from`: a bundle of a model as published and the population of another bundle, nothing trained.

Facets, encoder, graph and peers are those of the other bundle, so the text branch is whole: own texts, facets and what
peers lend stand in the prompt. There is no LoRA and no soft prompt.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from copersona.runtime.assemble.folder import copy_file, new_folder
from copersona.runtime.assemble.thin import read_thin
from copersona.runtime.bundle.manifest import POPULATION_ROLES, Manifest, Shapes
from copersona.runtime.bundle.parts import check_parts
from copersona.runtime.bundle.verify import verify, write_manifest
from copersona.runtime.common.errors import BundleError, ModelError
from copersona.runtime.common.files import link_or_copy
from copersona.runtime.common.terminal import one_line
from copersona.runtime.engine.chat_template import model_turns
from copersona.runtime.engine.engine import Engine, build_info
from copersona.runtime.engine.model_trial import try_model
from copersona.runtime.engine.turns import TurnTokens, turns_json
from copersona.runtime.filecheck.gguf_check import GgufFacts
from copersona.runtime.prompt.layout import Layout
from copersona.runtime.prompt.settings import ContextSettings, changed, check_room, read_context

MODEL = "model.gguf"
CONTEXT = 2_048  # tokens, unless more are asked for; what a prompt needs, and memory that every device has
SAME = ("graph", "encoder", "languages", "profiler", "made_by", "export")
"""Settings that say how the population was made, taken over."""
ROLES = (*POPULATION_ROLES, "items")


@dataclass(frozen=True, slots=True)
class Asked:
    """A model as published, read and tried, and how prompts are to be written for it."""

    facts: GgufFacts
    turns: TurnTokens
    settings: ContextSettings
    context: int


def training_free(
    model: Path, like: Path, out: Path, *, context: int = CONTEXT, changes: Mapping[str, Any] | None = None
) -> Manifest:
    """Make the bundle `out` of the GGUF `model` and the population of the bundle `like`; returns its manifest.

    Args:
        context: tokens of context, cut to what the model was trained on.
        changes: fields of `ContextSettings` that are to be other than in `like`.

    Raises:
        BundleError: `like` is damaged, or `out` is there.
        ModelError: the model is refused, has no chat template that separates into turns, or prompts leave no room in
            its context; or the disk is full.
        ValueError: a change that is not known or out of range.
    """
    model, like, out = Path(model), Path(like), Path(out)
    manifest = verify(like, full=True)
    if os.path.lexists(out):
        raise BundleError(f"{out}: is there already; give a folder that is not")
    asked = _tried(model, changed(read_context(manifest.settings.get("context", {})), changes or {}), context)
    out.parent.mkdir(parents=True, exist_ok=True)
    with new_folder(out) as part:
        made = _fill(part, model, like, manifest, asked)
        check_parts(part, made)
    return made


def _tried(model: Path, settings: ContextSettings, context: int) -> Asked:
    """The model's facts, once it has been loaded and has answered, first in a process of its own."""
    try_model(model, context=context, any_model=True)
    with Engine(model, n_ctx=context, any_model=True) as engine:
        try:
            turns = model_turns(engine)
        except ModelError as error:
            raise ModelError(f"{model}: {error}") from None
        prompt = Layout(engine, settings, turns).prompt("Say something.").tokens
        if not np.isfinite(engine.logits(None, prompt, last=1)).all():
            raise ModelError(f"{model}: its logits are not finite; the file is damaged")
        check_room(settings, 0, engine.context)
        return Asked(engine.facts, turns, settings, engine.context)


def _fill(part: Path, model: Path, like: Path, manifest: Manifest, asked: Asked) -> Manifest:
    """All files of the bundle and, last, its manifest."""
    thin = read_thin(manifest) if manifest.thin else None
    roles = {}
    for row in manifest.files:
        if row.role in ROLES:
            copy_file(like, row, part, thin)
            roles[row.path] = row.role
    link_or_copy(model.resolve(), part / MODEL)
    name = one_line(model.stem, 100)
    (part / "README.md").write_text(_card(manifest, asked, name), encoding="utf-8")
    shapes = manifest.shapes
    sizes = Shapes(shapes.facets, shapes.peers, shapes.width, shapes.neighbors, 0, asked.facts.width)
    settings = {key: manifest.settings[key] for key in SAME if key in manifest.settings} | {
        "context": asdict(asked.settings),
        "context_length": asked.context,
        "turns": turns_json(asked.turns),
        "training": None,
        "base": name,
        "architecture": asked.facts.architecture,
        "like": manifest.bundle_id,
        "versions": {"copersona": version("copersona"), "engine": build_info()},
        "licences": {"model": asked.facts.licence, "note": "as of the model, the encoder and the histories"},
    }
    return write_manifest(part, roles | {MODEL: "model", "README.md": "card"}, sizes, settings)


def _card(manifest: Manifest, asked: Asked, name: str) -> str:
    facts = asked.facts
    return f"""# A copersona bundle in which nothing is trained

{name} ({facts.architecture}, {facts.quantisation}) as published, with the facets, encoder, persona graph and
{manifest.shapes.peers} pseudonymous peers of the bundle {manifest.bundle_id[:12]}. A persona reaches this model by its
prompt alone: own texts, facets, and what peers lend. There is no LoRA and no soft prompt.

## Terms

Those of the model ({facts.licence or "its file does not say"}), of the encoder
({manifest.settings.get("encoder")}) and of the histories that the population was made from.
"""
