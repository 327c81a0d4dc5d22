"""The one merge of a LoRA into a model: a GGUF in, a float32 or float16 GGUF out, tensor by tensor, in numpy.

`export convert` and `bundle assemble` both call it, so that both come to the same file. Sums are in float64 and
rounded once. Keys are copied as they are, but for those that say how the weights are stored.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from copersona.runtime.assemble.lora import Lora
from copersona.runtime.common.errors import ModelError
from copersona.runtime.common.files import sync_file
from copersona.runtime.common.progress import track
from copersona.runtime.engine.engine import quantize
from copersona.runtime.filecheck.gguf_check import check_gguf

Quantisation = Literal["f32", "f16", "q8_0", "q4_k_m"]
STORED = ("general.architecture", "general.file_type", "general.quantization_version")


def merge(base: Path, lora: Lora | None, target: Path, kind: Literal["f32", "f16"] = "f32") -> None:
    """Write `base` with the LoRA merged to `target`, matrices as `kind`, everything of one dimension in float32.

    `base` is checked first. What a failure leaves of `target` is removed.

    Raises:
        ModelError: the base is no GGUF that is supported, or has not the matrices that the LoRA changes.
    """
    import gguf

    check_gguf(base)
    reader = gguf.GGUFReader(base)
    shapes = {tensor.name: tuple(int(n) for n in tensor.shape[::-1]) for tensor in reader.tensors}
    for name, (a, b) in (lora.pairs if lora else {}).items():
        if shapes.get(name) != (b.shape[0], a.shape[1]):
            raise ModelError(f"{base}: {name} is {shapes.get(name)}, the LoRA changes one of {b.shape[0], a.shape[1]}")
    try:
        writer = gguf.GGUFWriter(target, str(reader.fields["general.architecture"].contents()))
        with closing(writer):
            _write(writer, reader, lora, np.dtype(np.float16 if kind == "f16" else np.float32), shapes)
        sync_file(target)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def make_model(base: Path, lora: Lora | None, target: Path, kind: Quantisation) -> None:
    """Merge, then quantise: the model file of a bundle. Raises ModelError."""
    if kind == "f32" or kind == "f16":
        merge(base, lora, target, kind)
        return
    full = target.with_name(f"{target.name}.f32")
    try:
        merge(base, lora, full)
        quantize(full, target, kind)
    finally:
        full.unlink(missing_ok=True)


def _write(
    writer: Any, reader: Any, lora: Lora | None, matrix: np.dtype[Any], shapes: dict[str, tuple[int, ...]]
) -> None:
    import gguf

    for key, field in reader.fields.items():
        if key not in STORED and not key.startswith("GGUF."):
            inner = field.types[-1] if len(field.types) > 1 else None
            writer.add_key_value(key, field.contents(), field.types[0], inner)
    whole = gguf.LlamaFileType.MOSTLY_F16 if matrix == np.float16 else gguf.LlamaFileType.ALL_F32
    writer.add_file_type(whole)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    kinds = {name: matrix if len(shape) > 1 else np.dtype(np.float32) for name, shape in shapes.items()}
    for name, shape in shapes.items():
        writer.add_tensor_info(name, shape, kinds[name], int(np.prod(shape)) * kinds[name].itemsize)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in track(reader.tensors, "merging"):
        array = merged(tensor, lora).astype(kinds[tensor.name], copy=False)
        writer.write_tensor_data(np.ascontiguousarray(array.reshape(shapes[tensor.name])))


def merged(tensor: Any, lora: Lora | None) -> NDArray[np.float32]:
    """The tensor of a GGUF in float32, changed where the LoRA changes it: W + scale B A."""
    from gguf.quants import dequantize

    weight: NDArray[np.float32] = np.asarray(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
    pair = lora.pairs.get(tensor.name) if lora else None
    if lora is None or pair is None:
        return weight
    a, b = (side.astype(np.float64) for side in pair)
    return (weight.astype(np.float64) + lora.scale * (b @ a)).astype(np.float32)
