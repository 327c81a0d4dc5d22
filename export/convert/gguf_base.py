"""A GGUF as base model: dequantised once into the cache, then a folder as any other.

What people have on their disks is a GGUF. Its weights come back as float32, its tokenizer from its own vocabulary,
merges and pre-tokenizer; `dequantise` writes a GGUF of the folder again and compares, so that what is trained on is
what llama.cpp runs.
"""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock

from copersona.export.common.files import need_room, replacing_folder, sha256
from copersona.export.common.hub import model_folder
from copersona.export.common.source import SOURCE, BaseSource
from copersona.export.convert.unpack import dequantise
from copersona.runtime.common.errors import ExportError, ModelError
from copersona.runtime.common.files import link_or_copy
from copersona.runtime.common.places import cache_home
from copersona.runtime.filecheck.gguf_check import check_gguf

BASE = "base.gguf"  # the file itself, beside what was made of it
VERSION = 1  # of the folders in the cache; raise it when the same GGUF gives another folder


def base_folder(name: str) -> Path:
    """The folder of a base model: of a GGUF file, a Hugging Face folder, or a hub id.

    Raises:
        ExportError: none of the three, or the GGUF is damaged or none that can be trained on.
    """
    path = Path(name)
    if path.is_file() or path.suffix == ".gguf":
        return gguf_base(path)
    return model_folder(name)


def gguf_base(path: Path) -> Path:
    """The folder of the GGUF `path` in the cache, made if it is not there: whole or not at all.

    Raises:
        ExportError: the file is damaged or no base, or the disk is full.
    """
    try:
        facts = check_gguf(path)
    except ModelError as error:
        raise ExportError(f"{error}; a base is a dense Qwen2, Qwen3 or Llama in one GGUF") from error
    digest = sha256(path)
    folder = cache_home() / "bases" / f"{path.stem}-{digest[:12]}-{VERSION}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not (folder / SOURCE).is_file():
            need_room(folder, 8 * facts.parameters + path.stat().st_size)  # weights, the same to compare, the file
            with replacing_folder(folder) as part:
                dequantise(path, part)
                link_or_copy(path.resolve(), part / BASE)
                size = path.stat().st_size
                BaseSource(path.name, digest, size, facts.architecture, facts.quantisation, facts.licence).write(part)
    return folder
