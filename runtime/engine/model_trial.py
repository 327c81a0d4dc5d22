"""A model's first load in a process of its own, before it is loaded here: llama.cpp ends a process over what it does
not expect.

`try_model` is the side that asks; run as a module, this file is the other side.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from copersona.runtime.common.errors import ModelError
from copersona.runtime.common.stages import run_stages, tell_stages
from copersona.runtime.engine.engine import Engine
from copersona.runtime.engine.model_memory import computing_memory, context_memory
from copersona.runtime.engine.sequences import NOT_FINITE
from copersona.runtime.filecheck.gguf_any import check_any_gguf
from copersona.runtime.filecheck.gguf_check import check_gguf


def try_model(path: Path, *, context: int, any_model: bool = False) -> None:
    """Load a model and have it read a few tokens, elsewhere.

    Raises:
        ModelError: it fails there in any way, or needs more memory than is free.
    """
    facts = check_any_gguf(path) if any_model else check_gguf(path)
    body = {"model": str(path), "context": context, "any_model": any_model}
    needed = context_memory(facts, context) + computing_memory(facts)
    run_stages(__name__, body, str(path), ModelError, size=os.path.getsize(path), beside=needed)


# The other side


def _stages(body: Mapping[str, Any]) -> Iterator[str]:
    yield "model"
    with Engine(body["model"], n_ctx=body["context"], any_model=body["any_model"]) as engine:
        yield "first tokens"
        tokens = range(min(8, engine.vocabulary_size, engine.context))
        if not np.isfinite(engine.logits(None, tokens, last=1)).all():
            raise ModelError(NOT_FINITE)


if __name__ == "__main__":
    tell_stages(_stages)
