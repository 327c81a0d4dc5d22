"""Models by folder or by hub id: an id is fetched once into the hub's own cache and then is a folder."""

from __future__ import annotations

import re
from pathlib import Path

from copersona.export.common.source import read_source
from copersona.runtime.common.errors import ExportError

ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w.-]+)?")
WANTED = ("*.json", "*.safetensors", "*.jinja", "*.txt", "*.model", "1_Pooling/*", "2_Normalize/*")
UNWANTED = ("onnx/*", "openvino/*", "original/*", "*/model.safetensors")


def model_folder(name: str) -> Path:
    """The folder `name`, or that of the hub's model `owner/name` or `owner/name@revision`, fetched if it is not there.

    Raises:
        ExportError: neither a folder nor a hub id, or it cannot be fetched.
    """
    if name and (folder := Path(name)).is_dir():
        return folder.resolve()
    if not ID.fullmatch(name) or name.startswith("."):
        raise ExportError(f"{name}: neither a folder nor the id of a model on the hub (owner/name)")
    from huggingface_hub import snapshot_download

    owner_and_name, _, revision = name.partition("@")
    try:
        found = snapshot_download(
            owner_and_name, revision=revision or None, allow_patterns=list(WANTED), ignore_patterns=list(UNWANTED)
        )
    except Exception as error:  # the hub's, the network's and the file system's own
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ExportError(f"{name}: no such folder, and the hub did not give it ({first}); give a folder") from error
    return Path(found)


def model_name(folder: Path) -> str:
    """How the manifest calls a model: `owner/name@commit` from the hub's cache, `file@hash` of a GGUF, otherwise the
    folder's name."""
    if (source := read_source(folder)) is not None:
        return f"{source.file}@{source.sha256[:12]}"
    if folder.parent.name == "snapshots" and folder.parent.parent.name.startswith("models--"):
        return f"{folder.parent.parent.name.removeprefix('models--').replace('--', '/')}@{folder.name[:12]}"
    return folder.name
