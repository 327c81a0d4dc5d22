"""The first load of a bundle on this machine, in a process of its own within limits: it may fail there in any way.

Checks of a file's form cannot foresee what llama.cpp, ONNX Runtime and the tokenizers make of it. What got through
there, by these libraries, is loaded here; a receipt (`load_receipt`) remembers it.
"""

from __future__ import annotations

from copersona.runtime.bundle.opened import Bundle
from copersona.runtime.common.errors import BundleError
from copersona.runtime.session.load_receipt import LoadReceipt

TRIAL = "copersona.runtime.session.trial"


def load_apart_once(bundle: Bundle, *, again: bool = False) -> None:
    """Load the checked bundle in a process of its own, unless a receipt says that it was; `again` does it anyway.

    Raises:
        BundleError: it fails there at a part, which the message names, or more memory is needed than is free.
        ModelError: no process can be had.
    """
    receipt = LoadReceipt(bundle.manifest)
    if again or not receipt.there():
        _load_apart(bundle)
        receipt.write()


def _load_apart(bundle: Bundle) -> None:
    from copersona.runtime.common.stages import run_stages  # here: the openings that follow do without
    from copersona.runtime.engine.model_memory import computing_memory, context_memory
    from copersona.runtime.filecheck.gguf_any import check_any_gguf
    from copersona.runtime.filecheck.gguf_check import check_gguf

    path, files = bundle.path("model"), bundle.manifest.files
    facts = check_gguf(path) if bundle.manifest.trained else check_any_gguf(path)
    needed = context_memory(facts, bundle.context_length) + computing_memory(facts)
    where = str(bundle.folder)
    run_stages(TRIAL, {"bundle": where}, where, BundleError, size=sum(row.bytes for row in files), beside=needed)
