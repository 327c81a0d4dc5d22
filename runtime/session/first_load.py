"""The first load of a bundle on this machine, in a process of its own within limits: it may fail there in any way.

Checks of a file's form cannot foresee what llama.cpp, ONNX Runtime and the tokenizers make of it. What got through
there, by these libraries, is loaded here; a receipt (`load_receipt`) remembers it.
"""

from __future__ import annotations

import json

from copersona.runtime.bundle.opened import Bundle
from copersona.runtime.bundle.parts import context_memory
from copersona.runtime.common.apart import Ended, run_apart
from copersona.runtime.common.errors import BundleError
from copersona.runtime.common.memory import free_memory
from copersona.runtime.engine.llama_context import BATCH, OUTPUTS
from copersona.runtime.filecheck.gguf_any import check_any_gguf
from copersona.runtime.filecheck.gguf_check import GgufFacts, check_gguf
from copersona.runtime.session.load_receipt import LoadReceipt

SECONDS = 20.0  # for a bundle of few bytes
SPEED = 20e6  # bytes of a bundle for which there is a second more
LIBRARIES = 1 << 30  # bytes of address space that a small bundle's load takes, and as much again
SHARE = 0.8  # of the memory that is free
TRIAL = "copersona.runtime.session.trial"
TO_DO = "it was not loaded here; get the bundle anew, and if it stays so, tell who made it"


def load_apart_once(bundle: Bundle, *, again: bool = False) -> None:
    """Load the checked bundle in a process of its own, unless a receipt says that it was; `again` does it anyway.

    Raises:
        BundleError: it fails there at a part, which the message names, or more memory is needed than is free.
        ModelError: no process can be had.
    """
    receipt = LoadReceipt(bundle.manifest)
    if again or not receipt.there():
        _load(bundle)
        receipt.write()


def _load(bundle: Bundle) -> None:
    size = sum(row.bytes for row in bundle.manifest.files)
    seconds, needed = SECONDS + size / SPEED, needed_memory(bundle)
    free = free_memory()
    if free is not None and needed > SHARE * free:
        raise BundleError(
            f"{bundle.folder}: needs {needed >> 20:,} MB of memory, more than {SHARE:g} of the {free >> 20:,} MB that "
            "are free; end other programs, or use a bundle of a smaller model"
        )
    body = {"bundle": str(bundle.folder.absolute())}
    memory = LIBRARIES + needed + 2 * size  # once more for files that are unpacked, once for what is unpacked
    _judge(bundle, run_apart(TRIAL, body, seconds=seconds, memory=memory), f"{seconds:.0f} s and {memory >> 20:,} MB")


def _judge(bundle: Bundle, ended: Ended, limits: str) -> None:
    said = _said(ended.out)
    if ended.code == 0 and said.get("whole"):
        return
    if ended.code == 0 and (why := said.get("refused")):
        raise BundleError(why if str(bundle.folder) in why else f"{bundle.folder}: its {said.get('stage')}: {why}")
    stage = said.get("stage", "bundle")
    raise BundleError(f"{bundle.folder}: its {stage} {ended.how}, loaded apart within {limits}; {TO_DO}")


def _said(out: bytes) -> dict[str, str]:
    """What the other side told, of each kind the last."""
    found: dict[str, str] = {}
    for line in out.splitlines():
        found |= json.loads(line)
    return found


def needed_memory(bundle: Bundle) -> int:
    """Bytes that an open bundle of one sequence needs: files, keys and values, and what is computed with.

    Raises:
        ModelError: the model's file is refused.
    """
    path = bundle.path("model")
    facts = check_gguf(path) if bundle.manifest.trained else check_any_gguf(path)
    files = sum(row.bytes for row in bundle.manifest.files)
    return files + context_memory(facts, bundle.context_length) + _computing(facts)


def _computing(facts: GgufFacts) -> int:
    """Bytes of one batch's rows between layers, and of its logits, in float32."""
    return 4 * (16 * BATCH * facts.width + 2 * OUTPUTS * facts.vocabulary)
