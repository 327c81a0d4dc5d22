"""The options of `copersona export run` as the settings of a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from copersona.export.cli.model_options import model_options
from copersona.runtime.prompt.settings import ContextSettings

if TYPE_CHECKING:
    from copersona.export.run.run import RunSettings

TRAINING = ("epochs", "targets", "validation", "soft_tokens", "checkpoint_seconds")
"""Options of the training; None is the preset's."""


def run_settings(
    *,
    histories: tuple[Path, ...],
    format_: str,
    metadata: Path | None,
    base: str,
    encoder: str,
    preset: str,
    keep: Path | None,
    no_peer_quotes: bool,
    context: dict[str, Any],
    **options: Any,
) -> RunSettings:
    """What `copersona export run` was asked for. Raises ExportError."""
    from copersona.export.common.hub import model_folder
    from copersona.export.convert.gguf_base import base_folder
    from copersona.export.run.run import RunSettings
    from copersona.export.training.settings import PAPER, TrainSettings

    options, model = model_options(options)
    given = {name: value for name in TRAINING if (value := options.pop(name)) is not None}
    train = PAPER if preset == "paper" else TrainSettings()
    return RunSettings(
        histories=tuple(str(p.resolve()) for p in histories),
        format=format_,
        base=str(base_folder(base)),
        encoder=str(model_folder(encoder)),
        keep=None if keep is None else str(keep.resolve()),
        peer_quotes=not no_peer_quotes,
        metadata=None if metadata is None else str(metadata.resolve()),
        model=model,
        context=ContextSettings(**context),
        train=replace(train, seed=options["seed"], **given),
        **options,
    )
