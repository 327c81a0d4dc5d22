"""Whether the export extra is there; every command that needs it asks before it imports anything heavy."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import tempfile
import warnings
from importlib.util import find_spec

from copersona.runtime.common.errors import ExportError

CACHES = ("TORCHINDUCTOR_CACHE_DIR", "MPLCONFIGDIR")
"""Where torch and matplotlib keep what they can make again: else in the user's folders, for good."""

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
    _caches_apart()
    warnings.simplefilter("ignore")
    for name in ("transformers", "optimum", "sentence_transformers", "root", "onnxruntime"):
        logging.getLogger(None if name == "root" else name).setLevel(logging.ERROR)


def _caches_apart() -> None:
    """Have the libraries' caches in a folder that goes with this process, where the user names no other."""
    missing = [name for name in CACHES if name not in os.environ]
    if missing:
        folder = tempfile.mkdtemp(prefix="copersona-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        os.environ.update(dict.fromkeys(missing, folder))
