"""A soft prompt as words: rows of a model's vocabulary, in a copy of its file that any program with llama.cpp opens.

Each row has a control token of its own, which no text becomes by chance. What a model says is a matter of its output
rows; those of the new words are copies of one that no answer holds, so that they are not said. A model whose words are
its output rows too gets output rows of their own for that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from copersona.runtime.common.arrays import F32
from copersona.runtime.common.errors import ModelError
from copersona.runtime.common.files import sync_file
from copersona.runtime.common.progress import track
from copersona.runtime.filecheck.gguf_check import check_gguf

WORDS, OUTPUT = "token_embd.weight", "output.weight"
TOKENS, KINDS, SCORES = (f"tokenizer.ggml.{name}" for name in ("tokens", "token_type", "scores"))


def word(number: int) -> str:
    """How the soft prompt's row of that number is written."""
    return f"<|persona_{number}|>"


def write_rows(model: Path, soft: F32, unsaid: int, template: str, target: Path) -> None:
    """Write `model` with the soft prompt (L, H) as L more words to `target`. `unsaid` is a token that no answer holds,
    `template` the chat template of the copy, which writes BOS itself where there is one.

    What a failure leaves of `target` is removed.

    Raises:
        ModelError: the model is none that is supported, or has these words already.
    """
    import gguf

    check_gguf(model)
    reader = gguf.GGUFReader(model)
    if set(reader.fields[TOKENS].contents()) & set(map(word, range(len(soft)))):
        raise ModelError(f"{model}: has a persona's words already; take the model of the bundle")
    try:
        with closing(gguf.GGUFWriter(target, str(reader.fields["general.architecture"].contents()))) as writer:
            _write_keys(writer, reader, len(soft), template)
            _write_tensors(writer, reader, soft, unsaid)
        sync_file(target)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _write_keys(writer: Any, reader: Any, count: int, template: str) -> None:
    import gguf

    architecture = reader.fields["general.architecture"].contents()
    more: dict[str, list[Any]] = {
        TOKENS: list(map(word, range(count))),
        KINDS: [int(gguf.TokenType.CONTROL)] * count,
        SCORES: [0.0] * count,
    }
    for key, field in reader.fields.items():
        if key == "general.architecture" or key.startswith("GGUF."):
            continue
        value: Any = field.contents()
        inner = field.types[-1] if len(field.types) > 1 else None
        if key in more:
            value = [*value, *more[key]]
        elif key == f"{architecture}.vocab_size":
            value += count
        elif key == "tokenizer.chat_template":
            value = template
        elif key == "tokenizer.ggml.add_bos_token":
            value = False
        writer.add_key_value(key, value, field.types[0], inner)
    if "tokenizer.chat_template" not in reader.fields:
        writer.add_chat_template(template)
    if "tokenizer.ggml.add_bos_token" not in reader.fields:
        writer.add_add_bos_token(False)


def _write_tensors(writer: Any, reader: Any, soft: F32, unsaid: int) -> None:
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    for name, tensor in tensors.items():
        added = len(soft) if name in (WORDS, OUTPUT) else 0
        _announce(writer, name, tensor, added)
    if OUTPUT not in tensors:
        _announce(writer, OUTPUT, tensors[WORDS], len(soft))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for part in track(_parts(tensors, soft, unsaid), "writing the model", len(tensors) + (OUTPUT not in tensors)):
        writer.write_tensor_data(np.ascontiguousarray(part))


def _announce(writer: Any, name: str, tensor: Any, added: int) -> None:
    data = tensor.data
    shape = (data.shape[0] + added, *data.shape[1:])
    writer.add_tensor_info(name, shape, data.dtype, data.nbytes // len(data) * shape[0], tensor.tensor_type)


def _parts(tensors: Mapping[str, Any], soft: F32, unsaid: int) -> Iterator[NDArray[Any]]:
    from gguf.quants import quantize

    for name, tensor in tensors.items():
        if name == WORDS:
            try:
                yield np.concatenate([tensor.data, quantize(soft, tensor.tensor_type)])
            except NotImplementedError:
                kind = tensor.tensor_type.name
                raise ModelError(f"the words of this model are {kind}, expected q8_0, f16 or f32 weights") from None
        else:
            yield _with_unsaid(tensor, len(soft), unsaid) if name == OUTPUT else tensor.data
    if OUTPUT not in tensors:
        yield _with_unsaid(tensors[WORDS], len(soft), unsaid)


def _with_unsaid(tensor: Any, count: int, unsaid: int) -> NDArray[Any]:
    return np.concatenate([tensor.data, *[tensor.data[unsaid : unsaid + 1]] * count])
