"""Which language model finds facets and makes profiles in an export, and the ledger that its calls go through."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from copersona.runtime.chat.ask import ChatModel
from copersona.runtime.chat.ledger import Ledger, Prices, ReplyFile
from copersona.runtime.chat.local_model import LocalModel
from copersona.runtime.common.errors import ExportError

REPLIES = "replies.jsonl"
"""The answers of a run, in its folder: as private as the histories."""


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Where the model is and what it may cost; nothing of this changes what it answers, so no step is keyed by it.

    `api_key_env` names an environment variable; the key itself is written nowhere.
    """

    endpoint: str | None = None
    gguf: str | None = None
    api_key_env: str | None = None
    max_calls: int | None = None
    price_in: float = 0.0
    price_out: float = 0.0


def open_ledger(settings: ModelSettings, name: str, folder: Path) -> Ledger:
    """The ledger of the model `name`, with the answers in `folder`.

    Raises:
        ExportError: neither or both of endpoint and GGUF given, or another GGUF than the run was set up with.
        ModelError: the model cannot be used.
    """
    model: ChatModel
    if settings.endpoint and not settings.gguf:
        from copersona.runtime.chat.endpoint import Endpoint  # here: only who asks someone needs HTTP

        model = Endpoint(settings.endpoint, name, key_env=settings.api_key_env)
    elif settings.gguf and not settings.endpoint:
        model = LocalModel(Path(settings.gguf))
    else:
        raise ExportError("a language model is either at --endpoint URL (with --model NAME) or in --gguf FILE")
    if model.name != name:
        raise ExportError(f"{settings.gguf}: is {model.name}, the run was set up with {name}; give --gguf again")
    prices = Prices(settings.price_in, settings.price_out)
    return Ledger(model, ReplyFile(folder / REPLIES), max_calls=settings.max_calls, prices=prices)
