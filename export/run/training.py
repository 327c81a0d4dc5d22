"""The training of a run, the same for what ships and for its variants: the trainer, and what its checkpoints belong to.

Importing this imports torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

import torch

from copersona.export.common.files import sha256, weight_hashes
from copersona.export.convert.gguf import load_causal_lm
from copersona.export.run.run import Run
from copersona.export.run.situations import Targets
from copersona.export.training.personalized import Switches
from copersona.export.training.personalizer import PersonalizerShape, TorchPersonalizer
from copersona.export.training.settings import TrainResult, train_key
from copersona.export.training.train import Trainer
from copersona.runtime.common.arrays import F32

Shape = Callable[[Run, F32, int], PersonalizerShape]
"""Sizes from a run, its layers' means and the language model's width."""
Make = Callable[[PersonalizerShape, F32, float], TorchPersonalizer]
"""A personalizer from its sizes, the layers' means and the RMS of the model's token embeddings."""
READ = (
    "histories.jsonl", "splits.json", "items.json", "facets.json", "profiles.jsonl", "profiles.safetensors",
    "arrays.safetensors", "pseudonyms.json", "graph.sqlite", "peers.npy", "anchors.npy",
)  # fmt: skip
"""The files of a run folder that its training is made from."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished training: its trainer, which holds the best weights, and what it came to."""

    trainer: Trainer
    result: TrainResult


def personalizer_shape(run: Run, means: F32, width: int) -> PersonalizerShape:
    """The sizes of the personalizer that ships. `means`: of the layers, (M, D); `width`: of the language model."""
    settings = run.settings.train
    facets, size = means.shape
    return PersonalizerShape(facets, size, settings.graph, settings.hidden, settings.soft_tokens, width)


def train_run(
    run: Run,
    targets: Targets,
    folder: Path,
    *parts: Any,
    switches: Switches | None = None,
    shape: Shape = personalizer_shape,
    make: Make = TorchPersonalizer,
) -> Trained:
    """Train the run's base on the targets in `folder`, going on from a checkpoint of the same data, settings and
    `parts`. A variant gives what it changes, and names it in `parts`.

    Raises:
        ExportError: as the Trainer does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    base = load_causal_lm(Path(run.settings.base))
    sizes = shape(run, targets.means, base.config.hidden_size)
    trainer = Trainer(
        base, run.layout, run.encode, sizes, targets.means, run.settings.train, folder, training_device(),
        switches=switches, make=make,
    )  # fmt: skip
    return Trained(trainer, trainer.run(targets.training, targets.validation, training_key(run, *parts), run.kept))


def training_device() -> torch.device:
    """Where a run is trained: on CUDA where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def training_key(run: Run, *parts: Any) -> str:
    """Hash of all that a checkpoint depends on: settings, the base's weights, the run's files, the facts to keep, and
    `parts`, plain JSON."""
    asked = run.settings
    settings = [train_key(asked.train, asked.context), asdict(asked.context), [astuple(one) for one in run.kept]]
    files = [*weight_hashes(Path(asked.base)), *(sha256(run.path(name)) for name in READ)]
    body = json.dumps([settings, files, parts], sort_keys=True)
    return hashlib.sha256(body.encode()).hexdigest()
