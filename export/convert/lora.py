"""A peft LoRA as the runtime merges it: named as in a GGUF, float16, rows in llama.cpp's order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from copersona.export.common.files import scratch
from copersona.export.convert.base_tensors import Source
from copersona.export.convert.gguf import as_rotated, write_gguf
from copersona.export.convert.gguf_base import BASE
from copersona.export.convert.gguf_tokenizer import read_json
from copersona.runtime.assemble.lora import Lora
from copersona.runtime.common.errors import ExportError

PREFIX = "base_model.model."


def convert_lora(adapter: Path, base: Path, target: Path) -> Lora:
    """Write the peft LoRA in the folder `adapter`, trained on the base in the folder `base`, as `lora.safetensors`.

    Raises:
        ExportError: the adapter cannot be read, or changes what the base has not.
    """
    source = Source(base, read_json(base / "config.json"))
    try:
        config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
        tensors = load_file(adapter / "adapter_model.safetensors")
        scale = float(config["lora_alpha"]) / float(config["r"])
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise ExportError(f"{adapter}: cannot be merged into {base}, {first}") from error
    if config.get("use_rslora") or config.get("use_dora") or config.get("rank_pattern") or config.get("alpha_pattern"):
        raise ExportError(f"{adapter}: cannot be merged into {base}, only plain LoRA of one rank is supported")
    names = gguf.get_tensor_name_map(source.architecture, source.config["num_hidden_layers"])
    pairs = {}
    for key in sorted(key for key in tensors if key.endswith(".lora_A.weight")):
        module = key.removeprefix(PREFIX).removesuffix(".lora_A.weight")
        name = names.get_name(f"{module}.weight", try_suffixes=(".weight",))
        b = tensors.get(f"{PREFIX}{module}.lora_B.weight")
        if name is None or b is None:
            raise ExportError(f"{adapter}: cannot be merged into {base}, {module} has no place or no second half")
        rows = as_rotated(source, f"{module}.weight", b)
        pairs[name] = _half(adapter, name, tensors[key]), _half(adapter, name, rows)
    lora = Lora(scale, pairs)
    lora.write(target)
    return lora


def _half(adapter: Path, name: str, array: NDArray[np.float32]) -> NDArray[np.float16]:
    with np.errstate(over="ignore"):
        half = np.ascontiguousarray(array, dtype=np.float16)
    if not np.isfinite(half).all():
        raise ExportError(f"{adapter}: {name} holds values too large for float16; lower the learning rate")
    return half


@contextmanager
def base_gguf(folder: Path, beside: Path) -> Iterator[Path]:
    """The base in `folder` as a GGUF: the one that it was made from, or one written for the time of the block.

    Raises:
        ExportError: as `write_gguf`.
    """
    if (folder / BASE).is_file():
        yield folder / BASE
        return
    with scratch(beside / "base-gguf") as work:
        write_gguf(folder, work / BASE, "f32")
        yield work / BASE
