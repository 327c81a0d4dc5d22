"""Options of a command that say which language model finds facets and profiles people."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from copersona.runtime.common.errors import ExportError

if TYPE_CHECKING:
    from copersona.export.common.language_model import ModelSettings

BY = click.Choice(["statistics", "model"])
_MODEL_OPTIONS = (
    click.option("--facets-by", type=BY, default="statistics", show_default=True, help="What finds the facets."),
    click.option("--profiles-by", type=BY, default="statistics", show_default=True, help="What profiles people."),
    click.option("--endpoint", help="An OpenAI-compatible address, such as http://127.0.0.1:8080/v1. "
                 "What people wrote is SENT THERE."),
    click.option("--model", help="Name of the model at the endpoint."),
    click.option("--api-key-env", metavar="VAR", help="Environment variable that holds the endpoint's key."),
    click.option("--gguf", type=click.Path(exists=True, dir_okay=False, path_type=Path),
                 help="A model for chats in a GGUF instead of an endpoint: nothing leaves this machine."),
    click.option("--people-per-call", type=click.IntRange(1, 20), default=4, show_default=True),
    click.option("--max-calls", type=click.IntRange(0), help="Refuse to make more calls than this."),
    click.option("--price-in", type=click.FloatRange(0), default=0.0, help="Price of a million tokens sent."),
    click.option("--price-out", type=click.FloatRange(0), default=0.0, help="Price of a million tokens answered."),
)  # fmt: skip


def model_choice(function: Callable[..., Any]) -> Callable[..., Any]:
    """Which language model, where it is, and what it may cost."""
    for option in reversed(_MODEL_OPTIONS):
        function = option(function)
    return function


def model_options(options: dict[str, Any]) -> tuple[dict[str, Any], ModelSettings]:
    """The options of `model_choice` taken out of all of them, as settings of a run. Raises ExportError."""
    from copersona.export.common.language_model import ModelSettings
    from copersona.runtime.chat.local_model import local_name

    rest = dict(options)
    name, gguf = rest.pop("model"), rest.pop("gguf")
    by_model = {part: rest.pop(f"{part}_by") == "model" for part in ("facets", "profiles")}
    given = {key: rest.pop(key) for key in ("endpoint", "api_key_env", "max_calls", "price_in", "price_out")}
    if any(by_model.values()) and (bool(given["endpoint"]) == bool(gguf) or bool(given["endpoint"]) != bool(name)):
        raise ExportError("--facets-by model and --profiles-by model need --endpoint URL --model NAME, or --gguf FILE")
    if not any(by_model.values()) and (given["endpoint"] or gguf):
        raise ExportError("a language model is given, but for nothing; add --facets-by model or --profiles-by model")
    path = None if gguf is None else gguf.resolve()
    name = name if path is None else local_name(path)
    models = {f"{part}_model": name if chosen else None for part, chosen in by_model.items()}
    return {**rest, **models}, ModelSettings(gguf=None if path is None else str(path), **given)
