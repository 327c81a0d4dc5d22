"""Whether the export extra is there; every command that needs it asks before it imports anything heavy."""

from __future__ import annotations

import logging
import os
import warnings
from importlib.util import find_spec

from copersona.runtime.common.errors import ExportError

PACKAGES = ("torch", "transformers", "peft", "sentence_transformers", "optimum", "gguf", "sklearn")


def ready() -> None:
    """One line instead of a traceback when the extra is not installed; then quiet the libraries' own chatter.

    Raises:
        ExportError: packages are missing.
    """
    missing = [name for name in PACKAGES if not find_spec(name)]
    if missing:
        raise ExportError(f"{', '.join(missing)} not installed; run: pip install 'copersona[export]'")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    warnings.simplefilter("ignore")
    for name in ("transformers", "optimum", "sentence_transformers", "root", "onnxruntime"):
        logging.getLogger(None if name == "root" else name).setLevel(logging.ERROR)
