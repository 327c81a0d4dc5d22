"""A Hugging Face folder to a GGUF file.

`write_gguf` uses only the `gguf` package: no code of llama.cpp and no list of known tokenizers, so that a vocabulary
trained from scratch or extended passes. Dense Qwen2, Qwen3 and Llama models are written exactly; what cannot be is
refused by name, never approximated: other architectures, experts, sliding windows, rope scaling, and (in
`gguf_tokenizer`) tokenizers that llama.cpp does not have. Tensors are streamed, one in memory at a time. The runtime
applies NFC to all text itself, because llama.cpp does not know normalisers.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import gguf
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

from copersona.export.common.files import replacing
from copersona.export.convert.base_tensors import ARCHITECTURES, Source, renamed_tensors
from copersona.export.convert.file_tokens import base_turns
from copersona.export.convert.gguf_tokenizer import add_vocabulary, read_json, read_vocabulary
from copersona.export.convert.rope import rope_theta
from copersona.export.convert.weight_files import tensors
from copersona.runtime.common.errors import ExportError, ModelError
from copersona.runtime.filecheck.gguf_check import check_gguf

SIZES = (
    "num_attention_heads", "hidden_size", "intermediate_size", "num_hidden_layers", "max_position_embeddings",
    "vocab_size",
)  # fmt: skip
FIXED = {"hidden_act": "silu", "use_sliding_window": False, "mlp_bias": False, "partial_rotary_factor": 1.0}
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")


def check_base(folder: Path) -> None:
    """Whether the model in `folder` can be trained on and exported, judged by its JSON files.

    Raises:
        ExportError: something in it is not supported; names it and says what to do.
    """
    folder = Path(folder)
    config = read_json(folder / "config.json")
    supported(config, folder)
    if (folder / "1_Pooling").exists():
        raise ExportError(f"{folder}: has a 1_Pooling folder, it makes sentence vectors; use a model that writes text")
    try:
        read_vocabulary(folder, config)
    except KeyError as error:
        raise ExportError(f"{folder}: is missing {error}, or is damaged there") from None
    base_turns(folder)


def supported(config: Mapping[str, Any], where: Path | str = "config.json") -> None:
    """Nothing, if a model of this `config.json` can be written as a GGUF exactly.

    Raises:
        ExportError: it cannot; names the entry, found `where`, and says what to do.
    """
    for key in EXPERTS:
        if config.get(key):
            raise ExportError(f"{where}: {key} is {config[key]}, experts are not supported; use a dense model")
    name = (config.get("architectures") or [None])[0]
    if name not in ARCHITECTURES:
        raise ExportError(f"{where}: architecture {name} is not one of {', '.join(ARCHITECTURES)}; use such a base")
    for key in SIZES:
        if not isinstance(config.get(key), int) or config[key] < 1:
            raise ExportError(f"{where}: is missing {key!r}, or it is not a whole number")
    for key, wanted in FIXED.items():
        if config.get(key, wanted) != wanted:
            raise ExportError(f"{where}: {key} is {config[key]!r}, only {wanted!r} is supported; use another base")
    if config.get("quantization_config"):
        raise ExportError(f"{where}: quantization_config is there; use the weights before they were quantised")
    window = config.get("sliding_window") if name == "LlamaForCausalLM" else None
    if window or set(config.get("layer_types") or ()) - {"full_attention"}:
        raise ExportError(f"{where}: sliding_window {window} is in use, only full attention is supported")
    rope_theta(config, where)
    heads, width, head = config["num_attention_heads"], config["hidden_size"], config.get("head_dim")
    if name == "Qwen3ForCausalLM" and config.get("attention_bias"):
        raise ExportError(f"{where}: attention_bias is True, llama.cpp has none for Qwen3; use a base without biases")
    if name == "Qwen2ForCausalLM" and head not in (None, width // heads):
        raise ExportError(f"{where}: head_dim is {head}, expected {width // heads}")


def write_gguf(model_dir: Path, target: Path, kind: Literal["f32", "f16"]) -> None:
    """Write the model and tokenizer in `model_dir` to the GGUF `target`, which is replaced in one step.

    Tensors of one dimension (norms, biases) stay float32 in both kinds, as llama.cpp wants them.

    Raises:
        ExportError: something in the folder is missing, or cannot be written exactly as a GGUF.
    """
    if kind not in ("f32", "f16"):
        raise ExportError(f"GGUF of kind {kind!r}: expected f32 or f16; quantise from these with the runtime")
    model_dir, target = Path(model_dir), Path(target)
    source = Source(model_dir, read_json(model_dir / "config.json"))
    supported(source.config, model_dir)
    with (
        replacing(target) as part,
        closing(gguf.GGUFWriter(part, gguf.MODEL_ARCH_NAMES[source.architecture])) as writer,
    ):
        try:
            _add_model(writer, source, kind)
            add_vocabulary(writer, read_vocabulary(model_dir, source.config))
            _write_tensors(writer, source, np.dtype(np.float16 if kind == "f16" else np.float32))
            writer.close()
            check_gguf(part)
        except ModelError as error:
            raise ExportError(f"{model_dir}: the GGUF written from it would be refused, {error}") from error
        except (KeyError, SafetensorError) as error:
            raise ExportError(f"{model_dir}: is missing {_first_line(error)}, or is damaged there") from error


def load_causal_lm(model_dir: Path) -> Any:
    """The causal language model in `model_dir`, by transformers: float32, on the CPU, for evaluation.

    Raises:
        ExportError: the folder holds no such model.
    """
    import torch
    from transformers import AutoModelForCausalLM

    try:
        model = AutoModelForCausalLM.from_pretrained(str(model_dir), dtype=torch.float32, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise ExportError(f"{model_dir}: cannot be loaded as a language model, {_first_line(error)}") from error
    return model.eval()


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _add_model(writer: Any, source: Source, kind: str) -> None:
    config, (heads, kv_heads) = source.config, source.heads
    writer.add_name(source.folder.name)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(rope_theta(config, source.folder))
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(gguf.LlamaFileType.ALL_F32 if kind == "f32" else gguf.LlamaFileType.MOSTLY_F16)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    if source.architecture == gguf.MODEL_ARCH.QWEN2:  # its heads are what the width gives each of them
        return
    writer.add_key_length(source.head)
    writer.add_value_length(source.head)
    writer.add_rope_dimension_count(source.head)


def _write_tensors(writer: Any, source: Source, matrix_type: np.dtype[Any]) -> None:
    """Names, types and shapes first, then the data in the same order."""
    dtypes: dict[str, np.dtype[Any]] = {}
    shapes = {name: weight.get_shape() for name, weight in tensors(source.folder)}
    for name, renamed in renamed_tensors(source, shapes).items():
        shape = shapes[name]
        dtypes[name] = matrix_type if len(shape) > 1 else np.dtype(np.float32)
        writer.add_tensor_info(renamed, shape, dtypes[name], int(np.prod(shape)) * dtypes[name].itemsize)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name, weight in tensors(source.folder):
        if name in dtypes:
            array: NDArray[Any] = weight[:].float().numpy().astype(dtypes[name], copy=False)
            writer.write_tensor_data(np.ascontiguousarray(as_rotated(source, name, array)))


def as_rotated(source: Source, name: str, array: NDArray[Any]) -> NDArray[Any]:
    """Rows of queries and keys in the order in which llama.cpp turns them.

    For Llama it turns neighbours by each other, where transformers turns the two halves of a head; for Qwen it does as
    transformers.
    """
    part = name.split(".")[-2]
    if source.architecture != gguf.MODEL_ARCH.LLAMA or part not in ("q_proj", "k_proj"):
        return array
    heads = source.heads[0 if part == "q_proj" else 1]
    return array.reshape(heads, 2, -1, *array.shape[1:]).swapaxes(1, 2).reshape(array.shape)
